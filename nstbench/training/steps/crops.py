"""Pictures for training: decoded once and cropped at random, reproducibly for every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import ImageRecord, SkippedImage
from nstbench.pictures.decode import read_image
from nstbench.training.trainable import Batch

# Before a crop is cut, the shorter side of the picture is scaled to one to two times the side of
# the crop. So crops show whole scenes as well as details.
_LARGEST_SCALE = 2.0
_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures for training in memory.

    Attributes:
        pictures: uint8 RGB (H, W, 3); the shorter side is at most twice the side of a crop.
        records: the records of ``pictures``, in the same order.
        skipped: pictures that cannot be read, with the reason.
        seed: seed of the order.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    records: tuple[ImageRecord, ...]
    skipped: tuple[SkippedImage, ...]
    seed: int

    def crop(self, position: int, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Return a uint8 crop (size, size, 3) of picture number ``position`` of an endless order.

        The order consists of passes. Each pass has every picture once, in a new random order.
        """
        passes, place = divmod(position, len(self.pictures))
        order = np.random.default_rng([self.seed, passes]).permutation(len(self.pictures))
        return random_crop(self.pictures[order[place]], size, random)


def read_collection(records: Sequence[ImageRecord], size: int, seed: int, what: str) -> Collection:
    """Decode pictures into memory.

    Args:
        records: the pictures.
        size: side of the crops in pixels; pictures are scaled down to what crops of this size
            can show.
        seed: seed of the order.
        what: name of the option with the pictures, for the message.

    Raises:
        UsageError: if no picture can be read.
    """
    pictures, kept, skipped = [], [], []
    for record in records:
        try:
            pixels = read_image(record.path)
        except ImageError as error:
            skipped.append(SkippedImage(record.path, str(error)))
            continue
        pictures.append(_reduced(pixels, round(_LARGEST_SCALE * size)))
        kept.append(record)
    if not pictures:
        why = f": {skipped[0].reason}" if skipped else ""
        raise UsageError(f"{what}: there is no usable picture{why}.")
    return Collection(tuple(pictures), tuple(kept), tuple(skipped), seed)


def random_crop(
    pixels: NDArray[np.uint8], size: int, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a square uint8 crop (size, size, 3), mirrored in half of the calls.

    Scale and place are random. The shorter side of the picture is scaled to between ``size``
    and ``2 size`` pixels, but enlarged to no more than ``size``.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    scaled = random.uniform(size, max(size, min(short, _LARGEST_SCALE * size)))
    side = short * size / scaled
    left, top = random.uniform(0, width - side), random.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    crop = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
    flipped = random.random() < 0.5
    return np.asarray(crop)[:, ::-1] if flipped else np.asarray(crop)


def _reduced(pixels: NDArray[np.uint8], short: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = short / min(height, width)
    if scale >= 1:
        return pixels
    target = (max(short, round(width * scale)), max(short, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))


@dataclass(frozen=True, eq=False)
class Source:
    """Makes the batch of any step.

    Attributes:
        contents: content pictures.
        styles: style pictures that are streamed, or ``None``.
        size: side of the crops in pixels.
        batch: pictures per step and process.
        seed: seed of all random numbers.
        rank: index of this process.
        world: number of processes.
    """

    contents: Collection
    styles: Collection | None
    size: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1

    def at(self, step: int) -> Batch:
        """Return the batch of a step, on the CPU."""
        # The batch of the sample sheet is step -1, and SeedSequence needs numbers >= 0.
        random = np.random.default_rng([self.seed, step + 1, self.rank])
        first = ((step + 1) * self.world + self.rank) * self.batch
        contents = self._crops(self.contents, first, random)
        styles = None if self.styles is None else self._crops(self.styles, first, random)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        return Batch(step, contents, styles, generator)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps ``start`` to ``stop`` - 1; threads prepare the next ones."""
        with ThreadPoolExecutor(max_workers=_AHEAD) as pool:
            waiting: list[Future[Batch]] = []
            for step in range(start, stop):
                while len(waiting) < _AHEAD and step + len(waiting) < stop:
                    waiting.append(pool.submit(self.at, step + len(waiting)))
                yield waiting.pop(0).result()

    def _crops(
        self, collection: Collection, first: int, random: np.random.Generator
    ) -> torch.Tensor:
        crops = [collection.crop(first + i, self.size, random) for i in range(self.batch)]
        stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        # Convolutions are fastest in this memory format, which is also that of the pixels.
        return stacked.to(torch.float32, memory_format=torch.channels_last).div_(255.0)
