"""Soft-edged fields of layered colour on a varied ground (after Rothko)."""

from __future__ import annotations

import numpy as np

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, shift
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Painting

# Ground, then the fields from top to bottom, each with a second colour over the first one.
_PALETTES = (
    "7a1a16 e8762c f0a83c 4a0e12 8c1c1c c83a20 e0582a",
    "16223f 2f5fa0 5f93c8 0e1428 243560 d88a4c e8b078",
    "d8a83c f2d468 f7e49c d8582c e8803c 8c2c20 b0402c",
    "2c1f2a 7c2f4c a84f6c 1a1420 3a2a3c c87c6c e0a08c",
)


def colour_field(rng: np.random.Generator, size: int) -> Painting:
    """Paint a colour field.

    Args:
        rng: source of randomness: proportions, palette and the brush.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.6)
    x, y = fields.grid(size)
    picture = _scumble(rng, size, palette[0], shift(palette[0], 0.05), 0.5)
    margin = rng.uniform(0.065, 0.09)
    cuts = np.sort(rng.uniform([0.36, 0.62], [0.5, 0.72]))
    edges = [margin, *cuts, 1 - margin]
    order = rng.permutation(3)
    for k in range(3):
        gap = 0.5 * rng.uniform(0.022, 0.04)
        top = edges[k] + (gap if k else 0.0)
        bottom = edges[k + 1] - (gap if k < 2 else 0.0)
        tint, veil = palette[1 + 2 * order[k]], palette[2 + 2 * order[k]]
        cover = _field(rng, size, x, y, margin, top, bottom)
        paint = _scumble(rng, size, tint, veil, 0.5)
        glow = fields.blur(cover, 0.02)
        picture = picture + (0.16 * (glow * (1 - cover))[..., None]) * (veil - picture)
        picture = picture * (1 - cover[..., None]) + paint * cover[..., None]
    breath = 0.05 * np.exp(-(((x - 0.5) / 0.38) ** 2 + ((y - 0.45) / 0.42) ** 2))
    picture = shift(picture, breath - 0.02)
    threads = np.sin(2 * np.pi * 190 * x) * np.sin(2 * np.pi * 190 * y)
    weave = 0.009 * threads + 0.008 * fields.noise(rng, size, 0.006, 2)
    return Painting(np.clip(picture * (1 + weave)[..., None], 0, 1))


def _field(
    rng: np.random.Generator, n: int, x: Field, y: Field, margin: float, top: float, bottom: float
) -> Field:
    """Return the coverage of one field: frayed by the brush, thin towards its edge."""
    fray = 0.005 * fields.noise(rng, n, (0.12, 0.12), 4) + 0.002 * fields.noise(rng, n, 0.02, 2)
    brushed = 0.005 * fields.noise(rng, n, (0.2, 0.01), 3)
    inside = np.minimum(
        np.minimum(x - margin, 1 - margin - x) + fray,
        np.minimum(y - top, bottom - y) + fray + brushed,
    )
    cover = fields.smoothstep(-0.013, 0.034, inside)
    worn = 0.84 + 0.16 * fields.smoothstep(-1.2, 0.6, fields.noise(rng, n, (0.16, 0.05), 4))
    return cover * worn


def _scumble(
    rng: np.random.Generator, n: int, below: Colours, veil: Colours, strength: float
) -> Colours:
    """Return a colour under a thin layer of another, brushed crosswise."""
    cloud = fields.noise(rng, n, (0.4, 0.25), 4)
    across = fields.noise(rng, n, (0.3, 0.02), 3)
    down = fields.noise(rng, n, (0.025, 0.25), 3)
    share = np.clip(strength + 0.2 * cloud + 0.1 * across + 0.07 * down, 0, 1)
    return mix(below, veil, share)
