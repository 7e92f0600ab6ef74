"""Cubist still life: one table seen from many sides, facet by facet (after Gris and Braque)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, paint_over, shift
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Painting
from nstbench.pictures.painter.tools.strokes import Brush, PaintLayer, reduce

# Wall, wall shade, table, guitar, guitar shade, dark, white, bottle, fruit, cloth, accent.
_PALETTES = (
    "9c9a86 56604f b98a4c d09a4a 7c4a22 1d1b19 efe6d0 3f5a4a c8893a 8fa3ac a8442a",
    "7f93a3 34485c a8743c c89a5c 6a3c1c 14181f f2ead8 24483f b8b04a 5f7fae c4502c",
    "b7a27c 6b5a44 8c6a3c d8b06a 6f4a2a 221c18 efe4c8 4c5a3c 9a8a3c a89a86 7c2f26",
)
(_WALL, _WALL_SHADE, _TABLE, _GUITAR, _GUITAR_SHADE, _DARK, _WHITE, _BOTTLE, _FRUIT, _CLOTH,
 _ACCENT) = range(11)  # fmt: skip

_DAB = Brush(bristles=5, ragged=0.2, streak=0.022, load=0.05, body=0.8, taper=0.25)


@dataclass
class _View:
    """One view of the still life: flat colours, and the contour drawing."""

    colour: Colours
    line: Field


class _Drawing:
    """Draws the objects of the table with filled shapes and contours."""

    def __init__(self, n: int, ground: Colours, ink: float) -> None:
        self.n = n
        self._image = Image.fromarray(np.round(ground * 255).astype(np.uint8))
        self._lines = Image.new("L", (n, n))
        self._ink = ink
        self._fill, self._line = ImageDraw.Draw(self._image), ImageDraw.Draw(self._lines)

    def shape(self, points: ArrayLike, colour: Colours, contour: float = 0.004) -> None:
        at = np.asarray(points, dtype=np.float64)
        flat = (at * self.n).ravel().tolist()
        self._fill.polygon(flat, fill=tuple(int(c) for c in np.round(colour * 255)))
        self._line.polygon(flat, fill=0)
        if contour:
            self.line(np.concatenate([at, at[:1]]), contour)

    def line(self, points: ArrayLike, width: float = 0.004) -> None:
        flat = (np.asarray(points, dtype=np.float64) * self.n).ravel().tolist()
        self._line.line(flat, fill=255, width=max(1, round(width * self.n)), joint="curve")

    def view(self) -> _View:
        colour = np.asarray(self._image, dtype=np.float32) / 255
        return _View(colour, self._ink * np.asarray(self._lines, dtype=np.float32) / 255)


def cubism(rng: np.random.Generator, size: int) -> Painting:
    """Paint a cubist still life.

    Args:
        rng: source of randomness: composition, palette, facets and strokes.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.2)
    views = _views(rng, 2 * size, palette)
    facets = _facets(rng)
    fine = _assemble(rng, 2 * size, palette, views, facets)
    colour, line, angle = reduce(fine[0], 2), reduce(fine[1], 2), fine[2][::2, ::2]
    layer = PaintLayer(size, colour)
    layer.cover(rng, colour, angle, _DAB, spacing=0.0075, width=0.0105, length=0.03, spread=0.5)
    painted = layer.render(relief=0.34)
    # Strokes that cross into a facet of another colour are removed.
    strayed = fields.smoothstep(0.09, 0.17, np.abs(painted - colour).max(axis=-1))
    painted = paint_over(painted, colour, strayed)
    edges = _edge_lines(rng, size, facets)
    painted = paint_over(painted, palette[_DARK], np.clip(0.85 * line + edges, 0, 0.95))
    weave = 0.02 * fields.noise(rng, size, 0.006, 2)
    return Painting(np.clip(painted * (1 + weave)[..., None], 0, 1))


def _views(rng: np.random.Generator, n: int, palette: Colours) -> list[_View]:
    """Return views of the table: in daylight, in shadow, and as a white drawing."""
    layout = rng.integers(2**31)
    night = palette[
        [
            _WALL_SHADE,
            _DARK,
            _GUITAR_SHADE,
            _GUITAR_SHADE,
            _DARK,
            _DARK,
            _CLOTH,
            _DARK,
            _TABLE,
            _WALL_SHADE,
            _ACCENT,
        ]
    ]
    pale = mix(palette, palette[_WHITE], 0.62)
    night = mix(night, palette[_DARK], 0.12)
    tints = (palette, night, pale)
    return [_still_life(np.random.default_rng(layout), n, tint) for tint in tints]


