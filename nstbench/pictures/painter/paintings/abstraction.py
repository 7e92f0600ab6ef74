"""Geometric abstraction: circles, wedges, grids and lines (after Kandinsky)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, paint_over, shift
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Painting
from nstbench.pictures.painter.tools.strokes import reduce

_SUPERSAMPLING = 2

# Ground, ground shade, ink, then the working colours: red, yellow, blue, green, violet, rose, sky.
_PALETTES = (
    "f1e7d0 d8cdb8 1a1a22 d2362a f2b824 2450a4 2f8f6b 6b3f8f eb9a86 8fc3d9",
    "e9e2d4 bfc6c4 15202b e0522c f6c544 1d6f8c 7fa03c 8a3c6f f2b08f a9d3cf",
    "20283c 38405c f2ead6 e8503a f7cd4c 4f8fd6 5fb48f a06fc0 f29aa0 b8d8e8",
)

_COLOURS = slice(3, 10)


class _Sheet:
    """A canvas for transparent washes and opaque ink, with anti-aliased edges."""

    def __init__(self, side: int, ground: Colours) -> None:
        self.side = side
        self.colour = ground
        self.x, self.y = fields.grid(side)

    def stencil(self, polygon: ArrayLike) -> tuple[tuple[slice, slice], Field] | None:
        """Return the window of a polygon and its coverage there."""
        at = np.asarray(polygon, dtype=np.float64) * self.side
        low = np.clip(np.floor(at.min(axis=0)).astype(int) - 1, 0, self.side)
        high = np.clip(np.ceil(at.max(axis=0)).astype(int) + 2, 0, self.side)
        if (high - low < 1).any():
            return None
        twice = Image.new("L", tuple((2 * (high - low)).tolist()))
        ImageDraw.Draw(twice).polygon(((at - low) * 2).ravel().tolist(), fill=255)
        cover = np.asarray(twice.reduce(2), dtype=np.float32) / 255
        return (slice(low[1], high[1]), slice(low[0], high[0])), cover

    def wash(
        self,
        polygon: ArrayLike,
        first: Colours,
        second: Colours | None = None,
        turn: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill a polygon with one colour, or with a gradient to a second along ``turn``."""
        cut = self.stencil(polygon)
        if cut is None:
            return
        window, cover = cut
        tint: Colours = np.asarray(first)
        if second is not None:
            x, y = self.x[window], self.y[window]
            along = x * np.cos(turn) + y * np.sin(turn)
            share = (along - along.min()) / (np.ptp(along) + 1e-6)
            tint = mix(first, second, share)
        self.colour[window] = paint_over(self.colour[window], tint, opacity * cover)

    def line(self, points: ArrayLike, width: float, ink: Colours) -> None:
        """Draw a line of even width with square ends."""
        at = np.asarray(points, dtype=np.float64)
        tangent = np.gradient(at, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        side = 0.5 * width * np.stack([-tangent[:, 1], tangent[:, 0]], -1)
        self.wash(np.concatenate([at + side, (at - side)[::-1]]), ink)

    def circle(
        self,
        at: ArrayLike,
        radius: float,
        first: Colours,
        second: Colours | None = None,
        turn: float = 0.8,
        opacity: float = 1.0,
    ) -> None:
        """Fill a circle."""
        self.wash(_ring(at, radius), first, second, turn, opacity)

    def ring(self, at: ArrayLike, radius: float, width: float, ink: Colours) -> None:
        """Draw a circle line."""
        self.line(_ring(at, radius, 120), width, ink)

    def halo(self, at: NDArray, radius: float, tint: Colours, strength: float = 0.75) -> None:
        """Add a soft glow of colour to the ground."""
        r = np.hypot(self.x - at[0], self.y - at[1]) / radius
        glow = strength * np.exp(-(r**2) * 1.6)
        self.colour = paint_over(self.colour, tint, glow)


def _ring(at: ArrayLike, radius: float, steps: int = 90) -> NDArray:
    turn = np.linspace(0, 2 * np.pi, steps)
    return np.asarray(at) + radius * np.stack([np.cos(turn), np.sin(turn)], -1)


def abstraction(rng: np.random.Generator, size: int) -> Painting:
    """Compose a geometric abstraction.

    Args:
        rng: source of randomness: composition and palette.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.5)
    side = size * _SUPERSAMPLING
    sheet = _Sheet(side, _ground(rng, side, palette))
    axis = rng.uniform(-0.95, -0.55) if rng.random() < 0.5 else rng.uniform(-2.6, -2.2)
    sun = np.array([0.5, 0.5]) - 0.29 * np.array([np.cos(axis + 0.75), -np.sin(axis + 0.75)]) * [
        1,
        0.9,
    ]
    _planes(rng, sheet, palette, axis)
    _great_circle(rng, sheet, palette, sun)
    _wedges(rng, sheet, palette, axis)
    _checkers(rng, sheet, palette)
    _arches(rng, sheet, palette)
    _small_circles(rng, sheet, palette, sun)
    _rays(rng, sheet, palette, axis)
    _signs(rng, sheet, palette)
    return Painting(np.clip(_canvas(rng, reduce(sheet.colour, _SUPERSAMPLING)), 0, 1))


def _some(rng: np.random.Generator, palette: Colours, count: int) -> Colours:
    """Return different colours of the palette, each with a small random change."""
    pick = rng.permutation(len(palette[_COLOURS]))[:count]
    return shift(
        palette[_COLOURS][pick], rng.normal(0, 0.03, count), 1.0, rng.normal(0, 0.06, count)
    )


def _ground(rng: np.random.Generator, n: int, palette: Colours) -> Colours:
    x, y = fields.grid(n)
    turn = rng.uniform(0, 2 * np.pi)
    share = 0.5 + 0.45 * (np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5)) * 2
    cloud = 0.14 * fields.resize(fields.noise(rng, n // 2, 0.4, 4), n)
    ground = mix(palette[0], palette[1], np.clip(share + cloud, 0, 1))
    for tint in _some(rng, palette, 3):
        cx, cy = rng.uniform(0.05, 0.95, 2)
        r = np.hypot(x - cx, y - cy) / rng.uniform(0.16, 0.3)
        ground = paint_over(ground, tint, 0.3 * np.exp(-(r**2)))
    return ground


def _planes(rng: np.random.Generator, sheet: _Sheet, palette: Colours, axis: float) -> None:
    """Draw large transparent planes along the main diagonal."""
    out = np.array([np.cos(axis), np.sin(axis)])
    across = np.array([-out[1], out[0]])
    for tint in _some(rng, palette, 4):
        middle = 0.5 + rng.uniform(-0.25, 0.25) * out + rng.uniform(-0.28, 0.28) * across
        long, wide = rng.uniform(0.2, 0.42), rng.uniform(0.04, 0.13)
        skew = rng.uniform(-0.25, 0.25) * wide
        quad = [middle - long * out - wide * across, middle + long * out - (wide + skew) * across]
        quad += [middle + long * out + (wide - skew) * across, middle - long * out + wide * across]
        sheet.wash(quad, tint, mix(tint, palette[0], 0.75), axis + rng.choice([0, np.pi]), 0.62)


def _great_circle(rng: np.random.Generator, sheet: _Sheet, palette: Colours, at: NDArray) -> None:
    """Draw the dominant shape: a dark disc in concentric discs, with a glowing edge."""
    first, second, third, fourth = _some(rng, palette, 4)
    radius = rng.uniform(0.145, 0.18)
    sheet.halo(at, radius * 1.75, first, 0.85)
    sheet.circle(at, radius * 1.12, mix(first, palette[0], 0.25))
    sheet.circle(at, radius, palette[2], mix(palette[2], third, 0.45))
    inner = at + radius * rng.uniform(-0.16, 0.16, 2)
    sheet.circle(inner, radius * 0.66, second, mix(second, palette[2], 0.5), rng.uniform(0, 6))
    sheet.circle(inner + 0.12 * radius, radius * 0.34, fourth, mix(fourth, palette[0], 0.5))
    sheet.circle(inner + 0.16 * radius, radius * 0.12, palette[2])
    sheet.ring(at, radius * 1.3, 0.0035, palette[2])
    moon = at + radius * 1.32 * np.array([np.cos(rng.uniform(0, 6)), np.sin(rng.uniform(0, 6))])
    sheet.circle(moon, radius * 0.3, third, mix(third, palette[0], 0.6), 0.4, 0.9)
    sheet.ring(moon, radius * 0.3, 0.003, palette[2])


def _wedges(rng: np.random.Generator, sheet: _Sheet, palette: Colours, axis: float) -> None:
    """Draw long triangles across the picture in two crossing directions."""
    tints = _some(rng, palette, 5)
    for k, tint in enumerate(tints):
        turn = axis + (0.0, 0.12, np.pi / 2, 2.5, 0.7)[k] + rng.normal(0, 0.1)
        out = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-out[1], out[0]])
        tip = 0.5 + rng.uniform(0.05, 0.4) * out + rng.uniform(-0.3, 0.3) * across
        long, wide = rng.uniform(0.3, 0.62), rng.uniform(0.03, 0.075)
        base = tip - long * out
        triangle = np.stack([tip, base + wide * across, base - wide * across])
        sheet.wash(triangle, mix(tint, palette[0], 0.7), tint, turn, 0.88)
        if k < 3:
            sheet.line(np.stack([tip, base + wide * across]), 0.004, palette[2])
        if k == 1:
            for s in np.linspace(0.25, 0.95, 9):
                rib = tip - s * long * out
                sheet.line(
                    np.stack([rib + s * wide * across, rib - s * wide * across]), 0.0035, palette[2]
                )


def _checkers(rng: np.random.Generator, sheet: _Sheet, palette: Colours) -> None:
    """Draw two tilted chequered boards that narrow towards one end."""
    for _ in range(2):
        at, turn = rng.uniform(0.2, 0.8, 2), rng.uniform(-0.9, 0.9)
        rows, columns = int(rng.integers(3, 5)), int(rng.integers(4, 7))
        cell = rng.uniform(0.026, 0.036)
        tints = _some(rng, palette, 4)
        out, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        for i in range(rows):
            for j in range(columns):
                a, b = j**0.9 * cell, (j + 1) ** 0.9 * cell
                quad = [
                    at + out * u + down * v * cell
                    for u, v in ((a, i), (b, i), (b, i + 1), (a, i + 1))
                ]
                tint = tints[(i * 2 + j) % 4] if (i + j) % 2 else (palette[0], palette[2])[i % 2]
                sheet.wash(quad, tint, opacity=0.95)
        corner = [
            at,
            at + out * columns**0.9 * cell,
            at + out * columns**0.9 * cell + down * rows * cell,
            at + down * rows * cell,
            at,
        ]
        for a, b in itertools.pairwise(corner):
            sheet.line(np.stack([a, b]), 0.0032, palette[2])


def _arches(rng: np.random.Generator, sheet: _Sheet, palette: Colours) -> None:
    """Draw half-discs along a line, and a ribbon of arcs."""
    start = np.array([rng.uniform(0.08, 0.3), rng.uniform(0.72, 0.9)])
    turn, radius = rng.uniform(-0.35, 0.05), rng.uniform(0.035, 0.05)
    out = np.array([np.cos(turn), np.sin(turn)])
    for k, tint in enumerate(_some(rng, palette, 6)):
        centre = start + out * (2 * radius * k)
        span = np.linspace(turn + np.pi, turn + 2 * np.pi, 40)
        arc = centre + radius * np.stack([np.cos(span), np.sin(span)], -1)
        sheet.wash(arc, tint, mix(tint, palette[0], 0.5), turn + 1.6)
        sheet.line(arc, 0.0035, palette[2])
        sheet.wash(centre + 0.45 * (arc - centre), palette[2] if k % 2 else palette[0])
    sheet.line(np.stack([start - 1.5 * radius * out, start + 13 * radius * out]), 0.005, palette[2])
    pivot = np.array([rng.uniform(0.12, 0.88), rng.uniform(0.1, 0.45)])
    begin = rng.uniform(0, 6)
    for k in range(7):
        span = np.linspace(begin, begin + 2.1, 60)
        arc = pivot + (0.13 + 0.016 * k) * np.stack([np.cos(span), np.sin(span)], -1)
        sheet.line(arc, 0.0095 if k in (2, 5) else 0.003, palette[2] if k != 5 else palette[3])


def _small_circles(rng: np.random.Generator, sheet: _Sheet, palette: Colours, sun: NDArray) -> None:
    """Draw circles of decreasing size that overlap neither each other nor the dominant shape."""
    placed: list[tuple[NDArray, float]] = [(sun, 0.2)]
    for radius in np.geomspace(0.075, 0.012, 17):
        for _ in range(40):
            at = rng.uniform(0.06, 0.94, 2)
            if all(np.hypot(*(at - other)) > radius + reach + 0.02 for other, reach in placed):
                break
        placed.append((at, radius))
        first, second, third = _some(rng, palette, 3)
        if radius > 0.03:
            sheet.halo(at, radius * 2.0, second, 0.5)
        sheet.circle(at, radius, first, mix(first, palette[0], 0.35), rng.uniform(0, 6), 0.93)
        if radius > 0.022:
            sheet.circle(
                at, radius * 0.62, second, mix(second, palette[2], 0.35), rng.uniform(0, 6)
            )
            sheet.circle(at, radius * 0.28, palette[2] if rng.random() < 0.6 else third)
        if rng.random() < 0.7:
            sheet.ring(at, radius, 0.0034, palette[2])
        if rng.random() < 0.35:
            sheet.ring(at, radius * 1.35, 0.0022, palette[2])


def _rays(rng: np.random.Generator, sheet: _Sheet, palette: Colours, axis: float) -> None:
    """Draw long straight lines: a pair along the axis, fans, and parallel lines."""
    for offset in (0.0, 0.018):
        out = np.array([np.cos(axis), np.sin(axis)])
        across = np.array([-out[1], out[0]]) * (offset + rng.uniform(-0.02, 0.02))
        sheet.line(
            np.stack([0.5 - 0.62 * out + across, 0.5 + 0.62 * out + across]),
            0.0065 - 0.2 * offset,
            palette[2],
        )
    for _ in range(2):
        root, turn = rng.uniform(0.1, 0.9, 2), rng.uniform(0, 6)
        for k in range(5):
            ray = root + rng.uniform(0.3, 0.55) * np.array(
                [np.cos(turn + 0.09 * k), np.sin(turn + 0.09 * k)]
            )
            sheet.line(np.stack([root, ray]), 0.0026, palette[2])
    at, turn = rng.uniform(0.25, 0.75, 2), axis + np.pi / 2 + rng.normal(0, 0.15)
    out, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    for k in range(8):
        shove = across * 0.017 * k
        sheet.line(
            np.stack([at - 0.2 * out + shove, at + 0.2 * out + shove]),
            0.0024 + 0.0035 * (k % 4 == 0),
            palette[2],
        )


def _signs(rng: np.random.Generator, sheet: _Sheet, palette: Colours) -> None:
    """Draw small signs: waves, zigzags, ladders, crosses, dots."""
    for kind in range(7):
        at, turn = rng.uniform(0.08, 0.82, 2), rng.uniform(-0.8, 0.8)
        along = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-along[1], along[0]])
        s = np.linspace(0, 1, 80)
        ink = palette[2] if kind % 2 == 0 else _some(rng, palette, 1)[0]
        if kind < 3:
            wave = 0.017 * np.sin(s * 2 * np.pi * 4)
            sheet.line(at + along * (0.2 * s)[:, None] + across * wave[:, None], 0.0065, ink)
        elif kind < 5:
            tooth = 0.03 * (np.arange(9) % 2)
            zig = at + along * (0.022 * np.arange(9))[:, None] + across * tooth[:, None]
            for a, b in itertools.pairwise(zig):
                sheet.line(np.stack([a, b]), 0.006, ink)
        else:
            for k in range(6):
                rung = at + along * 0.024 * k
                sheet.line(np.stack([rung, rung + 0.05 * across]), 0.0045, ink)
    for _ in range(14):
        sheet.circle(rng.uniform(0.04, 0.96, 2), rng.uniform(0.003, 0.007), palette[2])


def _canvas(rng: np.random.Generator, colour: Colours) -> Colours:
    """Make the weave of the canvas and the dry brush visible in the paint."""
    n = colour.shape[0]
    x, y = fields.grid(n)
    threads = 170
    warp = np.sin(2 * np.pi * threads * x + 0.8 * fields.noise(rng, n, 0.1, 2))
    weft = np.sin(2 * np.pi * threads * y + 0.8 * fields.noise(rng, n, 0.1, 2))
    weave = 0.012 * warp * weft
    scumble = 0.014 * fields.noise(rng, n, (0.09, 0.012), 3) + 0.012 * fields.noise(rng, n, 0.2, 3)
    return colour * (1 + weave + scumble)[..., None]
