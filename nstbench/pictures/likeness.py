"""Compare two pictures: the same picture in two files, and edges at the same places.

Pictures are uint8 RGB (H, W, 3).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from nstbench.pictures.picture import same_proportions

_SIDE = 32
_LEVELS = 1.0
_SHARE = 0.1
_EDGE_SIDE = 256


def same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two files show the same picture, apart from size and compression.

    Both are reduced to 32 x 32 pixels. There they may differ by one level of 255 and a tenth of
    their standard deviation on average.

    Example:
        >>> ramp = np.arange(4096, dtype=np.uint8).reshape(64, 64, 1).repeat(3, 2)
        >>> same_picture(ramp, ramp), same_picture(ramp, ramp.transpose(1, 0, 2))
        (True, False)
    """
    if not same_proportions(first, second):
        return False
    small = [
        np.asarray(Image.fromarray(p).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
        for p in (first, second)
    ]
    allowed = _LEVELS + _SHARE * min(float(picture.std()) for picture in small)
    return float(np.abs(small[0] - small[1]).mean()) <= allowed


def edge_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of the edges of two pictures of one shape, in [-1, 1].

    An edge is the length of the gradient of the blurred brightness. A picture without edges has
    the correlation 0.

    Raises:
        ValueError: if the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"shapes {first.shape} and {second.shape} differ")
    one, other = _edges(first), _edges(second)
    scale = float(one.std() * other.std())
    if scale < 1e-6:
        return 0.0
    return float(((one - one.mean()) * (other - other.mean())).mean()) / scale


def _edges(pixels: np.ndarray) -> np.ndarray:
    grey = Image.fromarray(pixels).convert("L")
    grey.thumbnail((_EDGE_SIDE, _EDGE_SIDE), Image.Resampling.BOX)
    blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(1)), np.float64)
    down, right = np.gradient(blurred)
    return np.hypot(down, right)