def _still_life(rng: np.random.Generator, n: int, palette: Colours) -> _View:
    x, y = fields.grid(n)
    wall = mix(palette[_WALL], palette[_WALL_SHADE], fields.smoothstep(0.2, 0.9, x * 0.7 + 0.3 * y))
    drawing = _Drawing(n, wall, 1.0)
    top = rng.uniform(0.52, 0.58)
    drawing.shape(
        [(0.06, top + 0.16), (0.3, top), (0.98, top + 0.06), (0.9, 0.93), (0.22, 0.97)],
        palette[_TABLE],
    )
    for k in range(5):
        drawing.line(np.array([(0.12 + 0.15 * k, top + 0.12), (0.24 + 0.15 * k, 0.95)]), 0.0025)
    _cloth(drawing, palette, top)
    _bottle(drawing, palette, rng.uniform(0.66, 0.76), top + 0.14)
    _guitar(drawing, palette, np.array([rng.uniform(0.36, 0.44), 0.55]), rng.uniform(-0.5, -0.25))
    _bowl(rng, drawing, palette, np.array([rng.uniform(0.66, 0.74), 0.76]))
    _glass(drawing, palette, rng.uniform(0.16, 0.24), 0.86)
    return drawing.view()


def _cloth(drawing: _Drawing, palette: Colours, top: float) -> None:
    sheet = [(0.28, top + 0.24), (0.6, top + 0.18), (0.68, 0.98), (0.38, 1.0)]
    drawing.shape(sheet, palette[_WHITE])
    for k in range(9):
        a = np.array(sheet[0]) + (np.array(sheet[3]) - sheet[0]) * (0.16 + 0.085 * k)
        b = np.array(sheet[1]) + (np.array(sheet[2]) - sheet[1]) * (0.16 + 0.085 * k)
        drawing.line(np.stack([a + 0.1 * (b - a), a + (0.9 - 0.13 * (k % 3)) * (b - a)]), 0.003)


def _guitar(drawing: _Drawing, palette: Colours, at: NDArray, lean: float) -> None:
    c, s = np.cos(lean), np.sin(lean)
    turn = np.array([[c, s], [-s, c]])

    def place(points: ArrayLike) -> NDArray:
        moved: NDArray = at + np.asarray(points) @ turn
        return moved

    half = [
        (0.0, -0.16),
        (0.085, -0.15),
        (0.105, -0.085),
        (0.07, -0.01),
        (0.1, 0.06),
        (0.15, 0.13),
        (0.14, 0.22),
        (0.07, 0.275),
        (0.0, 0.285),
    ]
    right = fields.curve(half, 10)
    body = np.concatenate([right, right[::-1] * [-1, 1]])
    drawing.shape(place(body + np.array([0.014, 0.01])), palette[_DARK])
    drawing.shape(place(body), palette[_GUITAR], 0.006)
    drawing.shape(
        place(np.concatenate([right, [(0.0, 0.285), (0.0, -0.16)]])), palette[_GUITAR_SHADE]
    )
    neck = [(-0.021, 0.0), (0.021, 0.0), (0.016, -0.44), (-0.016, -0.44)]
    drawing.shape(place(neck), palette[_DARK])
    head = [(-0.02, -0.43), (0.02, -0.43), (0.034, -0.53), (-0.034, -0.53)]
    drawing.shape(place(head), palette[_GUITAR_SHADE])
    ring = np.linspace(0, 2 * np.pi, 40)
    hole = np.stack([0.048 * np.cos(ring), 0.02 + 0.048 * np.sin(ring)], -1)
    drawing.shape(place(hole * 1.25 - [0, 0.005]), palette[_WHITE])
    drawing.shape(place(hole), palette[_DARK])
    drawing.shape(
        place([(-0.055, 0.17), (0.055, 0.17), (0.055, 0.19), (-0.055, 0.19)]), palette[_DARK]
    )
    for string in np.linspace(-0.014, 0.014, 5):
        drawing.line(place([(string * 1.4, 0.18), (string * 0.8, -0.5)]), 0.0022)
    for fret in np.linspace(-0.4, -0.05, 8):
        drawing.line(place([(-0.02, fret), (0.02, fret)]), 0.0022)


