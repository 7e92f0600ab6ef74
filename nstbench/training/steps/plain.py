"""One step of a training without a loop: no buffers, no saved states, one process."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from nstbench.training.trainable import Batch, Training


def plain_step(
    training: Training, index: int, contents: torch.Tensor, styles: torch.Tensor | None = None
) -> Mapping[str, torch.Tensor]:
    """Run step number ``index`` of a training on given pictures, and return its losses.

    Schedules of the learning rate do not advance. The random inputs depend on ``index`` alone.

    Args:
        training: the training.
        index: number of the step; the first one is 0, and none may be left out.
        contents: float32 RGB (B, 3, S, S) in [0, 1].
        styles: the same for ``StyleUse.STREAM``.
    """
    drawn = training.draws(index, torch.Generator().manual_seed(index))
    draws = {name: tensor.to(contents.device) for name, tensor in drawn.items()}
    phase = training.phase(index)
    batch = Batch(contents, styles, draws, phase)
    if index == 0 or training.phase(index - 1) != phase:
        training.enter(phase, batch)

    def descend(name: str, loss: torch.Tensor) -> None:
        training.optimisers[name].zero_grad()
        loss.backward()
        training.optimisers[name].step()

    return training.step(batch, descend)
