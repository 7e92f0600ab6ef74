"""A harbour in strong colours, thick paint on bare canvas (after Derain and Vlaminck)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, ramp, shift, vary
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import Brush, PaintLayer

# Canvas, sky, sky second, sun glow, far hill, near hill, sea, sea second, reflection,
# beach, contour, house, roof, boat, boat second, leaf.
_PALETTES = (
    "efe2c6 f6d36a f4a0a8 fff0b0 7a5fc0 2f7fb8 2a9fb0 1f5fb4 ff7a4c "
    "f0a04c 1c2560 fbe8d0 e8432c d82c3c 2f9a58 3f9a4c",
    "f2e8d4 8fd0c8 f4e08c fff4c8 e0609a c83c6c 3f6fc8 5fb8d8 f8d048 "
    "e8705c 2a1a4c f8f0dc f0862c 2c50b0 e8402c 7fb83c",
    "ecdfc8 f0744c f8b04c ffe08c 3c8f7c 5c3f9c 7c5fb8 e0708c f8e070 "
    "c8a03c 1a2c4c fce4c4 2c6fa8 f0c02c d0303c 2f8f6c",
)
(_CANVAS, _SKY, _SKY_SECOND, _GLOW, _FAR, _NEAR, _SEA, _SEA_SECOND, _REFLECTION, _BEACH, _CONTOUR,
 _HOUSE, _ROOF, _BOAT, _BOAT_SECOND, _LEAF) = range(16)  # fmt: skip

_SLAB = Brush(bristles=9, ragged=0.1, streak=0.035, load=0.12, body=2.6, taper=0.15)
_DAB = Brush(bristles=7, ragged=0.14, streak=0.035, load=0.12, body=2.2, taper=0.3)
_LINE = Brush(bristles=4, ragged=0.12, streak=0.02, load=0.03, body=1.8, taper=0.6, dry=0.04)


@dataclass
class _Scene:
    """Under-drawing: colours, stroke directions, labels."""

    colour: Colours
    angle: Field
    labels: NDArray[np.uint8]


def fauvism(rng: np.random.Generator, size: int) -> Painting:
    """Paint a fauvist harbour.

    Args:
        rng: source of randomness: composition, palette and every stroke.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.4)
    shore = rng.uniform(0.44, 0.5)
    scene, lines = _underdrawing(rng, size, palette, shore)
    layer = PaintLayer(size, palette[_CANVAS])
    layer.cover(
        rng, scene.colour, scene.angle, _SLAB, spacing=0.03, width=0.036, length=0.075, spread=1.3
    )
    layer.cover(
        rng, scene.colour, scene.angle, _DAB, spacing=0.0235, width=0.021, length=0.052, spread=1.6
    )
    for line in lines:
        _contour(rng, layer, palette, line, 0.0095)
    _town(rng, layer, scene, palette, shore)
    _boats(rng, layer, scene, palette, shore)
    if rng.random() < 0.8:
        _pines(rng, layer, scene, palette)
    colours = layer.render(relief=0.62, gloss=0.2, soften=0.9)
    if rng.random() < 0.5:
        return Painting(colours[:, ::-1], scene.labels[:, ::-1])
    return Painting(colours, scene.labels)


def _broken(
    rng: np.random.Generator,
    n: int,
    tints: Colours,
    lean: Field | float,
    cell: float | tuple[float, float],
) -> Colours:
    """Return patches of unmixed colours, about as large as a stroke."""
    share = np.clip(0.5 + 0.33 * fields.noise(rng, n, cell, 2) + lean, 0, 0.999)
    return tints[(share * len(tints)).astype(np.intp)]