def _bottle(drawing: _Drawing, palette: Colours, x: float, foot: float) -> None:
    side = fields.curve(
        [(0.075, 0.0), (0.078, -0.18), (0.07, -0.27), (0.03, -0.335), (0.026, -0.43)], 8
    )
    outline = np.concatenate([side, side[::-1] * [-1, 1]])
    drawing.shape(outline + np.array([x, foot]), palette[_BOTTLE], 0.005)
    drawing.shape(
        np.concatenate([side * [0.25, 1], side[::-1]]) + np.array([x, foot]),
        mix(palette[_BOTTLE], palette[_DARK], 0.55),
    )
    label = np.array([(-0.07, -0.16), (0.07, -0.16), (0.07, -0.05), (-0.07, -0.05)]) + np.array(
        [x, foot]
    )
    drawing.shape(label, palette[_WHITE])
    drawing.shape(label * [0.5, 0.5] + np.array([x, foot - 0.105]) * 0.5, palette[_ACCENT])
    drawing.shape(
        np.array([(-0.03, -0.45), (0.03, -0.45), (0.03, -0.415), (-0.03, -0.415)])
        + np.array([x, foot]),
        palette[_ACCENT],
    )


def _bowl(rng: np.random.Generator, drawing: _Drawing, palette: Colours, at: NDArray) -> None:
    ring = np.linspace(0, 2 * np.pi, 30)
    for k in range(6):
        middle = at + np.array(
            [
                0.048 * (k % 4 - 1.5) + 0.02 * (k // 4),
                -0.03 - 0.045 * (k // 4) + rng.uniform(-0.008, 0.008),
            ]
        )
        fruit = middle + 0.037 * np.stack([np.cos(ring), np.sin(ring)], -1)
        tint = palette[(_FRUIT, _ACCENT, _FRUIT, _CLOTH)[k % 4]]
        drawing.shape(fruit, tint)
        drawing.shape(np.concatenate([fruit[:16], fruit[8:9]]), mix(tint, palette[_DARK], 0.35), 0)
    side = fields.curve(
        [(-0.14, -0.02), (-0.1, 0.05), (-0.03, 0.08), (-0.025, 0.12), (-0.07, 0.14)], 8
    )
    outline = np.concatenate([side, side[::-1] * [-1, 1]])
    drawing.shape(at + outline, palette[_WHITE], 0.005)
    drawing.shape(
        at + np.concatenate([side[::-1] * [-1, 1], side[::-1] * [-0.2, 1]][::1])[:66],
        mix(palette[_WHITE], palette[_WALL_SHADE], 0.5),
        0,
    )


def _glass(drawing: _Drawing, palette: Colours, x: float, foot: float) -> None:
    side = fields.curve(
        [
            (0.05, -0.2),
            (0.052, -0.13),
            (0.03, -0.09),
            (0.008, -0.075),
            (0.008, -0.015),
            (0.045, 0.0),
        ],
        8,
    )
    outline = np.concatenate([side, side[::-1] * [-1, 1]])
    drawing.shape(
        outline + np.array([x, foot]), mix(palette[_CLOTH], palette[_WHITE], 0.45), 0.0045
    )
    wine = np.array(
        [
            (-0.05, -0.15),
            (0.05, -0.15),
            (0.045, -0.115),
            (0.012, -0.078),
            (-0.012, -0.078),
            (-0.045, -0.115),
        ]
    )
    drawing.shape(wine + np.array([x, foot]), palette[_ACCENT])
    ring = np.linspace(0, 2 * np.pi, 30)
    drawing.line(np.stack([x + 0.05 * np.cos(ring), foot - 0.2 + 0.013 * np.sin(ring)], -1), 0.003)


def _facets(rng: np.random.Generator) -> list[NDArray]:
    """Split the canvas by straight cuts into facets, which are smaller in the middle."""
    axis = rng.uniform(-0.25, 0.25)
    ways = axis + np.array([np.pi / 2, np.pi / 2 - 0.35, 0.6, -0.55, 0.05])
    done: list[NDArray] = []
    todo = [np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])]
    while todo:
        polygon = todo.pop()
        middle = polygon.mean(axis=0)
        limit = 0.005 + 0.045 * np.hypot(*(middle - [0.5, 0.52])) ** 1.3
        if _area(polygon) < limit * rng.uniform(0.9, 2.2):
            done.append(polygon)
            continue
        turn = ways[rng.integers(len(ways))] + rng.normal(0, 0.1)
        through = middle + rng.normal(0, 0.12, 2) * np.ptp(polygon, axis=0)
        parts = _cut(polygon, through, turn)
        todo.extend(part for part in parts if len(part) >= 3 and _area(part) > 2e-4)
    return done


