"""Scalar and direction fields, which control brushes, hatches and tiles.

Positions are (x, y) with x to the right, y downwards, both in [0, 1] over the
picture. Fields are floating arrays (n, n) indexed ``[row, column]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Field = NDArray[np.floating[Any]]

# Polygon masks are drawn this many times larger and averaged down for soft edges.
_MASK_SUPERSAMPLING = 3


def grid(n: int) -> tuple[Field, Field]:
    """Return x and y of the pixel centres, two float32 arrays (n, n) in (0, 1)."""
    axis = ((np.arange(n) + 0.5) / n).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def resize(field: NDArray[np.floating], n: int) -> Field:
    """Return ``field`` resampled bicubically to (n, n)."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((n, n), Image.Resampling.BICUBIC))


def noise(
    rng: np.random.Generator,
    n: int,
    scale: float | tuple[float, float],
    octaves: int = 4,
    gain: float = 0.5,
) -> Field:
    """Return smooth fractal noise (n, n) of zero mean and unit variance.

    The number of random numbers does not depend on ``n``, so the noise is the same at
    every size.

    Args:
        rng: source of randomness.
        n: side of the field in pixels.
        scale: size of the largest blobs as a fraction of the picture; a pair is (x, y).
        octaves: number of layers; the blobs of a layer have half the size of the previous one.
        gain: weight of a layer relative to the previous one.
    """
    along_x, along_y = scale if isinstance(scale, tuple) else (scale, scale)
    total = np.zeros((n, n), dtype=np.float32)
    for octave in range(octaves):
        columns = max(2, round(2**octave / along_x)) + 3
        rows = max(2, round(2**octave / along_y)) + 3
        cells = rng.standard_normal((rows, columns)).astype(np.float32)
        image = Image.fromarray(cells)
        # The edge cells are cut off because bicubic sampling is one-sided there.
        box = (1.5, 1.5, columns - 1.5, rows - 1.5)
        layer = image.resize((n, n), Image.Resampling.BICUBIC, box=box)
        total += gain**octave * np.asarray(layer)
    return (total - total.mean()) / (total.std() + 1e-6)


def smoothstep(low: float, high: float, value: NDArray[np.floating]) -> Field:
    """Return 0 below ``low``, 1 above ``high`` and a smooth ramp between them."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def blur(field: NDArray[np.floating], radius: float) -> Field:
    """Return ``field`` smoothed with a Gaussian; ``radius`` is its deviation / picture side."""
    sigma = radius * field.shape[0]
    smoothed: Field = ndimage.gaussian_filter(
        field.astype(np.float32), (sigma, sigma) + (0,) * (field.ndim - 2), mode="nearest"
    )
    return smoothed


def pixels(points: NDArray[np.floating], n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of the pixels under ``points`` (..., 2), clipped to the picture."""
    index = np.clip((points * n).astype(np.intp), 0, n - 1)
    return index[..., 1], index[..., 0]


def sample(field: NDArray, points: NDArray[np.floating]) -> NDArray:
    """Return the values of ``field`` (n, n, ...) at ``points`` (..., 2), nearest pixel."""
    return field[pixels(points, field.shape[0])]


def displace(field: NDArray[np.floating], dx: Field, dy: Field) -> Field:
    """Return ``field`` (n, n) looked up at positions moved by (dx, dy), bilinearly."""
    n = field.shape[0]
    rows, columns = np.mgrid[0:n, 0:n].astype(np.float32)
    moved: Field = ndimage.map_coordinates(
        field, [rows + dy * n, columns + dx * n], order=1, mode="nearest"
    )
    return moved


