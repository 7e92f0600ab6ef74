"""The result of painting: a picture and, for most styles, its labelled regions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools.colour import Colours


class Label(IntEnum):
    """Meaning of a region, in painted styles and in the maps of photographs.

    ``SKY`` is any background; ``LIGHT`` is the brightest part (sun, stars, lamps, foam).
    """

    SKY = 0
    LIGHT = 1
    HILLS = 2
    GROUND = 3
    WATER = 4
    FOLIAGE = 5
    BUILDING = 6
    SKIN = 7
    HAIR = 8
    CLOTH = 9
    OBJECT = 10
    VESSEL = 11


# Far apart in RGB, so labels are recognised after resizing and slight compression.
LABEL_COLOURS: dict[Label, tuple[int, int, int]] = {
    Label.SKY: (90, 170, 255),
    Label.LIGHT: (255, 255, 0),
    Label.HILLS: (130, 80, 190),
    Label.GROUND: (190, 140, 60),
    Label.WATER: (0, 0, 255),
    Label.FOLIAGE: (0, 150, 0),
    Label.BUILDING: (160, 160, 160),
    Label.SKIN: (255, 190, 170),
    Label.HAIR: (90, 30, 0),
    Label.CLOTH: (255, 90, 0),
    Label.OBJECT: (255, 0, 160),
    Label.VESSEL: (0, 220, 220),
}


@dataclass(frozen=True, eq=False, slots=True)
class Painting:
    """A finished picture.

    Attributes:
        colours: float32 sRGB (n, n, 3) in [0, 1].
        labels: uint8 values of :class:`Label` (n, n), or ``None`` for pictures without regions.
    """

    colours: Colours
    labels: NDArray[np.uint8] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB (n, n, 3)."""
        return np.round(np.clip(self.colours, 0.0, 1.0) * 255).astype(np.uint8)

    def label_pixels(self) -> NDArray[np.uint8] | None:
        """Return the regions in label colours, uint8 RGB (n, n, 3), or ``None``."""
        if self.labels is None:
            return None
        table = np.array([LABEL_COLOURS[label] for label in Label], dtype=np.uint8)
        return table[self.labels]
