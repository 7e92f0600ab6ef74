"""Pictures for training: decoded once, cropped at random, and the same for every step again."""

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

# Crops are taken at scales where the shorter side is one to two crops long: whole scenes and
# details of them.
_LARGEST_SCALE = 2.0
_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures as uint8 RGB (H, W, 3), their shorter side at most twice the crop's."""

    pictures: tuple[NDArray[np.uint8], ...]
    records: tuple[ImageRecord, ...]
    skipped: tuple[SkippedImage, ...]
    seed: int

    def crop(self, position: int, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Return a crop (size, size, 3) of the ``position``-th picture of an endless shuffle.

        Every picture comes once per pass, in a new order each time.
        """
        passes, place = divmod(position, len(self.pictures))
        order = np.random.default_rng([self.seed, passes]).permutation(len(self.pictures))
        return random_crop(self.pictures[order[place]], size, random)


def read_collection(records: Sequence[ImageRecord], size: int, seed: int, what: str) -> Collection:
    """Decode pictures into memory.

    Args:
        records: the pictures.
        size: side of the crops that will be taken; larger pictures are reduced to what
            crops of that size can show.
        seed: seed of the order.
        what: option that named them, for the message.

    Raises:
        UsageError: if none of them can be read.
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
    """Return a square crop at a random scale and place, mirrored half of the time.

    The shorter side is scaled to ``size`` ... ``2 size``, but never enlarged beyond that.
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
    """Batches by step number.

    Attributes:
        contents: content pictures.
        styles: style pictures that are streamed, or ``None``.
        size: side of the crops.
        batch: pictures per step and process.
        seed: seed of every draw.
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
        # SeedSequence takes no negative numbers, and the sample sheet's batch is step -1.
        random = np.random.default_rng([self.seed, step + 1, self.rank])
        first = ((step + 1) * self.world + self.rank) * self.batch
        contents = self._crops(self.contents, first, random)
        styles = None if self.styles is None else self._crops(self.styles, first, random)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        return Batch(step, contents, styles, generator)

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of steps ``start`` to ``stop`` - 1, preparing the next ones ahead."""
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
        # The order of memory in which convolutions run fastest is the one pictures come in.
        return stacked.to(torch.float32, memory_format=torch.channels_last).div_(255.0)
