"""Poured and thrown enamel in layers on raw canvas (after Pollock)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, shift
from nstbench.pictures.painter.tools.painting import Painting
from nstbench.pictures.painter.tools.panel import Panel
from nstbench.pictures.painter.tools.strokes import light, reduce

_SUPERSAMPLING = 2

# Canvas, then the enamels in the order they are poured.
_PALETTES = (
    "d9cbb0 8f9a9c 14120f f3efe4 c8742c 14120f e8b83c f7f4ea",
    "cfc4b4 3f6a7c 121418 f2ece0 b03024 e8c8a0 121418 f6f2e8",
    "e2d6bc 6f7a5c 1a1612 efe6d4 d8a02c 2c4f8c 1a1612 f4efe2",
)


def action_painting(rng: np.random.Generator, size: int) -> Painting:
    """Paint an action painting.

    Args:
        rng: source of randomness: rhythm, palette and every drip.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.4)
    side = size * _SUPERSAMPLING
    panel = Panel(side, _canvas(rng, side, palette[0]))
    swing = rng.uniform(0, np.pi)
    for k, enamel in enumerate(palette[1:]):
        heavy = k % 3 == 1
        for _ in range(3 if heavy else 2):
            _pour(rng, panel, enamel, swing + rng.normal(0, 0.5), 0.0042 if heavy else 0.0026)
        _skeins(rng, panel, enamel, 12 if heavy else 8)
        _splatter(rng, panel, enamel, 320)
        for _ in range(3 if heavy else 1):
            _splash(rng, panel, enamel)
    colour, height, _ = panel.arrays()
    skin = 0.04 * fields.resize(fields.noise(rng, side // 2, 0.008, 2), side)
    lit = light(colour, 9 * (height + skin), 0.45, 0.3, 1.1)
    return Painting(np.clip(reduce(lit, _SUPERSAMPLING), 0, 1))


def _canvas(rng: np.random.Generator, n: int, tint: Colours) -> Colours:
    x, y = fields.grid(n)
    warp = np.sin(2 * np.pi * 150 * x + fields.noise(rng, n, 0.1, 2))
    weft = np.sin(2 * np.pi * 150 * y + fields.noise(rng, n, 0.1, 2))
    stain = fields.resize(fields.noise(rng, n // 2, 0.3, 4), n)
    return shift(np.broadcast_to(tint, (n, n, 3)), 0.016 * warp * weft + 0.03 * stain)


def _pour(
    rng: np.random.Generator, panel: Panel, enamel: Colours, swing: float, half: float
) -> None:
    """Draw one long curved line, thicker where the movement is slow."""
    s = np.linspace(0, 1, 420)
    c, d = np.cos(swing), np.sin(swing)
    along = np.zeros_like(s)
    across = np.zeros_like(s)
    for k in range(1, 6):
        reach = 0.5 / k**0.75
        pace = 2 * np.pi * k * rng.uniform(1.1, 1.9)
        along += reach * np.sin(pace * s + rng.uniform(0, 6)) * 0.62
        across += reach * np.sin(pace * 1.27 * s + rng.uniform(0, 6)) * 0.62
    path = np.stack([0.5 + c * along - d * across, 0.5 + d * along + c * across], -1)
    _line(rng, panel, path, half, enamel)


def _skeins(rng: np.random.Generator, panel: Panel, enamel: Colours, count: int) -> None:
    """Draw short loops of thrown paint."""
    for _ in range(count):
        s = np.linspace(0, 1, 70)
        turn = (
            rng.uniform(0, 6)
            + rng.normal(0, 2.2) * s
            + rng.uniform(0.5, 2.2) * np.sin(7 * s + rng.uniform(0, 6))
        )
        step = rng.uniform(0.15, 0.55) / 70 * (1.3 - 0.8 * s)
        path = rng.uniform(-0.05, 1.05, 2) + np.cumsum(
            np.stack([np.cos(turn), np.sin(turn)], -1) * step[:, None], 0
        )
        _line(rng, panel, path, rng.uniform(0.0012, 0.0028), enamel)


def _line(
    rng: np.random.Generator, panel: Panel, path: NDArray, half: float, enamel: Colours
) -> None:
    speed = np.hypot(*np.gradient(path, axis=0).T)
    slow = np.clip(np.median(speed) / (speed + 1e-6), 0.4, 2.6)
    phase = rng.uniform(0, 6)
    beads = 1 + 0.35 * np.sin(np.arange(len(path)) * 0.55 + phase) * np.sin(
        np.arange(len(path)) * 0.13
    )
    width = half * slow * beads * np.sqrt(np.clip(np.linspace(0, 8, len(path)), 0, 1))
    height = int(rng.integers(110, 200))
    panel.ribbon(path, width, enamel, height)
    for k in rng.choice(len(path), 10):
        panel.disc(path[k], width[k] * rng.uniform(1.3, 2.6), enamel, height + 20)


def _splatter(rng: np.random.Generator, panel: Panel, enamel: Colours, count: int) -> None:
    """Draw drops in a few groups."""
    centres = rng.uniform(0, 1, (5, 2))
    which = rng.integers(0, 5, count)
    drops = centres[which] + rng.normal(0, 0.13, (count, 2))
    for drop, radius in zip(drops, rng.lognormal(-6.25, 0.55, count), strict=True):
        panel.disc(drop, float(np.clip(radius, 0.0008, 0.009)), enamel, int(rng.integers(110, 190)))


def _splash(rng: np.random.Generator, panel: Panel, enamel: Colours) -> None:
    """Draw a pool with spikes."""
    at, reach = rng.uniform(0.05, 0.95, 2), rng.uniform(0.008, 0.02)
    turn = np.linspace(0, 2 * np.pi, 120)
    rim = reach * (1 + 0.16 * np.sin(5 * turn + rng.uniform(0, 6)) + 0.1 * np.sin(11 * turn))
    for spike in rng.uniform(0, 2 * np.pi, 9):
        gap = np.angle(np.exp(1j * (turn - spike)))
        rim += reach * rng.uniform(0.3, 1.5) * np.exp(-((gap / 0.055) ** 2))
    panel.shape(at + rim[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1), enamel, 195)
    for _ in range(14):
        out, far = rng.uniform(0, 2 * np.pi), reach * rng.uniform(1.8, 4.5)
        drop = at + far * np.array([np.cos(out), np.sin(out)])
        panel.disc(drop, reach * rng.uniform(0.05, 0.18), enamel, 170)
