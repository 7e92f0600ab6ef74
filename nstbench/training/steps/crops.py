"""Pictures for training: decoded once, kept on the device, and cropped there at random.

The random numbers of a crop are drawn on the host, from the seed, the step and the process alone.
The device gets two short rows of numbers per crop, so steps can be launched ahead and captured.

A crop is cut in three operations on all crops at once: the pixels around it are gathered from
one flat list of pixels, interpolated at twice the resolution of the crop, and averaged over 2 x 2.
The pixels of a picture are at most two crops wide, so every pixel is read and nothing is aliased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakValueDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import ImageRecord, SkippedImage
from nstbench.pictures.decode import read_image
from nstbench.training.trainable import Batch

# Before a crop is cut, the shorter side of the picture is scaled to one to two times the side of
# the crop. So crops show whole scenes as well as details.
_LARGEST_SCALE = 2
_FINER = 2

Numbers = Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Decoded pictures on a device. Several trainings share them.

    Attributes:
        pixels: uint8 RGB (N, 3), the pixels of all pictures row by row, one after the other.
        shapes: int64 (P, 3) on the host: index of the first pixel, height and width of each.
        records: the records of the pictures, in the same order.
        skipped: pictures that cannot be read, with the reason.
        size: side of the crops that the pictures are meant for.
    """

    pixels: torch.Tensor
    shapes: NDArray[np.int64]
    records: tuple[ImageRecord, ...]
    skipped: tuple[SkippedImage, ...]
    size: int


_shared: WeakValueDictionary[object, Pictures] = WeakValueDictionary()


def read_pictures(
    records: Sequence[ImageRecord], size: int, device: torch.device, what: str
) -> Pictures:
    """Decode pictures, or return those of another training that uses them now.

    Args:
        records: the pictures.
        size: side of the crops in pixels; pictures are scaled down to what crops of this size
            can show.
        device: device of the pixels.
        what: name of the option with the pictures, for the message.

    Raises:
        UsageError: if no picture can be read.
    """
    key = (*((each.path, _modified(each)) for each in records), size, str(device))
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = _decoded(records, size, device, what)
    return found


def _decoded(
    records: Sequence[ImageRecord], size: int, device: torch.device, what: str
) -> Pictures:
    pictures, kept, skipped = [], [], []
    for record in records:
        try:
            pixels = read_image(record.path)
        except ImageError as error:
            skipped.append(SkippedImage(record.path, str(error)))
            continue
        pictures.append(_reduced(pixels, _LARGEST_SCALE * size))
        kept.append(record)
    if not pictures:
        why = f": {skipped[0].reason}" if skipped else ""
        raise UsageError(f"{what}: there is no usable picture{why}.")
    sizes = np.array([picture.shape[:2] for picture in pictures], dtype=np.int64)
    ends = np.cumsum(sizes.prod(axis=1))
    shapes = np.column_stack([np.concatenate([[0], ends[:-1]]), sizes])
    flat = torch.from_numpy(np.concatenate([picture.reshape(-1, 3) for picture in pictures]))
    return Pictures(flat.to(device), shapes, tuple(kept), tuple(skipped), size)


def _modified(record: ImageRecord) -> int:
    try:
        return record.path.stat().st_mtime_ns
    except OSError:
        return 0


