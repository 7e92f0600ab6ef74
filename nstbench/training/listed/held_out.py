"""The loss of a training on photographs that it never sees."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from nstbench.core.records import ImageRecord
from nstbench.pictures.picture import load_picture
from nstbench.training.loop import Loop
from nstbench.training.trainable import Batch, Training

TOTAL = "total"


@dataclass(eq=False)
class HeldOut:
    """Photographs that are kept out of all trainings, and the losses on them.

    Every picture is the largest square in the middle of its photograph, scaled to the side of
    the crops of the training.

    Attributes:
        records: the photographs.
        device: device of the trainings.
    """

    records: tuple[ImageRecord, ...]
    device: torch.device
    _pixels: dict[tuple[str, int], torch.Tensor] = field(default_factory=dict)

    def loss(self, loop: Loop, styles: Sequence[ImageRecord]) -> float:
        """Return the mean total loss of the present networks on the photographs.

        The networks are in evaluation mode, as when they stylise. Nothing is trained, and the
        state of the training is the same afterwards. For streamed styles, the photographs meet
        as many pictures of ``styles``, at even distances.

        Args:
            loop: the training.
            styles: its style pictures.
        """
        training, source = loop.training, loop.source
        count, size = len(self.records), source.size
        contents = self._crops(self.records, size)
        streamed = None
        if source.styles is not None:
            places = [i * len(styles) // count for i in range(count)]
            streamed = self._crops([styles[place] for place in places], size)
        total = 0.0
        with _unchanged(training, self.device):
            for phase in training.phases:
                index = max(1, int(phase * loop.schedule.steps))
                for first in range(0, count, source.batch):
                    part = slice(first, first + source.batch)
                    batch = Batch(
                        index,
                        contents[part],
                        None if streamed is None else streamed[part],
                        torch.Generator().manual_seed(first),
                    )
                    losses = training.step(batch, _no_descent)
                    total += _total(losses) * len(batch.contents) / count
        return total

    def _crops(self, records: Sequence[ImageRecord], size: int) -> torch.Tensor:
        for record in records:
            key = (str(record.path), size)
            if key not in self._pixels:
                picture = load_picture(record, size, "crop", str(self.device))
                self._pixels[key] = picture.pixels
        stacked = torch.cat([self._pixels[str(record.path), size] for record in records])
        return stacked.contiguous(memory_format=torch.channels_last)


def _no_descent(name: str, loss: torch.Tensor) -> None:
    """Take no step."""


def _total(losses: Mapping[str, torch.Tensor]) -> float:
    """Return the total of a step's losses; their sum if the method does not name a total."""
    if TOTAL in losses:
        return float(losses[TOTAL])
    return sum(float(loss) for loss in losses.values())


@contextmanager
def _unchanged(training: Training, device: torch.device) -> Iterator[None]:
    """Evaluate networks without gradients, and restore modes, state and random generators."""
    modes = {name: network.training for name, network in training.networks.items()}
    state = copy.deepcopy(training.state())
    gpus = [device] if device.type == "cuda" else []
    for network in training.networks.values():
        network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=gpus):
            torch.manual_seed(0)
            yield
    finally:
        training.load_state(state)
        for name, network in training.networks.items():
            network.train(modes[name])
