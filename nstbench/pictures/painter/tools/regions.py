"""Semantic maps of the photographs that come with scikit-image and scikit-learn.

They are drawn by hand as polygons; later polygons cover earlier ones.
Corners are (x, y) in percent of width and height.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools.painting import LABEL_COLOURS, Label

Polygon = tuple[tuple[float, float], ...]


def _corners(text: str) -> Polygon:
    """Return the corners of ``"x,y x,y ..."``."""
    pairs = (corner.split(",") for corner in text.split())
    return tuple((float(x), float(y)) for x, y in pairs)


def _ellipse(x: float, y: float, wide: float, high: float, lean: float = 0.0) -> Polygon:
    turn = np.linspace(0, 2 * np.pi, 41)[:-1]
    u, v = wide * np.cos(turn), high * np.sin(turn)
    c, s = np.cos(lean), np.sin(lean)
    corners = np.stack([x + c * u - s * v, y + s * u + c * v], axis=-1)
    return tuple((float(a), float(b)) for a, b in corners)


_ASTRONAUT: tuple[tuple[Label, Polygon], ...] = (
    (Label.OBJECT, _corners("0,0 10,0 12.5,18 9,23 16,33 22,45 10,60 8,100 0,100")),
    (
        Label.OBJECT,
        _corners("74,16 75,8 78,2 80,0 84,3 86,8 88,10 89,42 89,53 72,55 71,52 74,44 69,43 74,35"),
    ),
    (Label.OBJECT, _corners("72,54 100,53 100,100 70,100 71,60")),
    (
        Label.CLOTH,
        _corners("22,41 30,50 50,57 59,46 66,51 69,58 71,68 72,100 6,100 4,82 7,58 14,46"),
    ),
    (Label.OBJECT, _ellipse(42, 43, 19, 12.5, 0.42)),
    (
        Label.OBJECT,
        _corners("55,100 55,88 58,77 65,71 72,68 80,67 88,69.5 94,76 97,87 99,92 100,100"),
    ),
    (
        Label.HAIR,
        _corners("30,15 32,10 36,6.5 41,4 46,3 52,5 56,9 58.5,15 58,20 55,25 52,25.5 36,25 32,21"),
    ),
    (
        Label.SKIN,
        _corners("35.5,17 38,15 44,15 50,17 53,17 53.5,25 52,27 50,33 46,37 41,36 37,31 35,25"),
    ),
)

_COFFEE: tuple[tuple[Label, Polygon], ...] = (
    (Label.GROUND, _corners("0,0 100,0 100,100 0,100")),
    (Label.SKY, _corners("0,0 23,0 12,12 0,26")),
    (Label.OBJECT, _ellipse(46.3, 56, 33.6, 41)),
    (
        Label.VESSEL,
        _corners("29,26 67.5,26 66,44 63,57 58,66 48,71 42,66 41,72 37,77 33,73 34,62 37,58 31,48"),
    ),
    (Label.VESSEL, _ellipse(48.3, 28, 19.5, 23.6)),
    (
        Label.WATER,
        _corners("34.5,36 38,28 45,24 52,25 58,29 61.5,37 61,41 55,47 48,48.5 40,46 36,42"),
    ),
    (
        Label.LIGHT,
        _corners(
            "66.5,18 69,16.5 70.7,19 68,32 64,57 67.5,66 66,76 60,81.5 55,77 54.5,67 53,62 57,60 "
            "61,60 63,54 66,40 67.5,27"
        ),
    ),
)

_CHINA: tuple[tuple[Label, Polygon], ...] = (
    (Label.SKY, _corners("0,0 100,0 100,100 0,100")),
    (Label.HILLS, _corners("0,49 14,48 52,47 65,48 90,48 90,57 0,66")),
    (Label.WATER, _corners("0,66 10,63 50,56 65,56.5 78,56 88,52 90,80 0,80")),
    (Label.FOLIAGE, _corners("0,34 1,42 5,44 8,49 11.5,53 10.5,57 5,61 0,65")),
    (
        Label.BUILDING,
        _corners(
            "30.5,8 32,6.8 33.5,8 33.7,14 36,18 42,23 49.5,27.5 49,30 46,31.5 46,37 51.3,40 51,43 "
            "50,44 50,53 51,55 55,59 54,62 53,63 53,71 58,77 53,87 48,100 30,100 12,80 12,67 "
            "10,62 15,57 15,44 13,41 18.5,37 18.5,32 15,30 15,26 24,20 29,16"
        ),
    ),
    (Label.FOLIAGE, _corners("0,69 4,70 6,77 12,80 20,78 25,82 33,87 42,91 47,100 0,100")),
    (
        Label.FOLIAGE,
        _corners(
            "50,100 53,88 58,80 62,75 67,72 76,69 83,64 87,66 86,58 87,49 90,43 91,35 95,32 "
            "100,37 100,100"
        ),
    ),
)

_ROCKET: tuple[tuple[Label, Polygon], ...] = (
    (Label.SKY, _corners("0,0 100,0 100,100 0,100")),
    (Label.GROUND, _corners("0,96 42,97 58,97 100,96 100,100 0,100")),
    (Label.BUILDING, _corners("8,0 13.5,0 12.2,100 0,100 1,78 5,40")),
    (Label.BUILDING, _corners("87.5,0 93,0 100,55 100,100 90,100")),
    (Label.BUILDING, _corners("31,29 31.8,29 31.8,45 31.8,96 26.5,96 29.7,45 31,44")),
    (Label.BUILDING, _corners("69.3,29 70,29 71,45 74,96 68.5,96 69,45")),
    (
        Label.OBJECT,
        _corners(
            "48.5,35 49.3,31 50.2,30 51.5,31.5 52.2,36 52.4,60 52.2,80 55.5,85 55.5,95 45,95 "
            "45,85 48.3,80"
        ),
    ),
    (Label.BUILDING, _corners("41.8,95.5 58.3,95.5 58.3,100 41.8,100")),
    (Label.LIGHT, _ellipse(23.6, 88, 3, 4.5)),
    (Label.LIGHT, _ellipse(30.2, 92.5, 3, 4.5)),
    (Label.LIGHT, _ellipse(56.8, 93, 3, 4.5)),
    (Label.LIGHT, _ellipse(67.6, 92, 2.2, 3.4)),
    (Label.LIGHT, _ellipse(17.3, 97.5, 2.6, 3.6)),
    (Label.LIGHT, _ellipse(70.5, 98, 2.8, 3.6)),
    (Label.LIGHT, _ellipse(13, 82, 1.4, 2.1)),
)

PHOTOGRAPHS = {
    "astronaut": _ASTRONAUT,
    "coffee": _COFFEE,
    "china": _CHINA,
    "rocket": _ROCKET,
}


def photograph_map(name: str, width: int, height: int) -> NDArray[np.uint8]:
    """Return the regions of a photograph in label colours.

    Args:
        name: a key of ``PHOTOGRAPHS``.
        width: width of the photograph in pixels.
        height: height of the photograph in pixels.

    Returns:
        uint8 RGB (height, width, 3); the colours are those of painted styles.

    Raises:
        KeyError: if there is no map of that name.
    """
    image = Image.new("RGB", (width, height), LABEL_COLOURS[Label.SKY])
    draw = ImageDraw.Draw(image)
    for label, polygon in PHOTOGRAPHS[name]:
        corners = [(x * width / 100, y * height / 100) for x, y in polygon]
        draw.polygon(corners, fill=LABEL_COLOURS[label])
    return np.asarray(image)