def _reduced(pixels: NDArray[np.uint8], short: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = short / min(height, width)
    if scale >= 1:
        return pixels
    target = (max(short, round(width * scale)), max(short, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures in an endless random order.

    The order consists of passes. Each pass has every picture once, in a new random order.

    Attributes:
        pictures: the pictures.
        seed: seed of the order.
    """

    pictures: Pictures
    seed: int

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """The records of the pictures."""
        return self.pictures.records

    def at(self, position: int) -> int:
        """Return the index of the picture at a position of the order."""
        passes, place = divmod(position, len(self.records))
        return int(_permutation(self.seed, passes, len(self.records))[place])


@lru_cache(maxsize=64)
def _permutation(seed: int, passes: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, passes]).permutation(count)


# --- one crop, on the host ---------------------------------------------------------------


def random_crop(
    shape: NDArray[np.int64], size: int, random: np.random.Generator
) -> tuple[list[int], list[float]]:
    """Return the numbers of a random crop; see :func:`cut`. Half of the crops are mirrored.

    Scale and place are random. The shorter side of the picture is scaled to between ``size``
    and ``2 size`` pixels, but enlarged to no more than ``size``.

    Args:
        shape: index of the first pixel, height and width of the picture.
        size: side of the crop in pixels.
        random: source of four numbers.
    """
    first, height, width = (int(number) for number in shape)
    short = min(height, width)
    scaled = random.uniform(size, max(size, min(short, _LARGEST_SCALE * size)))
    side = short * size / scaled
    left, top = random.uniform(0, width - side), random.uniform(0, height - side)
    flipped = random.random() < 0.5
    step = side / (_FINER * size)
    # Pixel k has its centre at k + 0.5 of the picture; so do the samples, in their own units.
    begins = (left + step / 2 - 0.5, top + step / 2 - 0.5)
    column, row = (int(np.floor(begin)) for begin in begins)
    x, y = begins[0] - column, begins[1] - row
    across = (x + side - step, -step) if flipped else (x, step)
    return [first, height, width, row, column], [*across, y, step]


# --- all crops of a batch, on the device -----------------------------------------------------


def cut(pixels: torch.Tensor, places: torch.Tensor, lines: torch.Tensor, size: int) -> torch.Tensor:
    """Return crops, float32 RGB (B, 3, size, size) in [0, 1], channels last.

    No operation waits for the device, and all shapes depend on B and ``size`` only.

    Args:
        pixels: uint8 (N, 3), see :class:`Pictures`.
        places: int64 (B, 5): index of the picture's first pixel, its height and width, and row
            and column of the first pixel that is gathered.
        lines: float32 (B, 4): in pixels from there, the first sample and the distance of two
            samples, along a row and along a column. A negative distance mirrors the crop.
        size: side of the crops.
    """
    count, reach, samples = len(places), _LARGEST_SCALE * size + 2, _FINER * size
    near = torch.arange(reach, device=pixels.device)
    first, height, width, row, column = (part[:, None] for part in places.unbind(1))
    rows = torch.minimum((row + near).clamp_min(0), height - 1)
    columns = torch.minimum((column + near).clamp_min(0), width - 1)
    indices = (first + rows * width)[:, :, None] + columns[:, None, :]
    window = pixels.index_select(0, indices.flatten()).view(count, reach, reach, 3)
    along = torch.arange(samples, device=pixels.device)
    # in the units of grid_sample, the outermost pixel centres are at -1 and 1
    x, y = (
        (start + step * along) * (2 / (reach - 1)) - 1
        for start, step in (lines[:, :2].split(1, 1), lines[:, 2:].split(1, 1))
    )
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=3)
    wide = window.permute(0, 3, 1, 2).float()
    fine = F.grid_sample(wide, grid, padding_mode="border", align_corners=True)
    crops = F.avg_pool2d(fine, _FINER) / 255.0
    # Convolutions are fastest in this memory format.
    return crops.contiguous(memory_format=torch.channels_last)


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

    def numbers(self, step: int) -> tuple[dict[str, torch.Tensor], np.random.Generator]:
        """Return the numbers of the crops of a step, on the host, and a source of more of them.

        Shapes and dtypes are the same for every step.
        """
        # The batch of the sample sheet is step -1, and SeedSequence needs numbers >= 0.
        random = np.random.default_rng([self.seed, step + 1, self.rank])
        first = ((step + 1) * self.world + self.rank) * self.batch
        numbers = {}
        for name, collection in self._collections():
            shapes = collection.pictures.shapes
            crops = [
                random_crop(shapes[collection.at(first + i)], self.size, random)
                for i in range(self.batch)
            ]
            numbers[f"{name}.places"] = torch.tensor([places for places, _ in crops])
            numbers[f"{name}.lines"] = torch.tensor([lines for _, lines in crops])
        return numbers, random

    def crops(self, numbers: Numbers) -> Batch:
        """Return the batch of the numbers of a step, which are on the device."""
        made = {
            name: cut(
                collection.pictures.pixels,
                numbers[f"{name}.places"],
                numbers[f"{name}.lines"],
                self.size,
            )
            for name, collection in self._collections()
        }
        return Batch(made["contents"], made.get("styles"))

    def at(self, step: int) -> Batch:
        """Return the batch of a step, without random inputs of the training."""
        device = self.contents.pictures.pixels.device
        return self.crops({name: n.to(device) for name, n in self.numbers(step)[0].items()})

    def _collections(self) -> list[tuple[str, Collection]]:
        streamed = [] if self.styles is None else [("styles", self.styles)]
        return [("contents", self.contents), *streamed]