def trace(
    angle: Field, start: NDArray[np.floating], length: NDArray[np.floating], points: int
) -> NDArray[np.float32]:
    """Follow a direction field from each start, half of the length in each direction.

    Args:
        angle: direction in radians (n, n).
        start: middle of each path (N, 2).
        length: length of each path (N,) as a fraction of the picture.
        points: vertices per path, odd.

    Returns:
        float32 array (N, points, 2).
    """
    half = points // 2
    paths = np.empty((len(start), 2 * half + 1, 2), dtype=np.float32)
    paths[:, half] = start
    step = (np.asarray(length) / (2 * half))[:, None]
    for way in (1, -1):
        here: NDArray = np.asarray(start, dtype=np.float32)
        before: NDArray | None = None
        for k in range(1, half + 1):
            turn = sample(angle, here)
            move = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * way
            if before is not None:
                # A brush has no forward direction: take the one that does not turn back.
                move *= np.where((move * before).sum(-1, keepdims=True) < 0, -1, 1)
            here = here + move * step
            before = move
            paths[:, half + way * k] = here
    return paths


def scatter(rng: np.random.Generator, spacing: float, jitter: float = 0.5) -> NDArray[np.float32]:
    """Return jittered grid points (N, 2) that cover the picture, in random order.

    Args:
        rng: source of randomness.
        spacing: distance of neighbours as a fraction of the picture.
        jitter: largest displacement in units of ``spacing``.
    """
    count = int(np.ceil(1.0 / spacing)) + 1
    axis = (np.arange(count) + 0.5) / (count - 1) - 0.5 / (count - 1)
    x, y = np.meshgrid(axis, axis)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    points += rng.uniform(-jitter, jitter, points.shape) * spacing
    rng.shuffle(points)
    return points.astype(np.float32)


def curve(points: ArrayLike, per_segment: int = 12) -> NDArray[np.float32]:
    """Return a smooth open curve (M, 2) through ``points`` (centripetal Catmull-Rom).

    Follows E. Catmull and R. Rom, "A class of local interpolating splines", 1974.
    """
    knots = np.asarray(points, dtype=np.float64)
    knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0.0, 1.0, per_segment, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(knots[:-3], knots[1:-2], knots[2:-1], knots[3:], strict=True):
        pieces.append(
            b
            + 0.5 * t * (c - a)
            + t**2 * (a - 2.5 * b + 2 * c - 0.5 * d)
            + t**3 * (-0.5 * a + 1.5 * b - 1.5 * c + 0.5 * d)
        )
    pieces.append(knots[-2:-1])
    return np.concatenate(pieces).astype(np.float32)


def mask(polygon: NDArray[np.floating] | Sequence[Sequence[float]], n: int) -> Field:
    """Return the coverage in [0, 1] of a polygon (M, 2) on (n, n) pixels, anti-aliased."""
    large = n * _MASK_SUPERSAMPLING
    image = Image.new("L", (large, large))
    corners = (np.asarray(polygon, dtype=np.float64) * large).ravel().tolist()
    ImageDraw.Draw(image).polygon(corners, fill=255)
    return np.asarray(image.reduce(_MASK_SUPERSAMPLING), dtype=np.float32) / 255.0


def inside(polygon: NDArray[np.floating] | Sequence[Sequence[float]], n: int) -> NDArray[np.bool_]:
    """Return True for the pixels (n, n) that a polygon (M, 2) covers."""
    image = Image.new("L", (n, n))
    corners = (np.asarray(polygon, dtype=np.float64) * n).ravel().tolist()
    ImageDraw.Draw(image).polygon(corners, fill=1)
    return np.asarray(image) > 0


def ridge(rng: np.random.Generator, n: int, roughness: Sequence[tuple[float, float]]) -> Field:
    """Return a skyline (n,): a sum of smooth random profiles.

    Args:
        rng: source of randomness.
        n: samples along x.
        roughness: pairs (wavelength, height) as fractions of the picture.
    """
    x = np.linspace(0.0, 1.0, n)
    line = np.zeros(n)
    for wavelength, height in roughness:
        knots = max(2, round(1 / wavelength)) + 3
        values = rng.uniform(-1, 1, knots)
        at = (x + rng.uniform(0, 1) * wavelength) / wavelength
        line += height * ndimage.map_coordinates(values, [np.clip(at, 0, knots - 1)], order=3)
    return line.astype(np.float32)
