"""Mountains, mist and a boat in ink on paper (after the Song masters)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import reduce

_SUPERSAMPLING = 2

# Paper, ink, thin ink, wash of colour, seal.
_PALETTES = (
    "efe8d6 17181c 5a6470 a8b4a4 b3261e",
    "ece2c8 1c1712 6a5a48 c8a878 a82c1c",
    "e6e9e4 10182a 4a5f7c 9fb4b8 c0332a",
)
_PAPER, _INK, _THIN, _TINT, _SEAL = range(5)


class _Scroll:
    """Ink on a sheet: its density at each pixel, and the pale colour below it."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.ink: Field = np.zeros((side, side), dtype=np.float32)
        self.tint: Field = np.zeros((side, side), dtype=np.float32)
        self._labels = Image.new("L", (side, side), int(Label.SKY))
        self.x, self.y = fields.grid(side)

    def label(self, polygon: ArrayLike, label: Label) -> None:
        """Set the label of a polygon."""
        corners = (np.asarray(polygon, dtype=np.float64) * self.side).ravel().tolist()
        ImageDraw.Draw(self._labels).polygon(corners, fill=int(label))

    def label_below(self, line: NDArray, label: Label) -> None:
        """Set the label of all pixels below a skyline (n,)."""
        at = np.linspace(0, 1, len(line))
        self.label(np.concatenate([np.stack([at, line], -1), [(1.0, 1.1), (0.0, 1.1)]]), label)

    def labels(self) -> NDArray[np.uint8]:
        """Return the label of every pixel (side, side)."""
        return np.asarray(self._labels)

    def wash(self, coverage: Field) -> None:
        """Add a thin layer of ink, which makes the existing ink darker."""
        self.ink = 1 - (1 - self.ink) * (1 - np.clip(coverage, 0, 1))

    def brush(self, strokes: list[tuple[NDArray, NDArray | float]], density: float) -> None:
        """Draw strokes of ink; each is a line (M, 2) with the half-width along it."""
        layer = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(layer)
        for spine, half in strokes:
            draw.polygon((_outline(spine, half) * self.side).ravel().tolist(), fill=255)
        self.wash(density * np.asarray(layer, dtype=np.float32) / 255)

    def dots(self, points: NDArray, radius: NDArray, density: float) -> None:
        """Draw touches of the tip of the brush at many points."""
        layer = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(layer)
        for (x, y), r in zip(points * self.side, radius * self.side, strict=True):
            draw.ellipse([x - 1.3 * r, y - 0.75 * r, x + 1.3 * r, y + 0.75 * r], fill=255)
        self.wash(density * np.asarray(layer, dtype=np.float32) / 255)


def _outline(spine: ArrayLike, half: NDArray | float) -> NDArray:
    line = np.asarray(spine, dtype=np.float64)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    thick = np.broadcast_to(half, len(line))[:, None] * normal
    return np.concatenate([line + thick, (line - thick)[::-1]])


