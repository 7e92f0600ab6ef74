"""Damage pictures in known steps: each step is worse than the one before.

Pixels are uint8 RGB (H, W, 3). Lengths are for a short side of 256 px, and are
scaled with the picture.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]

REFERENCE_SIDE = 256


def rounded(values: NDArray[np.float64]) -> Pixels:
    """Return values on the scale 0..255 as pixels."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def scaled(pixels: Pixels, length: float) -> float:
    """Return a length at a short side of 256 px in pixels of this picture."""
    return length * min(pixels.shape[:2]) / REFERENCE_SIDE


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """Return the picture under a Gaussian of ``sigma`` pixels at a short side of 256."""
    if sigma == 0:
        return pixels
    reach = scaled(pixels, sigma)
    return rounded(gaussian_filter(pixels.astype(np.float64), (reach, reach, 0)))


def noisy(pixels: Pixels, sigma: float, seed: int = 0) -> Pixels:
    """Return the picture with Gaussian noise; ``sigma`` is on the scale [0, 1]."""
    noise = np.random.default_rng(seed).standard_normal(pixels.shape)
    return rounded(pixels + 255 * sigma * noise)


def compressed(pixels: Pixels, quality: float) -> Pixels:
    """Return the picture after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(quality))
    with Image.open(buffer) as image:
        return np.array(image.convert("RGB"))


def pixelated(pixels: Pixels, square: float) -> Pixels:
    """Return the picture in squares of one colour; ``square`` is their side."""
    side = max(1, round(scaled(pixels, square)))
    height, width = pixels.shape[:2]
    small = (max(1, width // side), max(1, height // side))
    image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
    return np.array(image.resize((width, height), Image.Resampling.NEAREST))


def faded(pixels: Pixels, share: float) -> Pixels:
    """Return the picture with ``share`` of its colour taken away; 1 is grey."""
    grey = pixels.mean(axis=2, keepdims=True)
    return rounded((1 - share) * pixels + share * grey)


def shuffled(pixels: Pixels, share: float) -> Pixels:
    """Return the picture with ``share`` of its squares of 32 px exchanged, always the same ones."""
    side = max(1, round(scaled(pixels, 32)))
    tops, lefts = (range(0, length - side + 1, side) for length in pixels.shape[:2])
    corners = [(top, left) for top in tops for left in lefts]
    order = np.random.default_rng(0).permutation(len(corners))[: round(share * len(corners))]
    result = pixels.copy()
    for to, at in zip(order, np.roll(order, 1), strict=True):
        (y, x), (v, u) = corners[to], corners[at]
        result[y : y + side, x : x + side] = pixels[v : v + side, u : u + side]
    return result


def holed(pixels: Pixels, side: float) -> Pixels:
    """Return the picture with a grey square of ``side`` in its middle."""
    edge = round(scaled(pixels, side))
    top, left = ((length - edge) // 2 for length in pixels.shape[:2])
    result = pixels.copy()
    result[top : top + edge, left : left + edge] = 128
    return result
