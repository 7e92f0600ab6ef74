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
_PLACES = 1000


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
        state of the training is the same afterwards. The losses of several phases are added.
        Batches are as large as in training; the last one repeats photographs if it lacks some.
        For streamed styles, the photographs meet as many pictures of ``styles``, at even
        distances.

        Args:
            loop: the training.
            styles: its style pictures.
        """
        training, source = loop.training, loop.source
        batches = -(-len(self.records) // source.batch)
        count = batches * source.batch
        contents = self._crops(
            [self.records[i % len(self.records)] for i in range(count)], source.size
        )
        streamed = None
        if source.styles is not None:
            places = [i * len(styles) // count for i in range(count)]
            streamed = self._crops([styles[place] for place in places], source.size)
        losses = []
        with loop.steps.on_stream(), _unchanged(training):
            for phase in phases(training, loop.schedule.steps):
                for number in range(batches):
                    part = slice(number * source.batch, (number + 1) * source.batch)
                    drawn = training.draws(number, torch.Generator().manual_seed(number))
                    batch = Batch(
                        contents[part],
                        None if streamed is None else streamed[part],
                        {name: tensor.to(self.device) for name, tensor in drawn.items()},
                        phase,
                    )
                    losses.append(_total(training.step(batch, _no_descent)))
            total = torch.stack(losses).sum() / batches
            return float(total)

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


def _total(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the total of a step's losses; their sum if the method does not name a total."""
    if TOTAL in losses:
        return losses[TOTAL].double()
    return torch.stack([loss.double() for loss in losses.values()]).sum()


def phases(training: Training, steps: int) -> list[int]:
    """Return the phases of a training of this length."""
    places = range(min(steps, _PLACES))
    return sorted({training.phase(place * steps // _PLACES) for place in places} or {0})


@contextmanager
def _unchanged(training: Training) -> Iterator[None]:
    """Evaluate networks without gradients, and restore their modes and the training's state."""
    modes = {name: network.training for name, network in training.networks.items()}
    state = copy.deepcopy(training.state())
    for network in training.networks.values():
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        training.load_state(state)
        for name, network in training.networks.items():
            network.train(modes[name])
