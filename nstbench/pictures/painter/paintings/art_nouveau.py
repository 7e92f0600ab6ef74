"""Gold-ground ornament: a tree of spirals over quilted hills (after Klimt's friezes)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, shift, vary
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.panel import Panel
from nstbench.pictures.painter.tools.strokes import light, reduce

_SUPERSAMPLING = 2

# Gold, pale gold, bronze, dark line, bark, black, white, then jewels: blue, green, red, violet.
_PALETTES = (
    "d8a030 f4cf70 a8671a 3a2412 6b4420 1d1a18 f4ead2 2f62a0 3f8a5a c4402e 7c4a8c",
    "c9a862 efe0b0 8f6f3a 2c2a20 55503a 1c1e20 f6f0e0 2a7f8f 6f9a3c d86a3c b04a6a",
    "cf8f4a f3c98a 94501f 3b1a14 6a2f1f 20161a f7e8d4 3c4f9a 2f7f74 a8203a d8a830",
)
_GOLD, _PALE, _BRONZE, _LINE, _BARK, _BLACK, _WHITE = range(7)
_JEWELS = slice(7, 11)


def art_nouveau(rng: np.random.Generator, size: int) -> Painting:
    """Paint a tree of life on gold.

    Args:
        rng: source of randomness: composition, palette and every ornament.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.16)
    side = size * _SUPERSAMPLING
    panel = Panel(side, _leaf_gold(rng, side, palette))
    _ground_spirals(rng, panel, palette)
    root = np.array([rng.uniform(0.4, 0.6), 0.86])
    _tree(rng, panel, palette, root)
    _hills(rng, panel, palette)
    _meadow(rng, panel, palette)
    colours, labels = _light(rng, panel, palette)
    if rng.random() < 0.5:
        return Painting(colours[:, ::-1], labels[:, ::-1])
    return Painting(colours, labels)


