"""Colours for the painter: mixing, tinting and palettes in Oklab.

Oklab after B. Ottosson, "A perceptual color space for image processing", 2020.
All colours are float32 sRGB in [0, 1], except those whose names contain ``lab``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colours = NDArray[np.floating[Any]]

_TO_CONE = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_CONE = np.linalg.inv(_TO_CONE)
_FROM_LAB = np.linalg.inv(_TO_LAB)


def hexes(*codes: str) -> Colours:
    """Return colours (N, 3) from codes such as ``"1d3a6e"``."""
    return np.array(
        [[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes], dtype=np.float32
    )


def to_lab(rgb: ArrayLike) -> NDArray[np.float64]:
    """Return Oklab (..., 3): lightness in [0, 1], green-red, blue-yellow."""
    rgb = np.asarray(rgb, dtype=np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONE.T) @ _TO_LAB.T


def from_lab(lab: ArrayLike) -> Colours:
    """Return sRGB (..., 3) clipped to [0, 1]."""
    linear = np.clip((np.asarray(lab) @ _FROM_LAB.T) ** 3 @ _FROM_CONE.T, 0.0, 1.0)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb.astype(np.float32)


def mix(first: ArrayLike, second: ArrayLike, amount: ArrayLike) -> Colours:
    """Return the Oklab mixture; ``amount`` (...) is the share of ``second``."""
    t = np.asarray(amount, dtype=np.float64)[..., None]
    return from_lab(to_lab(first) * (1 - t) + to_lab(second) * t)


def ramp(colours: ArrayLike, position: ArrayLike) -> Colours:
    """Return colours along evenly spaced stops (N, 3) at ``position`` (...) in [0, 1]."""
    stops = to_lab(colours)
    at = np.clip(np.asarray(position, dtype=np.float64), 0.0, 1.0) * (len(stops) - 1)
    low = np.minimum(at.astype(np.intp), len(stops) - 2)
    t = (at - low)[..., None]
    return from_lab(stops[low] * (1 - t) + stops[low + 1] * t)


def shift(
    rgb: ArrayLike, lightness: ArrayLike = 0.0, chroma: ArrayLike = 1.0, hue: ArrayLike = 0.0
) -> Colours:
    """Return colours with lightness added, chroma multiplied and hue turned (radians)."""
    lab = to_lab(rgb)
    turn = np.asarray(hue, dtype=np.float64)
    gain = np.asarray(chroma, dtype=np.float64)
    a, b = lab[..., 1] * gain, lab[..., 2] * gain
    turned = [
        lab[..., 0] + np.asarray(lightness, dtype=np.float64),
        a * np.cos(turn) - b * np.sin(turn),
        a * np.sin(turn) + b * np.cos(turn),
    ]
    return from_lab(np.stack(np.broadcast_arrays(*turned), axis=-1))


def vary(
    rng: np.random.Generator,
    rgb: ArrayLike,
    lightness: float = 0.03,
    chroma: float = 0.12,
    hue: float = 0.08,
) -> Colours:
    """Return each colour (N, 3) with small random changes, as with a brush that is loaded again.

    Args:
        rng: source of randomness.
        rgb: colours (N, 3).
        lightness: deviation of the added lightness (Oklab).
        chroma: deviation of the logarithm of the factor of chroma.
        hue: deviation of the turn of hue in radians.
    """
    shape = np.asarray(rgb).shape[:-1]
    return shift(
        rgb,
        rng.normal(0.0, lightness, shape),
        np.exp(rng.normal(0.0, chroma, shape)),
        rng.normal(0.0, hue, shape),
    )


def choose(rng: np.random.Generator, palettes: Sequence[str], hue: float = 0.12) -> Colours:
    """Return one palette (N, 3), with the same small random change of hue and chroma for all.

    Args:
        rng: source of randomness.
        palettes: strings of colour codes that are separated by spaces.
        hue: largest turn in radians.
    """
    palette = hexes(*palettes[int(rng.integers(len(palettes)))].split())
    return shift(palette, 0.0, rng.uniform(0.9, 1.12), rng.uniform(-hue, hue))


def paint_over(below: Colours, above: ArrayLike, coverage: NDArray[np.floating]) -> Colours:
    """Return ``below`` (n, n, 3) covered by ``above`` where ``coverage`` (n, n) is 1."""
    cover = coverage[..., None].astype(np.float32)
    return below * (1 - cover) + np.asarray(above, dtype=np.float32) * cover
