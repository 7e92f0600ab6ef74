"""Makes and reads series of pictures whose order is known, to test metrics.

Controlled sweeps are made from a content and a style picture; folder sweeps are read from
files. Pixels are uint8 RGB (H, W, 3), as in saved outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord
from nstbench.core.text import printable
from nstbench.pictures.decode import read_image
from nstbench.pictures.degradations import blurred, compressed, rounded
from nstbench.pictures.folder_files import picture_files
from nstbench.pictures.picture import fit, same_proportions

Pixels = NDArray[np.uint8]

BLEND = "blend"
FOLDER = "folder"
CONTENT = "content"
STYLE = "style"

BLEND_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Share of the style picture in each step of a blend."""

BLUR_SIGMAS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviation of the Gaussian blur in pixels at 256 px; it grows with the picture.

Below about 96 px the first step is lost in the rounding to 8 bits.
"""

NOISE_SIGMAS = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Standard deviation of the Gaussian noise, values in [0, 1]."""

JPEG_QUALITIES = (80, 60, 40, 20, 5)
"""JPEG quality of each step after the first, which is not compressed."""

FEWEST_STEPS = 3


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """A content and a style picture of the same shape, from which sweeps are made."""

    content_name: str
    style_name: str
    content: Pixels
    style: Pixels


@dataclass(frozen=True, eq=False, slots=True)
class Sweep:
    """Outputs in a known order.

    Attributes:
        kind: ``"blend"``, ``"blur"``, ``"noise"``, ``"jpeg"`` or ``"folder"``.
        base: the picture that is made worse step by step, ``"content"`` or ``"style"``;
            empty for sweeps that lead from the content towards the style.
        source: content and style that the outputs are scored against.
        seed: of the randomness in the sweep.
        outputs: the pictures, in order.
    """

    kind: str
    base: str
    source: Source
    seed: int
    outputs: tuple[Pixels, ...]


def controlled_sweeps(source: Source, seeds: int = 3) -> Iterator[Sweep]:
    """Yield a blend from content to style, and both of them blurred, noisy and compressed.

    Args:
        source: the pair to make them from.
        seeds: number of noise sweeps per picture; the other sweeps are not random.
    """
    yield Sweep(BLEND, "", source, 0, _blend(source))
    for base, pixels in ((CONTENT, source.content), (STYLE, source.style)):
        yield Sweep("blur", base, source, 0, _each(BLUR_SIGMAS, pixels, blurred))
        yield Sweep("jpeg", base, source, 0, (pixels, *_each(JPEG_QUALITIES, pixels, compressed)))
        for seed in range(seeds):
            yield Sweep("noise", base, source, seed, _noise(pixels, seed))


def _each(
    strengths: tuple[float, ...], pixels: Pixels, change: Callable[[Pixels, float], Pixels]
) -> tuple[Pixels, ...]:
    return tuple(change(pixels, strength) for strength in strengths)


def _blend(source: Source) -> tuple[Pixels, ...]:
    content, style = source.content.astype(np.float64), source.style.astype(np.float64)
    return tuple(rounded((1 - share) * content + share * style) for share in BLEND_SHARES)


def _noise(pixels: Pixels, seed: int) -> tuple[Pixels, ...]:
    # The same noise grows from step to step, so that only its strength differs.
    noise = 255 * np.random.default_rng(seed).standard_normal(pixels.shape)
    return tuple(rounded(pixels + sigma * noise) for sigma in NOISE_SIGMAS)


def make_sources(
    contents: Sequence[ImageRecord], styles: Sequence[ImageRecord], size: int
) -> list[Source]:
    """Pair every content with every style, cropped to squares of ``size`` pixels.

    Raises:
        ImageError: if a picture cannot be read.
    """
    pixels = {r.path: fit(read_image(r.path), size, "crop") for r in (*contents, *styles)}
    return [
        Source(content.name, style.name, pixels[content.path], pixels[style.path])
        for style in styles
        for content in contents
    ]


# --- folder sweeps -----------------------------------------------------------------------


def folder_sweeps(folders: Sequence[Path], size: int) -> list[Sweep]:
    """Read several folders (:func:`folder_sweep`) and give each sweep its own name.

    Folders with the same name are named by as much of their path as is needed to make the
    names different: ``x/sweep`` and ``y/sweep``.

    Raises:
        UsageError: if a folder is given twice, or is not a sweep.
        ImageError: if a picture cannot be read.
    """
    first_given: dict[Path, Path] = {}
    for folder in folders:
        twin = first_given.setdefault(folder.resolve(), folder)
        if twin is not folder:
            raise UsageError(
                f"{printable(folder)} is the same folder as {printable(twin)}. Give each folder of "
                "a sweep once."
            )
    return [
        folder_sweep(folder, size, name)
        for folder, name in zip(folders, _short_names(list(first_given)), strict=True)
    ]


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Return, for different absolute paths, the shortest ends that differ from each other."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        depth = 1
        while any(other[-depth:] == folder.parts[-depth:] for other in others):
            depth += 1
        names.append(Path(*folder.parts[-depth:]).as_posix())
    return names


def folder_sweep(folder: Path, size: int, name: str = "") -> Sweep:
    """Read a folder with ``content``, ``style`` and numbered outputs, weakest stylisation first.

    Outputs are files whose stem is a number (``0.jpg``, ``1.jpg``, ...), in the order of the
    numbers. All pictures are cropped to the middle square and scaled to ``size``. Content and style
    are named ``name/content`` and ``name/style``; the default is the name of the folder.

    Raises:
        UsageError: if a picture is missing, there are fewer than three outputs, two have
            the same number, or an output does not have the content's proportions.
        ImageError: if a picture cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(folder)} is not a folder. Give a folder of a sweep.")
    content, style = (read_image(_only(folder, stem)) for stem in (CONTENT, STYLE))
    outputs = _numbered(folder)
    pictures = []
    for path in outputs:
        pixels = read_image(path)
        if not same_proportions(pixels, content):
            raise UsageError(
                f"{printable(path)} is {pixels.shape[1]} x {pixels.shape[0]}, not of the "
                f"proportions of its content ({content.shape[1]} x {content.shape[0]}). "
                "Crop the outputs of a sweep like the content."
            )
        pictures.append(fit(pixels, size, "crop"))
    name = name or folder.resolve().name
    names = (f"{name}/{CONTENT}", f"{name}/{STYLE}")
    source = Source(*names, fit(content, size, "crop"), fit(style, size, "crop"))
    return Sweep(FOLDER, "", source, 0, tuple(pictures))


def _only(folder: Path, stem: str) -> Path:
    paths = [path for path in picture_files(folder) if path.stem.lower() == stem]
    if len(paths) != 1:
        count = "no picture" if not paths else f"{len(paths)} pictures"
        raise UsageError(
            f"{printable(folder)} contains {count} called '{stem}'. A sweep is a folder with one "
            f"{CONTENT}.jpg (or .png), one {STYLE}.jpg and outputs 0.jpg, 1.jpg, ..."
        )
    return paths[0]


def _numbered(folder: Path) -> list[Path]:
    numbered = [(int(p.stem), p) for p in picture_files(folder) if re.fullmatch(r"[0-9]+", p.stem)]
    numbers = [number for number, _ in numbered]
    remedy = f"A sweep needs at least {FEWEST_STEPS}, each with its own number: 0.jpg, 1.jpg, ..."
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{printable(folder)} contains two outputs with the same number. {remedy}")
    if len(numbers) < FEWEST_STEPS:
        raise UsageError(f"{printable(folder)} contains {len(numbers)} numbered outputs. {remedy}")
    return [path for _, path in sorted(numbered)]