def ink_wash(rng: np.random.Generator, size: int) -> Painting:
    """Paint a landscape in ink.

    Args:
        rng: source of randomness: composition, ink, paper and every touch.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.12)
    scroll = _Scroll(size * _SUPERSAMPLING)
    _mountains(rng, scroll)
    water = rng.uniform(0.72, 0.76)
    _water(rng, scroll, water)
    cliff = _cliff(rng, scroll)
    _pines(rng, scroll, cliff)
    _boat(scroll, rng.uniform(0.58, 0.74), water + rng.uniform(0.06, 0.12), 0.1)
    _birds(rng, scroll)
    mirrored = bool(rng.random() < 0.5)
    labels = scroll.labels()[::_SUPERSAMPLING, ::_SUPERSAMPLING]
    if mirrored:
        scroll.ink, scroll.tint = scroll.ink[:, ::-1], scroll.tint[:, ::-1]
        labels = labels[:, ::-1]
    _inscription(rng, scroll, mirrored)
    return Painting(_mount(rng, scroll, palette, mirrored), np.ascontiguousarray(labels))


def _mountains(rng: np.random.Generator, scroll: _Scroll) -> None:
    """Draw ranges of mountains, each dark at its crest and in mist below."""
    n = scroll.side
    at = np.linspace(0, 1, n)
    for k, (level, height, density) in enumerate(
        ((0.36, 0.09, 0.2), (0.45, 0.15, 0.3), (0.58, 0.13, 0.42), (0.68, 0.075, 0.5))
    ):
        line = level + fields.ridge(
            rng, n, [(0.4, 0.3 * height), (0.16, 0.3 * height), (0.045, 0.05)]
        )
        for _ in range(2):
            peak, wide = rng.uniform(0.3, 0.98), rng.uniform(0.035, 0.075)
            line = line - height * rng.uniform(0.6, 1.25) * np.exp(
                -(np.abs((at - peak) / wide) ** 1.7)
            )
        rough = 0.006 * fields.resize(fields.noise(rng, n // 2, 0.02, 3), n)
        below = scroll.y - line[None] + rough
        inside = fields.smoothstep(-0.0015, 0.002, below)
        fade = np.exp(-np.clip(below, 0, 1) / (0.07 + 0.03 * k))
        cloud = fields.resize(fields.noise(rng, n // 2, (0.35, 0.1), 4), n)
        folds = fields.resize(_folds(rng, n // 2, line), n)
        mist = np.clip(1 - 0.28 * cloud, 0.15, 1.2)
        scroll.ink *= 1 - 0.88 * inside
        tone = density * fade * mist * (0.62 + 0.42 * folds)
        rim = 0.3 * density * np.exp(-np.clip(below, 0, 1) / 0.004)
        scroll.wash(inside * (tone + rim))
        scroll.tint = np.maximum(scroll.tint * (1 - inside), inside * fade * 0.6)
        scroll.label_below(line, Label.HILLS)


def _folds(rng: np.random.Generator, n: int, line: NDArray) -> Field:
    """Return the texture of rock: streaks downwards from the crest (axe-cut strokes)."""
    x, y = fields.grid(n)
    crest = np.interp(x, np.linspace(0, 1, len(line)), line)
    bend = 0.2 * (y - crest) * fields.noise(rng, n, 0.3, 2)
    streak = fields.noise(rng, n, (0.014, 0.12), 4, 0.65)
    return fields.displace(streak, bend.astype(np.float32), np.zeros_like(bend))


def _water(rng: np.random.Generator, scroll: _Scroll, level: float) -> None:
    n = scroll.side
    below = scroll.y > level + 0.006 * np.sin(9 * scroll.x)
    scroll.label_below(level + 0.006 * np.sin(9 * np.linspace(0, 1, n)), Label.WATER)
    scroll.ink *= 1 - 0.97 * fields.smoothstep(level - 0.035, level + 0.01, scroll.y)
    scroll.tint *= 1 - 0.7 * below
    strokes: list[tuple[NDArray, NDArray | float]] = []
    for _ in range(60):
        x, y = rng.uniform(0.2, 1.0), level + 0.02 + 0.26 * rng.random()
        s = np.linspace(-1, 1, 14)
        wave = np.stack([x + rng.uniform(0.015, 0.06) * s, y + 0.003 * np.sin(5 * s + x * 30)], -1)
        strokes.append((wave, 0.0009 * (1 - s**2) + 0.0003))
    scroll.brush(strokes, 0.28)
    cloud = fields.resize(fields.noise(rng, n // 2, (0.5, 0.03), 3), n)
    scroll.wash(below * np.clip(0.05 * cloud, 0, 0.1))
    for k in range(2):
        bar = level + 0.01 + 0.035 * k
        cx = rng.uniform(0.5, 0.9)
        sand = np.exp(-(((scroll.y - bar) / 0.006) ** 2) - ((scroll.x - cx) / 0.12) ** 2)
        scroll.wash(0.33 * sand)
        reeds = cx + rng.normal(0, 0.06, 40)
        reed = np.stack([reeds, bar - 0.004 - 0.012 * rng.random(40)], -1)
        scroll.dots(reed, rng.uniform(0.0016, 0.004, 40), 0.5)


def _cliff(rng: np.random.Generator, scroll: _Scroll) -> NDArray:
    """Draw the near rock at the left and return its edge (n,) as height over x."""
    n = scroll.side
    at = np.linspace(0, 1, n)
    steps = 0.56 + 0.3 * fields.smoothstep(0.13, 0.4, at) + 0.4 * fields.smoothstep(0.36, 0.62, at)
    line = steps + fields.ridge(rng, n, [(0.12, 0.03), (0.04, 0.014), (0.015, 0.006)])
    below = scroll.y - line[None]
    inside = fields.smoothstep(-0.001, 0.0015, below)
    scroll.ink *= 1 - inside
    scroll.tint *= 1 - inside
    folds = fields.resize(_folds(rng, n // 2, line), n)
    facets = fields.resize(fields.noise(rng, n // 2, (0.07, 0.09), 4), n)
    tone = 0.42 + 0.26 * folds + 0.2 * facets + 0.3 * fields.smoothstep(0.0, 0.3, below)
    dry = fields.resize(fields.noise(rng, n // 2, (0.03, 0.006), 3), n)
    tone = tone * (1 - 0.45 * fields.smoothstep(0.2, 1.4, dry))
    scroll.wash(inside * np.clip(tone, 0.06, 0.93))
    scroll.label_below(line, Label.GROUND)
    edge = np.stack([at, line], -1)[:: max(1, n // 200)]
    edge = edge[edge[:, 1] < 0.985]
    weight = 0.0016 + 0.0022 * np.abs(np.sin(np.linspace(0, 25, len(edge))))
    scroll.brush([(edge[k : k + 8], weight[k : k + 8]) for k in range(0, len(edge) - 8, 6)], 0.85)
    x = rng.uniform(0, 0.5, 420)
    moss = np.stack([x, np.interp(x, at, line) + rng.exponential(0.02, 420)], -1)
    scroll.dots(moss, rng.uniform(0.0015, 0.0042, 420), 0.75)
    return line


def _pines(rng: np.random.Generator, scroll: _Scroll, cliff: NDArray) -> None:
    """Draw pines on the rock: bent trunks, level branches, fans of needles."""
    at = np.linspace(0, 1, scroll.side)
    for x, tall, lean in ((0.2, 0.36, 0.12), (0.1, 0.27, 0.04), (0.31, 0.2, 0.11)):
        px = x + rng.uniform(-0.02, 0.02)
        foot = float(np.interp(px, at, cliff)) + 0.015
        spine = fields.curve(
            [
                (px, foot),
                (px + 0.25 * lean, foot - 0.3 * tall),
                (px + 0.05 * lean, foot - 0.62 * tall),
                (px + lean, foot - tall),
            ],
            14,
        )
        half = tall * np.linspace(0.03, 0.007, len(spine))
        scroll.brush([(spine, half)], 0.55)
        bark: list[tuple[NDArray, NDArray | float]] = [
            (spine + np.stack([half * 0.75, 0 * half], -1), 0.22 * half),
            (spine - np.stack([half * 0.9, 0 * half], -1), 0.16 * half),
        ]
        scroll.brush(bark, 0.8)
        _boughs(rng, scroll, spine, tall)


def _boughs(rng: np.random.Generator, scroll: _Scroll, spine: NDArray, tall: float) -> None:
    limbs: list[tuple[NDArray, NDArray | float]] = []
    fans: list[tuple[NDArray, float]] = []
    for k in np.linspace(0.36, 0.99, 8):
        root = spine[int(k * (len(spine) - 1))]
        for side in (-1, 1):
            long = side * tall * rng.uniform(0.28, 0.5) * (1.15 - 0.75 * (k - 0.36))
            tip = root + np.array([long, rng.uniform(-0.03, 0.055) * tall / 0.3])
            limb = fields.curve([root, (root + tip) / 2 + [0, -0.035 * tall / 0.3], tip], 8)
            limbs.append((limb, np.linspace(0.0032, 0.0011, len(limb)) * tall / 0.3))
            fans += [
                (limb[j] + rng.normal(0, 0.006, 2), 0.032 * tall / 0.3)
                for j in range(5, len(limb), 2)
            ]
    scroll.brush(limbs, 0.8)
    pads = np.array([fan for fan, _ in fans])
    scroll.dots(pads + np.array([0, -0.006]), np.full(len(pads), 0.02 * tall / 0.3), 0.22)
    needles: list[tuple[NDArray, NDArray | float]] = []
    for centre, reach in fans:
        for turn in np.linspace(-np.pi * 0.97, -0.03 * np.pi, 13) + rng.normal(0, 0.1, 13):
            end = centre + reach * rng.uniform(0.6, 1.0) * np.array(
                [np.cos(turn), 0.62 * np.sin(turn)]
            )
            needles.append((np.linspace(centre, end, 3), np.array([0.0011, 0.0009, 0.0002])))
    scroll.brush(needles, 0.82)
    for centre, reach in fans:
        turn = np.linspace(0, 2 * np.pi, 10)
        pad = centre + reach * np.stack([0.9 * np.cos(turn), 0.55 * np.sin(turn) - 0.25], -1)
        scroll.label(pad, Label.FOLIAGE)


def _boat(scroll: _Scroll, x: float, y: float, long: float) -> None:
    s = np.linspace(-1, 1, 30)
    keel = np.stack([x + 0.5 * long * s, y - 0.12 * long * s**2], -1)
    scroll.brush([(keel, 0.036 * long * (1 - s**2) + 0.0012)], 0.85)
    scroll.label(_outline(keel, 0.06 * long), Label.OBJECT)
    roof = fields.curve(
        [
            (x - 0.22 * long, y - 0.02 * long),
            (x - 0.16 * long, y - 0.15 * long),
            (x + 0.04 * long, y - 0.16 * long),
            (x + 0.1 * long, y - 0.02 * long),
        ],
        8,
    )
    scroll.brush([(roof, 0.0016)], 0.8)
    scroll.wash(0.35 * fields.inside(roof, scroll.side).astype(np.float32))
    body = [
        (x + 0.24 * long, y - 0.02 * long),
        (x + 0.2 * long, y - 0.13 * long),
        (x + 0.25 * long, y - 0.19 * long),
        (x + 0.3 * long, y - 0.13 * long),
        (x + 0.32 * long, y - 0.02 * long),
    ]
    scroll.wash(0.7 * fields.inside(body, scroll.side).astype(np.float32))
    hat = [
        (x + 0.17 * long, y - 0.18 * long),
        (x + 0.25 * long, y - 0.25 * long),
        (x + 0.33 * long, y - 0.18 * long),
    ]
    scroll.wash(0.85 * fields.inside(hat, scroll.side).astype(np.float32))
    rod = np.linspace((x + 0.28 * long, y - 0.1 * long), (x + 0.85 * long, y - 0.3 * long), 8)
    scroll.brush([(rod, 0.0009)], 0.75)
    for k in range(3):
        low = np.stack(
            [
                x + 0.42 * long * s,
                np.full(30, y + 0.07 * long + 0.006 * k) + 0.0015 * np.sin(9 * s + k),
            ],
            -1,
        )
        scroll.brush([(low, 0.0012 * (1 - s**2) + 0.0002)], 0.3 - 0.07 * k)


def _birds(rng: np.random.Generator, scroll: _Scroll) -> None:
    cx, cy = rng.uniform(0.45, 0.62), rng.uniform(0.14, 0.22)
    strokes: list[tuple[NDArray, NDArray | float]] = []
    for k in range(7):
        x, y = cx + 0.027 * k + rng.normal(0, 0.007), cy + 0.013 * abs(k - 2) + rng.normal(0, 0.006)
        w = 0.011
        wing = fields.curve(
            [
                (x - w, y - 0.35 * w),
                (x - 0.4 * w, y - 0.6 * w),
                (x, y),
                (x + 0.5 * w, y - 0.65 * w),
                (x + w, y - 0.3 * w),
            ],
            5,
        )
        strokes.append((wing, 0.0011))
    scroll.brush(strokes, 0.75)


def _inscription(rng: np.random.Generator, scroll: _Scroll, mirrored: bool) -> None:
    """Draw two columns of brushed signs in the empty sky."""
    strokes: list[tuple[NDArray, NDArray | float]] = []
    for column in range(2):
        cx = (0.93 - 0.042 * column) if not mirrored else (0.07 + 0.042 * column)
        for row in range(7 - 2 * column):
            cy = 0.07 + 0.037 * row
            for _ in range(int(rng.integers(4, 7))):
                at = np.array([cx, cy]) + rng.uniform(-0.011, 0.011, 2)
                turn = rng.choice([0.0, -0.15, np.pi / 2, 2.2, 0.8])
                move = rng.uniform(0.006, 0.013) * np.array([np.cos(turn), np.sin(turn)])
                line = fields.curve([at - move, at + rng.normal(0, 0.0012, 2), at + move], 5)
                strokes.append((line, np.linspace(0.0024, 0.0008, len(line))))
    scroll.brush(strokes, 0.88)


def _mount(rng: np.random.Generator, scroll: _Scroll, palette: Colours, mirrored: bool) -> Colours:
    """Return the picture with ink soaked into the paper, and the red seal."""
    n = scroll.side
    bleed = fields.blur(scroll.ink, 0.0016)
    fibre = 0.5 * fields.noise(rng, n, (0.05, 0.004), 3) + 0.5 * fields.noise(
        rng, n, (0.004, 0.05), 3
    )
    ink = np.clip(0.72 * scroll.ink + 0.34 * bleed, 0, 1) * (1 + 0.09 * fibre)
    pool = np.clip(scroll.ink - fields.blur(scroll.ink, 0.006), -0.2, 0.2)
    ink = np.clip(ink + 0.22 * pool, 0, 0.97)
    paper = palette[_PAPER] * (1 + 0.011 * fibre + 0.014 * fields.noise(rng, n, 0.5, 3))[..., None]
    paper = mix(paper, palette[_TINT], 0.5 * np.clip(scroll.tint, 0, 1))
    tone = mix(palette[_THIN], palette[_INK], fields.smoothstep(0.25, 0.8, ink))
    picture = paper * (1 - ink[..., None]) + tone * ink[..., None]
    cx = 0.888 if not mirrored else 0.112
    x, y = scroll.x, scroll.y
    block = (np.abs(x - cx) < 0.0155) & (np.abs(y - 0.285) < 0.0155)
    u, v = (x - cx) / 0.0155, (y - 0.285) / 0.0155
    cut = (np.abs(np.abs(u) - 0.35) < 0.1) & (np.abs(v) < 0.7) | (np.abs(v - 0.05) < 0.1) & (
        np.abs(u) < 0.6
    )
    seal = (block & ~cut) * np.clip(0.86 + 0.14 * fibre, 0, 1)
    picture = picture * (1 - seal[..., None]) + palette[_SEAL] * seal[..., None]
    return reduce(np.clip(picture, 0, 1), _SUPERSAMPLING)
