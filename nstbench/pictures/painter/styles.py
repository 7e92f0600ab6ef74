"""Paintings made by a program: pictures to take a style from, without rights to clear.

Each style is a function that composes a picture (subject, light, palette) and
then paints it in the manner of its medium. Composition and palette change with
the seed, so a style is a whole collection; seed 0 is the picture in the
``starter`` dataset.

One seed gives the same picture bit for bit on one kind of processor. Another kind may give
other pixels, because NumPy and SciPy round differently with other instructions. The
``starter`` dataset therefore ships its pictures as files (``datasets/starter_pictures``, made by
``scripts/starter_pictures.py``); the painter is the source of further pictures for training.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nstbench.core.errors import UsageError, did_you_mean
from nstbench.pictures.painter.paintings.abstraction import abstraction
from nstbench.pictures.painter.paintings.action_painting import action_painting
from nstbench.pictures.painter.paintings.art_nouveau import art_nouveau
from nstbench.pictures.painter.paintings.colour_field import colour_field
from nstbench.pictures.painter.paintings.cubism import cubism
from nstbench.pictures.painter.paintings.etching import etching
from nstbench.pictures.painter.paintings.fauvism import fauvism
from nstbench.pictures.painter.paintings.ink_wash import ink_wash
from nstbench.pictures.painter.paintings.mosaic import mosaic
from nstbench.pictures.painter.paintings.nocturne import nocturne
from nstbench.pictures.painter.paintings.pointillism import pointillism
from nstbench.pictures.painter.paintings.stained_glass import stained_glass
from nstbench.pictures.painter.paintings.water_lilies import water_lilies
from nstbench.pictures.painter.paintings.woodblock import woodblock
from nstbench.pictures.painter.tools.painting import LABEL_COLOURS, Label, Painting

__all__ = ["LABEL_COLOURS", "STYLES", "Label", "Painting", "paint", "painting"]

# Neighbours use different media, so a run with only the first styles has variety, too.
STYLES: dict[str, Callable[[np.random.Generator, int], Painting]] = {
    "nocturne": nocturne,
    "stained_glass": stained_glass,
    "woodblock": woodblock,
    "pointillism": pointillism,
    "etching": etching,
    "mosaic": mosaic,
    "colour_field": colour_field,
    "cubism": cubism,
    "abstraction": abstraction,
    "action_painting": action_painting,
    "fauvism": fauvism,
    "ink_wash": ink_wash,
    "art_nouveau": art_nouveau,
    "water_lilies": water_lilies,
}

# Part of the seed of each style, chosen by eye so that picture 0 shows the style well.
_EDITIONS = {
    "nocturne": 3,
    "stained_glass": 5,
    "woodblock": 24,
    "pointillism": 3,
    "etching": 1,
    "mosaic": 3,
    "abstraction": 3,
    "cubism": 1,
    "fauvism": 2,
    "ink_wash": 3,
    "art_nouveau": 4,
    "water_lilies": 4,
    "action_painting": 4,
    "colour_field": 3,
}


def random_source(style: str, seed: int) -> np.random.Generator:
    """Return the random generator for one picture of a style."""
    return np.random.default_rng([zlib.crc32(style.encode()), _EDITIONS.get(style, 0), seed])


def painting(style: str, size: int = 512, seed: int = 0) -> Painting:
    """Return one painting, with labelled regions for styles that have them.

    Args:
        style: a name in ``STYLES``.
        size: side in pixels, at least 32.
        seed: number of the picture within its style, from 0.

    Raises:
        UsageError: if the style is unknown, or size or seed is too small.
    """
    if style not in STYLES:
        raise UsageError(
            f"The painter has no style '{style}'.{did_you_mean(style, STYLES)} "
            f"Styles: {', '.join(STYLES)}."
        )
    if size < 32:
        raise UsageError(f"A painting of {size} px is too small to show a style; use 32 or more.")
    if seed < 0:
        raise UsageError(f"The seed of a painting is {seed}; it must be 0 or more.")
    return STYLES[style](random_source(style, seed), size)


def paint(style: str, size: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """Return one painting as uint8 RGB (size, size, 3); see :func:`painting`.

    Example:
        >>> paint("colour_field", 32).shape
        (32, 32, 3)
    """
    return painting(style, size, seed).pixels()