def _underdrawing(
    rng: np.random.Generator, n: int, palette: Colours, shore: float
) -> tuple[_Scene, list[NDArray]]:
    """Return the scene without its objects, and the lines to be drawn over it."""
    x, y = fields.grid(n)
    sun = (rng.uniform(0.55, 0.85), rng.uniform(0.08, 0.2))
    far = np.hypot(x - sun[0], y - sun[1])
    between = mix(palette[_SKY], palette[_SEA], 0.55)
    tints = np.stack([palette[_GLOW], palette[_SKY], palette[_SKY_SECOND], between])
    sky = _broken(rng, n, tints, 0.75 * far - 0.38, 0.05)
    angle = np.arctan2(y - sun[1], x - sun[0]) + np.pi / 2
    scene = _Scene(sky, angle.astype(np.float32), np.full((n, n), int(Label.SKY), dtype=np.uint8))
    scene.colour[far < 0.045] = palette[_GLOW]
    lines = _hills(rng, scene, palette, shore)
    sea = y >= shore
    glow = mix(palette[_SEA], palette[_GLOW], 0.55)
    shades = np.stack([palette[_SEA_SECOND], palette[_SEA], glow, palette[_REFLECTION]])
    glitter = 0.4 * np.exp(-(((x - sun[0]) / 0.1) ** 2)) - 0.16
    scene.colour[sea] = _broken(rng, n, shades, glitter, (0.09, 0.03))[sea]
    scene.angle[sea] = 0.05 * np.sin(9 * x + 14 * y)[sea]
    scene.labels[sea] = Label.WATER
    at = np.linspace(0, 1, n)
    beach = 0.9 - 0.14 * at**1.6 + fields.ridge(rng, n, [(0.3, 0.02)])
    sand = y > beach[None]
    warm = mix(palette[_BEACH], palette[_BOAT], 0.5)
    shades = np.stack([palette[_SKY_SECOND], palette[_BEACH], warm, palette[_SKY]])
    scene.colour[sand] = _broken(rng, n, shades, 0.0, 0.06)[sand]
    scene.angle[sand] = (-0.25 + 0.3 * np.sin(11 * x))[sand]
    scene.labels[sand] = Label.GROUND
    lines.append(np.stack([at, beach], -1))
    return scene, lines


def _hills(
    rng: np.random.Generator, scene: _Scene, palette: Colours, shore: float
) -> list[NDArray]:
    """Paint two ranges of hills into the scene and return their skylines."""
    n = scene.labels.shape[0]
    _, y = fields.grid(n)
    lines = []
    for k, (lift, tint) in enumerate(((0.17, _FAR), (0.085, _NEAR))):
        line = shore - lift + fields.ridge(rng, n, [(0.42, 0.06), (0.15, 0.02)]) * (1 - 0.4 * k)
        inside = (y > line[None]) & (y < shore)
        warm, cool = shift(palette[tint], 0.12, 1.0, 0.5), shift(palette[tint], -0.1, 1.0, -0.4)
        shades = np.stack([warm, palette[tint], cool])
        scene.colour[inside] = _broken(rng, n, shades, 1.8 * (y - line[None]) - 0.1, 0.06)[inside]
        slope = np.arctan2(np.gradient(line) * n, 1.0)[None] + 0.9 * (1 if k else -1)
        scene.angle[inside] = np.broadcast_to(slope, (n, n))[inside]
        scene.labels[inside] = Label.HILLS
        lines.append(np.stack([np.linspace(0, 1, n), line], -1))
    return lines


def _contour(
    rng: np.random.Generator, layer: PaintLayer, palette: Colours, line: NDArray, width: float
) -> None:
    """Draw a contour in separate thick strokes."""
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    total = float(steps[-1])
    begin = np.arange(0.0, total, 0.06)
    length = np.minimum(0.072, total - begin)
    at = begin[:, None] + length[:, None] * np.linspace(0, 1, 7)
    paths = np.stack([np.interp(at, steps, line[:, c]) for c in (0, 1)], -1)
    paths = paths + rng.normal(0, 0.0012, paths.shape)
    tints = vary(rng, np.repeat(palette[_CONTOUR][None], len(paths), 0), 0.03, 0.15, 0.15)
    layer.lay(rng, paths, width * rng.uniform(0.7, 1.15, len(paths)), tints, _LINE)


def _solid(
    rng: np.random.Generator,
    layer: PaintLayer,
    scene: _Scene,
    palette: Colours,
    corners: list[tuple[float, float]],
    colour: Colours,
    label: Label,
    width: float = 0.014,
) -> None:
    """Fill a face with strokes and draw its contour."""
    layer.facet(rng, corners, colour, _DAB, width)
    scene.labels[fields.inside(corners, scene.labels.shape[0])] = label
    closed = np.asarray([*corners, corners[0]])
    for a, b in itertools.pairwise(closed):
        if np.hypot(*(b - a)) > 0.012:
            _contour(rng, layer, palette, np.linspace(a, b, 8), 0.0052)