def _leaf_gold(rng: np.random.Generator, n: int, palette: Colours) -> Colours:
    """Return the ground of square gold leaves, worn and of uneven brightness."""
    count = 11
    tone = rng.normal(0, 0.022, (count + 1, count + 1))
    x, y = fields.grid(n)
    column, row = (x * count + 0.4).astype(int), (y * count + 0.2).astype(int)
    worn = fields.resize(fields.noise(rng, n // 2, 0.25, 5, 0.6), n)
    flakes = fields.resize(fields.noise(rng, n // 2, 0.012, 2), n)
    share = np.clip(0.35 + 0.16 * worn + 0.07 * flakes, 0, 1)
    gold = mix(palette[_GOLD], palette[_PALE], share)
    edge = np.minimum((x * count + 0.4) % 1, (y * count + 0.2) % 1) < 0.02
    gold = shift(gold, tone[row, column] - 0.05 * edge)
    return shift(gold, -0.1 * fields.smoothstep(0.35, 0.75, np.hypot(x - 0.5, y - 0.45)))


def _spiral(
    start: NDArray, turn: float, long: float, curl: float, turns: float, lead: float = 0.4
) -> tuple[NDArray, NDArray]:
    """Return a line (M, 2) that ends in a spiral, and its direction at each point (M,).

    The coil keeps an even distance between its turns (a spiral of Archimedes).
    """
    steps = 100
    s = np.linspace(0, 1, steps)
    out = np.clip(s / lead, 0, 1)
    coil = np.clip((s - lead) / (1 - lead), 0, 0.985)
    heading = turn - 0.5 * curl * np.sin(np.pi * out) + 0.5 * curl * out
    heading = heading + curl * 2 * np.pi * turns * (1 - np.sqrt(1 - coil))
    moves = np.stack([np.cos(heading), np.sin(heading)], -1) * long / steps
    return start + np.cumsum(moves, axis=0), heading


def _ground_spirals(rng: np.random.Generator, panel: Panel, palette: Colours) -> None:
    """Draw faint engraved spirals and dots in the gold."""
    line = mix(palette[_GOLD], palette[_BRONZE], 0.55)
    for _ in range(60):
        at = rng.uniform(0, 1, 2)
        way = float(rng.choice([-1, 1]))
        path, _ = _spiral(at, rng.uniform(0, 6), rng.uniform(0.2, 0.4), way, 2.4, 0.15)
        panel.ribbon(path, 0.0013, line, 40)
    for at in rng.uniform(0, 1, (420, 2)):
        panel.disc(at, rng.uniform(0.0012, 0.0026), mix(palette[_PALE], palette[_WHITE], 0.4), 95)


def _tree(rng: np.random.Generator, panel: Panel, palette: Colours, root: NDArray) -> None:
    panel.label = Label.FOLIAGE
    branches: list[tuple[NDArray, float, float]] = []
    crown = root + np.array([rng.uniform(-0.03, 0.03), -0.36])
    for side in (-1, 1):
        for k, lift in enumerate((-0.12, 0.3, 0.75, 1.3)):
            turn = -np.pi / 2 + side * (np.pi / 2 - lift)
            at = crown + np.array([0.014 * side, 0.16 - 0.065 * k])
            long = rng.uniform(0.95, 1.12) * (1 - 0.07 * k)
            curl = side * float(rng.choice([1.0, -1.0], p=[0.25, 0.75]))
            half = 0.0175 - 0.0018 * k
            _branch(rng, branches, at, turn + rng.normal(0, 0.08), long, curl, half, 0)
    for spine, half, curl in branches:
        _limb(rng, panel, palette, spine, half, curl)
    _trunk(rng, panel, palette, root, crown)


def _branch(
    rng: np.random.Generator,
    branches: list,
    at: NDArray,
    turn: float,
    long: float,
    curl: float,
    half: float,
    depth: int,
) -> None:
    """Draw one spiral branch, after the smaller ones that start from its outer side."""
    path, heading = _spiral(at, turn, long, curl, rng.uniform(1.9, 2.4))
    if depth < 2:
        for k in (20, 34, 46) if depth == 0 else (26, 44):
            sprout = heading[k] - np.sign(curl) * rng.uniform(0.4, 0.7)
            part = long * rng.uniform(0.34, 0.46)
            _branch(rng, branches, path[k], sprout, part, -curl, half * 0.6, depth + 1)
    branches.append((path, half, curl))


def _limb(
    rng: np.random.Generator,
    panel: Panel,
    palette: Colours,
    spine: NDArray,
    half: float,
    curl: float,
) -> None:
    taper = half * (1 - 0.72 * np.linspace(0, 1, len(spine)) ** 0.9)
    panel.ribbon(spine, taper + 0.0024, palette[_LINE], 150)
    fill = mix(palette[_BRONZE], palette[_GOLD], rng.uniform(0.1, 0.75))
    panel.ribbon(spine, taper, fill, 215)
    if half > 0.008:
        for k in range(4, 70, 5):
            tint = palette[_JEWELS][rng.integers(4)] if rng.random() < 0.3 else palette[_PALE]
            panel.disc(spine[k], 0.42 * taper[k], tint, 245)
    if rng.random() < 0.4:
        _eye(rng, panel, palette, spine[rng.integers(25, 60)], rng.uniform(0.016, 0.024))
    panel.disc(spine[-1], 1.6 * taper[-1] + 0.002, palette[_LINE], 200)


def _eye(
    rng: np.random.Generator, panel: Panel, palette: Colours, at: NDArray, reach: float
) -> None:
    """Draw an eye or a triangle as a blossom."""
    turn = rng.uniform(0, np.pi)
    out, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    jewel = palette[_JEWELS][rng.integers(4)]
    if rng.random() < 0.65:
        t = np.linspace(-1, 1, 16)
        lid = 0.55 * (1 - t**2)
        upper, lower = np.stack([t, lid], -1), np.stack([t, -lid], -1)[::-1]
        frame = np.stack([out, across])
        almond = np.concatenate([upper, lower])
        panel.shape(at + reach * 1.18 * almond @ frame, palette[_LINE], 200)
        panel.shape(at + reach * almond @ frame, palette[_WHITE], 230)
        panel.disc(at, 0.46 * reach, jewel, 245)
        panel.disc(at, 0.2 * reach, palette[_BLACK], 250)
    else:
        corners = [
            at + reach * out,
            at - 0.7 * reach * out + 0.8 * reach * across,
            at - 0.7 * reach * out - 0.8 * reach * across,
        ]
        panel.shape(corners, palette[_LINE], 200)
        panel.shape(at + 0.78 * (np.array(corners) - at), jewel, 235)
        panel.disc(at, 0.2 * reach, palette[_PALE], 250)


def _trunk(
    rng: np.random.Generator, panel: Panel, palette: Colours, root: NDArray, crown: NDArray
) -> None:
    spine = fields.curve(
        [
            root + np.array([0, 0.1]),
            root + np.array([0.006, -0.1]),
            crown + np.array([-0.006, 0.14]),
            crown + np.array([0, -0.06]),
        ],
        16,
    )
    half = np.interp(np.linspace(0, 1, len(spine)), [0, 0.25, 0.7, 1], [0.105, 0.05, 0.04, 0.024])
    panel.ribbon(spine, half + 0.003, palette[_LINE], 150)
    panel.ribbon(spine, half, mix(palette[_BRONZE], palette[_GOLD], 0.4), 210)
    for k in range(1, len(spine) - 1):
        count = max(2, round(float(half[k]) / 0.0125))
        for j in range(count):
            side = (2 * (j + 0.5) / count - 1) * half[k] * 0.9
            at = spine[k] + np.array([side, rng.normal(0, 0.002)])
            pick = rng.random()
            if pick < 0.34:
                box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [0.0052, 0.0075]
                panel.shape(at + box, palette[(_BLACK, _BARK, _PALE)[rng.integers(3)]], 235)
            elif pick < 0.6:
                panel.disc(at, 0.0062, palette[_JEWELS][rng.integers(4)], 240)
                panel.disc(at, 0.0028, palette[_PALE], 250)
            elif pick < 0.75:
                panel.disc(at, 0.004, palette[_WHITE], 245)


def _hills(rng: np.random.Generator, panel: Panel, palette: Colours) -> None:
    """Draw three hills, each with another quilted pattern."""
    patterns = rng.permutation(3)
    for k, (cx, top, wide) in enumerate(
        ((0.08, 0.74, 0.34), (0.92, 0.77, 0.36), (0.5, 0.885, 0.5))
    ):
        x = np.linspace(-0.05, 1.05, 160)
        line = top + 0.32 * (1 - np.exp(-(((x - cx - rng.uniform(-0.03, 0.03)) / wide) ** 2)))
        panel.label = Label.GROUND if k == 2 else Label.HILLS
        outline = np.concatenate([np.stack([x, line], -1), [[1.05, 1.1], [-0.05, 1.1]]])
        base = (palette[_BRONZE], mix(palette[_GOLD], palette[_BARK], 0.45), palette[_BARK])[
            patterns[k]
        ]
        panel.shape(outline - [0, 0.005], palette[_LINE], 120)
        panel.shape(outline, base, 140)
        _quilt(rng, panel, palette, int(patterns[k]), x, line)
        panel.ribbon(np.stack([x, line], -1), 0.0028, palette[_PALE], 200)


def _quilt(
    rng: np.random.Generator,
    panel: Panel,
    palette: Colours,
    pattern: int,
    x: NDArray,
    line: NDArray,
) -> None:
    pitch = (0.019, 0.034, 0.027)[pattern]
    for i, px in enumerate(np.arange(-0.02, 1.04, pitch)):
        top = float(np.interp(px, x, line))
        for j, py in enumerate(np.arange(top + 0.62 * pitch, 1.03, pitch)):
            at = np.array([px, py + (0.5 * pitch if i % 2 and pattern else 0)])
            jewel = palette[_JEWELS][rng.integers(4)]
            if pattern == 0:
                tall = rng.uniform(0.3, 0.5) * pitch
                box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [0.4 * pitch, tall]
                tint = palette[
                    (_BLACK, _WHITE, _PALE, _BARK, _GOLD)[
                        rng.choice(5, p=[0.3, 0.22, 0.2, 0.1, 0.18])
                    ]
                ]
                panel.shape(at + box, tint, 190)
                if rng.random() < 0.12:
                    panel.disc(at, 0.25 * pitch, jewel, 235)
            elif pattern == 1:
                for share, tint in (
                    (0.48, palette[_LINE]),
                    (0.43, jewel),
                    (0.29, palette[_PALE]),
                    (0.15, palette[_BLACK]),
                ):
                    panel.disc(at, share * pitch, tint, 190 + int(60 * (0.5 - share)))
            else:
                up = 1 if (i + j) % 2 else -1
                tri = np.array([(-0.46, 0.42 * up), (0.46, 0.42 * up), (0, -0.46 * up)]) * pitch
                panel.shape(at + tri, jewel if rng.random() < 0.55 else palette[_PALE], 195)
                panel.disc(
                    at + np.array([0, 0.12 * up * pitch]), 0.13 * pitch, palette[_BLACK], 235
                )


def _meadow(rng: np.random.Generator, panel: Panel, palette: Colours) -> None:
    """Draw flowers on the near hill."""
    panel.label = Label.GROUND
    for _ in range(46):
        at = np.array([rng.uniform(0.0, 1.0), rng.uniform(0.925, 1.0)])
        reach = rng.uniform(0.009, 0.017)
        petals = int(rng.integers(5, 8))
        tint = vary(rng, palette[_JEWELS][rng.integers(4)][None], 0.05)[0]
        for k in range(petals):
            turn = 2 * np.pi * k / petals
            petal = at + 0.75 * reach * np.array([np.cos(turn), np.sin(turn)])
            panel.disc(petal, 0.52 * reach, palette[_LINE], 200)
            panel.disc(petal, 0.44 * reach, tint, 225)
        panel.disc(at, 0.4 * reach, palette[_PALE], 250)


def _light(
    rng: np.random.Generator, panel: Panel, palette: Colours
) -> tuple[Colours, NDArray[np.uint8]]:
    """Light the relief, with a varying shine on the gold."""
    colour, height, labels = panel.arrays()
    n = panel.side
    rough = 0.05 * fields.resize(fields.noise(rng, n // 2, 0.006, 2), n)
    lit = light(colour, 7 * (height + rough), 0.42, 0.1, 0.8)
    gold = np.exp(-(np.linalg.norm(colour - palette[_GOLD], axis=-1) ** 2) / 0.06)
    sheen = fields.resize(fields.noise(rng, n // 2, 0.5, 2), n)
    lit = lit * (1 + 0.07 * (gold * sheen)[..., None])
    step = _SUPERSAMPLING
    return np.clip(reduce(lit, step), 0, 1), labels[::step, ::step].copy()
