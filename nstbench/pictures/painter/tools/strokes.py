"""Brush strokes with bristles, and the light on the relief of their paint.

Every bristle is a polygon with its own number, drawn into one integer image. Colour and
height of the paint are looked up by that number afterwards, so the strokes are drawn only
once for picture and relief.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, shift, vary
from nstbench.pictures.painter.tools.fields import Field


@dataclass(frozen=True, slots=True)
class Brush:
    """Properties of a brush.

    Attributes:
        bristles: number of parallel streaks in a stroke.
        ragged: spread of the starts and ends of bristles, as a share of the length.
        streak: spread of lightness between bristles (Oklab).
        load: spread of hue between bristles in radians, as of colours that are not fully mixed.
        body: height of the paint; it controls the strength of the relief.
        taper: 0 for a flat brush with square ends, 1 for a pointed round one.
        dry: share of bristles that leave no paint.
    """

    bristles: int = 7
    ragged: float = 0.12
    streak: float = 0.035
    load: float = 0.06
    body: float = 1.0
    taper: float = 0.5
    dry: float = 0.0


class PaintLayer:
    """A canvas with strokes of paint.

    Args:
        size: side of the finished picture in pixels.
        ground: colour of the canvas (3,) or of every pixel of the picture (n, n, 3).
        supersampling: factor by which the drawing is larger than the picture.
    """

    def __init__(self, size: int, ground: Colours, supersampling: int = 2) -> None:
        self.size = size
        self.supersampling = supersampling
        self.side = size * supersampling
        self._ground = ground
        self._numbers = Image.new("I", (self.side, self.side), 0)
        self._draw = ImageDraw.Draw(self._numbers)
        self._colours: list[Colours] = [np.zeros((1, 3), dtype=np.float32)]
        self._heights: list[NDArray[np.float32]] = [np.zeros(1, dtype=np.float32)]
        self._count = 1

    def lay(
        self,
        rng: np.random.Generator,
        paths: NDArray[np.floating],
        width: NDArray[np.floating],
        colours: Colours,
        brush: Brush,
    ) -> None:
        """Paint strokes in the given order.

        Args:
            rng: source of randomness for the bristles.
            paths: middle lines (N, K, 2) in picture units.
            width: width of each stroke (N,) in picture units.
            colours: colour of each stroke (N, 3).
            brush: properties of the brush.
        """
        if len(paths) == 0:
            return
        # Bristles thinner than a pixel of the drawing are not visible, but cost time.
        streaks = int(np.clip(round(float(np.median(width)) * self.side), 2, brush.bristles))
        outlines = _bristle_outlines(rng, paths * self.side, width * self.side, streaks, brush)
        amount = len(outlines)
        across = np.linspace(-1, 1, streaks)
        tone = rng.normal(0, brush.streak, (amount, streaks))
        turn = rng.normal(0, brush.load, (amount, 1)) * across
        # The paint is thicker at the edges of a stroke and between bristles.
        pile = brush.body * (0.55 + 0.35 * across**2 + rng.uniform(-0.3, 0.3, (amount, streaks)))
        pile = pile + brush.body * rng.uniform(0, 0.45, (amount, 1))
        self._colours.append(
            shift(colours[:, None], tone, 1.0, turn).reshape(-1, 3).astype(np.float32)
        )
        self._heights.append(pile.reshape(-1).astype(np.float32))
        wet = rng.random(amount * streaks) >= brush.dry
        flat = outlines.reshape(amount * streaks, -1).tolist()
        for number, (outline, leaves_paint) in enumerate(zip(flat, wet, strict=True), self._count):
            if leaves_paint:
                self._draw.polygon(outline, fill=number)
        self._count += amount * streaks

    def cover(
        self,
        rng: np.random.Generator,
        colour: Colours,
        angle: Field,
        brush: Brush,
        *,
        spacing: float,
        width: float,
        length: float,
        where: Field | None = None,
        spread: float = 1.0,
    ) -> None:
        """Cover the picture, or a part of it, with strokes along a direction field.

        Args:
            rng: source of randomness.
            colour: colour under the middle of a stroke (n, n, 3).
            angle: direction of the strokes in radians (n, n).
            brush: properties of the brush.
            spacing: distance between strokes in picture units.
            width: mean width in picture units.
            length: mean length in picture units.
            where: probability of a stroke (n, n); 1 everywhere if not given.
            spread: factor of the random variation of the colours.
        """
        # Strokes thinner than about two pixels are not visible as strokes.
        width = max(width, 1.6 / self.size)
        start = fields.scatter(rng, max(spacing, 0.7 * 1.6 / self.size))
        if where is not None:
            start = start[rng.random(len(start)) < fields.sample(where, start)]
        count = len(start)
        paths = fields.trace(angle, start, length * rng.uniform(0.6, 1.3, count), 9)
        colours = vary(
            rng, fields.sample(colour, start), 0.035 * spread, 0.12 * spread, 0.1 * spread
        )
        self.lay(rng, paths, width * rng.uniform(0.75, 1.2, count), colours, brush)

    def facet(
        self,
        rng: np.random.Generator,
        corners: NDArray[np.floating] | list[tuple[float, float]],
        colour: Colours,
        brush: Brush,
        width: float,
    ) -> None:
        """Fill a quadrilateral a, b, c, d with strokes that run from edge ab to edge dc."""
        a, b, c, d = np.asarray(corners, dtype=np.float32)
        span = max(np.linalg.norm(b - a), np.linalg.norm(c - d))
        count = max(2, round(float(span) / (0.75 * width)))
        t = ((np.arange(count) + 0.5) / count)[:, None, None]
        along = np.linspace(0, 1, 5)[None, :, None]
        begin, end = a + (b - a) * t, d + (c - d) * t
        paths = begin + (end - begin) * along
        paths = paths + rng.normal(0, 0.12 * width, paths.shape)
        order = rng.permutation(count)
        colours = vary(rng, np.repeat(np.atleast_2d(colour), count, 0), 0.025, 0.1, 0.06)
        self.lay(rng, paths[order], np.full(count, width), colours, brush)

    def render(self, relief: float = 0.35, gloss: float = 0.0, soften: float = 0.7) -> Colours:
        """Return the picture (n, n, 3), lit from the upper left.

        Args:
            relief: strength of light and shade at the edges of the paint.
            gloss: strength of the highlights of wet paint.
            soften: smoothing of the relief in drawn pixels.
        """
        numbers = np.asarray(self._numbers)
        colour = np.concatenate(self._colours)[numbers]
        bare = numbers == 0
        ground = self._ground
        if ground.ndim == 3:
            ground = np.repeat(np.repeat(ground, self.supersampling, 0), self.supersampling, 1)
            colour[bare] = ground[bare]
        else:
            colour[bare] = ground
        height = np.concatenate(self._heights)[numbers]
        lit = light(colour, height, relief, gloss, soften)
        return reduce(lit, self.supersampling)


def _bristle_outlines(
    rng: np.random.Generator, paths: NDArray, width: NDArray, streaks: int, brush: Brush
) -> NDArray[np.float32]:
    """Return the outlines (N, B, 2K, 2) of all bristles of all strokes."""
    amount, steps = paths.shape[:2]
    tangent = np.gradient(paths, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
    across = np.linspace(-1, 1, streaks) * (1 - 1 / streaks)
    begin = rng.uniform(0, brush.ragged, (amount, streaks)) + 0.5 * brush.taper * across**2 * 0.3
    end = 1 - rng.uniform(0, brush.ragged, (amount, streaks)) - 0.5 * brush.taper * across**2 * 0.3
    along = np.linspace(0, 1, steps)
    at = (begin[..., None] + (end - begin)[..., None] * along) * (steps - 1)
    low = np.minimum(at.astype(np.intp), steps - 2)
    part = (at - low)[..., None]
    row = np.arange(amount)[:, None, None]
    middle = paths[row, low] * (1 - part) + paths[row, low + 1] * part
    side = normal[row, low] * (1 - part) + normal[row, low + 1] * part
    swell = 1 - brush.taper * np.abs(2 * at / (steps - 1) - 1) ** 3 * 0.85
    half = (width / 2)[:, None, None] * swell
    thick = (half / streaks * 1.25)[..., None] * side
    centre = middle + (half * across[None, :, None])[..., None] * side
    outline = np.concatenate([centre + thick, (centre - thick)[:, :, ::-1]], axis=2)
    return outline.astype(np.float32)


def light(
    colour: Colours,
    height: NDArray[np.floating],
    relief: float,
    gloss: float = 0.0,
    soften: float = 0.7,
) -> Colours:
    """Return ``colour`` (n, n, 3) lit from the upper left over a relief ``height`` (n, n)."""
    smooth = fields.blur(height, soften / height.shape[0])
    down, right = np.gradient(smooth)
    slope = np.asarray(0.8 * down + 0.6 * right)
    shade = 1 + relief * np.tanh(2 * slope) / 2
    lit: Colours = colour * shade[..., None].astype(np.float32)
    if gloss:
        shine = gloss * np.clip(slope - 0.15, 0, 0.5)
        lit = lit + shine[..., None].astype(np.float32)
    return np.clip(lit, 0.0, 1.0)


def reduce(image: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Return ``image`` (n f, n f, ...) averaged over squares of ``factor`` pixels."""
    if factor == 1:
        return np.asarray(image, dtype=np.float32)
    n = image.shape[0] // factor
    blocks = image.reshape(n, factor, n, factor, *image.shape[2:])
    return blocks.mean(axis=(1, 3), dtype=np.float32)