def _town(
    rng: np.random.Generator, layer: PaintLayer, scene: _Scene, palette: Colours, shore: float
) -> None:
    """Draw two rows of houses and a tower, with their reflections on the water."""
    centre = rng.uniform(0.22, 0.48)
    for row in range(2):
        for place in range(5):
            x = centre + (place - 2.2) * 0.092 + 0.04 * row + rng.normal(0, 0.008)
            _house(rng, layer, scene, palette, x, shore + 0.006 - 0.055 * (1 - row))
    x, foot = centre + 0.29, shore
    tower = [(x, foot - 0.2), (x + 0.052, foot - 0.2), (x + 0.056, foot), (x - 0.004, foot)]
    wall = mix(palette[_HOUSE], palette[_BEACH], 0.55)
    _solid(rng, layer, scene, palette, tower, wall, Label.BUILDING)
    top, low = foot - 0.248, foot - 0.198
    dome = [(x + 0.012, top), (x + 0.04, top), (x + 0.058, low), (x - 0.006, low)]
    _solid(rng, layer, scene, palette, dome, palette[_ROOF], Label.BUILDING)
    touch = np.stack([np.linspace(-0.025, 0.025, 7), np.zeros(7)], -1)
    for k in range(9):
        at = centre + rng.uniform(-0.22, 0.32, 5)
        paths = np.stack([at, np.full(5, shore + 0.018 + 0.017 * k)], -1)[:, None] + touch
        tints = palette[[_HOUSE, _ROOF, _SKY_SECOND, _BEACH, _REFLECTION]]
        layer.lay(rng, paths, np.full(5, 0.012), vary(rng, tints, 0.04), _DAB)


def _house(
    rng: np.random.Generator,
    layer: PaintLayer,
    scene: _Scene,
    palette: Colours,
    x: float,
    foot: float,
) -> None:
    tall, wide = rng.uniform(0.07, 0.105), rng.uniform(0.066, 0.085)
    tint = palette[(_SKY, _SKY_SECOND, _BEACH)[rng.integers(3)]]
    wall = mix(palette[_HOUSE], tint, rng.uniform(0.1, 0.75))
    split, end = x + wide * 0.62, x + wide
    eaves, ridge = foot - tall, foot - tall - 0.034
    flank = [(split, eaves), (end, foot - tall * 0.94), (end, foot), (split, foot)]
    front = [(x, eaves), (split, eaves), (split, foot), (x, foot)]
    roof = [(x - 0.006, eaves), (x + 0.016, ridge), (split + 0.02, ridge)]
    roof.append((end + 0.004, foot - tall * 0.96))
    _solid(rng, layer, scene, palette, flank, mix(wall, palette[_FAR], 0.6), Label.BUILDING)
    _solid(rng, layer, scene, palette, front, wall, Label.BUILDING)
    tiles = shift(palette[_ROOF], rng.uniform(-0.05, 0.08))
    _solid(rng, layer, scene, palette, roof, tiles, Label.BUILDING)
    high, low = foot - 0.66 * tall, foot - 0.42 * tall
    for share in (0.2, 0.44):
        left, right = x + share * wide - 0.006, x + share * wide + 0.006
        pane = [(left, high), (right, high), (right, low), (left, low)]
        layer.facet(rng, pane, palette[_CONTOUR], _DAB, 0.008)