def _area(polygon: NDArray) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _cut(polygon: NDArray, through: NDArray, turn: float) -> tuple[NDArray, NDArray]:
    """Return the two parts of a convex polygon on either side of a line."""
    normal = np.array([-np.sin(turn), np.cos(turn)])
    side = (polygon - through) @ normal
    parts: tuple[list, list] = ([], [])
    for k in range(len(polygon)):
        a, b, sa, sb = polygon[k], polygon[k - 1], side[k], side[k - 1]
        if sa * sb < 0:
            crossing = b + (a - b) * (sb / (sb - sa))
            parts[0].append(crossing)
            parts[1].append(crossing)
        parts[0 if sa >= 0 else 1].append(a)
    return np.array(parts[0]), np.array(parts[1])


def _assemble(
    rng: np.random.Generator, n: int, palette: Colours, views: list[_View], facets: list[NDArray]
) -> tuple[Colours, Field, Field]:
    """Show another view through each facet, shaded from one edge to the other."""
    colour = np.zeros((n, n, 3), dtype=np.float32)
    line = np.zeros((n, n), dtype=np.float32)
    angle = np.zeros((n, n), dtype=np.float32)
    x, y = fields.grid(n)
    grain = fields.resize(_wood(rng, n // 2), n)
    for polygon in facets:
        rows, columns = np.nonzero(fields.inside(polygon, n))
        if not len(rows):
            continue
        here = np.stack([x[rows, columns], y[rows, columns]], -1)
        middle = polygon.mean(axis=0)
        near = np.exp(-(np.hypot(*(middle - [0.5, 0.55])) ** 2) / 0.09)
        view = views[rng.choice(3, p=[0.58, 0.25, 0.17])]
        seen = _look(rng, here, middle, 0.25 + 0.75 * near)
        tint = fields.sample(view.colour, seen)
        line[rows, columns] = fields.sample(view.line, seen)
        turn = rng.uniform(0, 2 * np.pi)
        along = here @ np.array([np.cos(turn), np.sin(turn)])
        share = (along - along.min()) / (np.ptp(along) + 1e-6)
        tone = 0.19 * (share - 0.5) + rng.normal(0, 0.035)
        if rng.random() < 0.16:
            tint = mix(tint, palette[_TABLE], 0.55)
            tone = tone + 0.07 * grain[rows, columns]
        lit = shift(tint, tone)
        edge = fields.smoothstep(0.75, 1.0, share) * rng.choice([0.0, 0.4, 0.55])
        colour[rows, columns] = mix(lit, palette[_WHITE], 0.75 * edge)
        angle[rows, columns] = rng.choice([0.0, turn + np.pi / 2, rng.uniform(-0.4, 0.4)])
    return colour, line, angle


def _look(rng: np.random.Generator, here: NDArray, middle: NDArray, freedom: float) -> NDArray:
    """Return the points of a facet as seen from another viewpoint."""
    turn, scale = rng.normal(0, 0.16) * freedom, np.exp(rng.normal(0, 0.13) * freedom)
    c, s = np.cos(turn) * scale, np.sin(turn) * scale
    moved: NDArray = (here - middle) @ np.array([[c, s], [-s, c]])
    moved = moved + middle + rng.normal(0, 0.038, 2) * freedom
    return np.clip(1 - np.abs(1 - np.abs(moved)), 0.0, 0.999)


def _wood(rng: np.random.Generator, n: int) -> Field:
    """Return painted wood grain (faux bois) of zero mean."""
    x, _ = fields.grid(n)
    warp = fields.noise(rng, n, (0.15, 0.8), 3)
    return np.sin(2 * np.pi * (26 * x + 1.4 * warp)) + 0.6 * fields.noise(rng, n, (0.006, 0.2), 2)


def _edge_lines(rng: np.random.Generator, n: int, facets: list[NDArray]) -> Field:
    """Return the drawn facet edges; each fades along its length, and some are left open."""
    large = Image.new("L", (2 * n, 2 * n))
    draw = ImageDraw.Draw(large)
    for polygon in facets:
        for k in range(len(polygon)):
            if rng.random() < 0.35:
                continue
            a, b = polygon[k - 1] * 2 * n, polygon[k] * 2 * n
            begin, weight = rng.uniform(0, 0.35), rng.uniform(120, 250)
            stops = np.linspace(begin, 1.0, 9)
            for i in range(8):
                p, q = a + (b - a) * stops[i], a + (b - a) * stops[i + 1]
                fade = int(weight * (i + 1) / 8)
                width = max(1, round(0.0022 * 2 * n * (0.6 + 0.6 * i / 8)))
                draw.line([*p.tolist(), *q.tolist()], fill=fade, width=width)
    return np.asarray(large.reduce(2), dtype=np.float32) / 255