def _boats(
    rng: np.random.Generator, layer: PaintLayer, scene: _Scene, palette: Colours, shore: float
) -> None:
    count = int(rng.integers(2, 5))
    places = rng.permutation(np.linspace(0.2, 0.78, count)) + rng.uniform(-0.06, 0.06, count)
    depths = np.sort(rng.uniform(0.1, 0.27, count))
    for k, (px, depth) in enumerate(zip(places, depths, strict=True)):
        y, long = shore + depth, 0.05 + 0.55 * depth
        hull, inner = (palette[_BOAT], palette[_BOAT_SECOND])[:: 1 if k % 2 else -1]
        for j in range(5):
            low = y + 0.3 * long + 0.014 * j
            wave = np.linspace(-0.42, 0.42, 9) * long * (1 - 0.12 * j)
            path = np.stack([px + wave, low + 0.003 * np.sin(wave * 90)], -1)[None]
            layer.lay(
                rng, path, np.array([0.013]), (hull if j % 2 else palette[_CONTOUR])[None], _DAB
            )
        side = [
            (px - 0.56 * long, y),
            (px + 0.6 * long, y - 0.05 * long),
            (px + 0.42 * long, y + 0.27 * long),
            (px - 0.4 * long, y + 0.27 * long),
        ]
        _solid(rng, layer, scene, palette, side, hull, Label.OBJECT)
        deck = [
            (px - 0.5 * long, y - 0.005),
            (px + 0.54 * long, y - 0.05 * long),
            (px + 0.4 * long, y + 0.055 * long),
            (px - 0.36 * long, y + 0.075 * long),
        ]
        _solid(rng, layer, scene, palette, deck, inner, Label.OBJECT, 0.011)
        top = y - 1.25 * long
        sail = [
            (px + 0.03 * long, top),
            (px + 0.05 * long, top),
            (px + 0.52 * long, y - 0.14 * long),
            (px + 0.03 * long, y - 0.1 * long),
        ]
        _solid(
            rng,
            layer,
            scene,
            palette,
            sail,
            (palette[_GLOW], palette[_SKY_SECOND], palette[_HOUSE])[k % 3],
            Label.OBJECT,
        )
        mast = np.stack(
            [np.linspace(px, px + 0.01 * long, 9), np.linspace(y, top - 0.1 * long, 9)], -1
        )
        _contour(rng, layer, palette, mast, 0.008)


def _pines(rng: np.random.Generator, layer: PaintLayer, scene: _Scene, palette: Colours) -> None:
    """Draw a bent tree at the side, with single strokes as leaves."""
    n = scene.labels.shape[0]
    root = rng.uniform(0.86, 0.92)
    trunk = fields.curve(
        [
            (root + 0.05, 1.05),
            (root + 0.01, 0.78),
            (root + 0.035, 0.5),
            (root - 0.01, 0.3),
            (root - 0.06, 0.12),
        ],
        12,
    )
    for k, tint in ((0, palette[_CONTOUR]), (1, palette[_ROOF]), (2, palette[_BOAT])):
        for piece in range(0, 45, 7):
            path = trunk[piece : piece + 10][None] + [0.011 * (k - 1), 0.0]
            layer.lay(rng, path, np.array([0.024 - 0.003 * k]), vary(rng, tint[None], 0.05), _SLAB)
    for end in ((-0.24, -0.1), (-0.12, -0.17), (0.07, -0.16)):
        start = trunk[33]
        limb = fields.curve([start, start + np.array(end) * [0.5, 0.3], start + end], 8)
        _contour(rng, layer, palette, limb, 0.012)
    count = 250
    cx = root - 0.1 + rng.normal(0, 0.13, count)
    cy = 0.1 + np.abs(rng.normal(0, 0.085, count)) - 0.06
    turn = rng.normal(0.5, 0.5, count)
    reach = np.linspace(-0.5, 0.5, 7)[None] * rng.uniform(0.03, 0.05, (count, 1))
    paths = np.stack(
        [cx[:, None] + reach * np.cos(turn)[:, None], cy[:, None] + reach * np.sin(turn)[:, None]],
        -1,
    )
    tints = ramp(
        np.stack(
            [palette[_CONTOUR], palette[_LEAF], palette[_LEAF], palette[_SKY], palette[_ROOF]]
        ),
        rng.beta(1.6, 1.8, count),
    )
    layer.lay(rng, paths, rng.uniform(0.011, 0.018, count), vary(rng, tints, 0.04), _DAB)
    stem = np.concatenate([trunk - np.array([0.022, 0.0]), trunk[::-1] + np.array([0.022, 0.0])])
    ring = np.linspace(0, 2 * np.pi, 40)
    crown = np.stack([root - 0.1 + 0.22 * np.cos(ring), 0.1 + 0.115 * np.sin(ring)], -1)
    for part in (stem, crown):
        scene.labels[fields.inside(part, n)] = Label.FOLIAGE
