"""An afternoon by the river in dots of divided colour (after Seurat and Signac)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, ramp, shift
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import light, reduce

_SUPERSAMPLING = 2

# Sky, sky at the horizon, far trees, water, lawn in light, lawn in shade, leaf in light,
# leaf in shade, trunk, dress, coat, sail, parasol, house, frame, frame's second.
_PALETTES = (
    "8fb8d8 f4e3b4 5f8fa0 6fa3c8 cfd06a 3f7a54 a8bf4a "
    "2f5f5c 6a4a4f b05a86 2c3560 fbf0d4 e8603c f0c08a 25306e d8862c",
    "e8a05c fbe09a 8a6fa0 d89a7c e0b84c 6a5a86 d8903c "
    "5c3f78 54304c 7c3f8c 2f2a5c fff0c8 d83c50 f4b090 3c1f5c f0a02c",
    "a0d0d0 f4f0d8 7fae9c 7fc0c8 b8d87c 4f8f7c 8fc858 "
    "3f7c6c 7a5c54 5f7fc8 3c4a6c fdf8e4 f0a03c f4d0a8 1f5c64 e87c5c",
)
(_SKY, _HORIZON, _FAR, _WATER, _LAWN, _SHADE, _LEAF, _LEAF_SHADE, _TRUNK, _DRESS, _COAT, _SAIL,
 _PARASOL, _HOUSE, _FRAME, _FRAME_SECOND) = range(16)  # fmt: skip


@dataclass
class _Scene:
    """The full-size drawing under the dots."""

    colour: Colours
    labels: NDArray[np.uint8]
    x: Field
    y: Field

    def fill(self, where: NDArray[np.bool_], colour: Colours, label: Label) -> None:
        self.colour[where] = colour if colour.ndim == 1 else colour[where]
        self.labels[where] = label

    def shape(self, points: ArrayLike, colour: Colours, label: Label) -> None:
        """Fill a polygon, lighter towards the sun at the upper left."""
        inside = fields.inside(np.asarray(points), self.x.shape[0])
        if inside.any():
            x = self.x[inside]
            across = (x - x.min()) / (np.ptp(x) + 1e-3)
            self.colour[inside] = shift(colour, 0.08 - 0.17 * across)
            self.labels[inside] = label


def pointillism(rng: np.random.Generator, size: int) -> Painting:
    """Paint a riverside park in dots.

    Args:
        rng: source of randomness: composition, palette and every dot.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.2)
    x, y = fields.grid(size)
    scene = _Scene(
        np.zeros((size, size, 3), dtype=np.float32), np.zeros((size, size), np.uint8), x, y
    )
    shore = rng.uniform(0.36, 0.41)
    _river(rng, scene, palette, shore)
    _lawn(rng, scene, palette)
    _people(rng, scene, palette)
    _trees(rng, scene, palette)
    if rng.random() < 0.5:
        scene.colour, scene.labels = scene.colour[:, ::-1], scene.labels[:, ::-1]
    _frame(scene, palette)
    return Painting(_dots(rng, scene, palette), np.ascontiguousarray(scene.labels))


def _river(rng: np.random.Generator, scene: _Scene, palette: Colours, shore: float) -> None:
    n = scene.x.shape[0]
    y = scene.y
    everywhere = np.ones((n, n), dtype=bool)
    cloud = fields.noise(rng, n, (0.4, 0.12), 3)
    sky = ramp(palette[[_SKY, _HORIZON]], y / shore + 0.16 * cloud)
    scene.fill(everywhere, sky, Label.SKY)
    band = 0.5 * np.sin(2 * np.pi * (y - shore) * 15 + 2 * fields.noise(rng, n, (0.5, 0.05), 2))
    water = ramp(
        np.stack([palette[_HORIZON], palette[_WATER], shift(palette[_WATER], -0.12)]),
        (y - shore) / 0.42 + 0.12 * band,
    )
    scene.fill(y > shore, water, Label.WATER)
    line = shore - 0.035 - np.abs(fields.ridge(rng, n, [(0.22, 0.05), (0.07, 0.02)]))
    trees = (y > line[None]) & (y < shore)
    tone = fields.noise(rng, n, 0.05, 3)
    scene.fill(trees, shift(np.tile(palette[_FAR], (n, n, 1)), 0.05 * tone), Label.FOLIAGE)
    mirror = (y >= shore) & (y < (shore + 0.65 * (shore - line))[None])
    scene.fill(mirror, mix(palette[_FAR], palette[_WATER], 0.45 + 0.1 * band), Label.WATER)
    for _ in range(5):
        hx, w = rng.uniform(0.35, 0.97), rng.uniform(0.02, 0.035)
        house = [
            (hx - w, shore),
            (hx - w, shore - 0.045),
            (hx, shore - 0.075),
            (hx + w, shore - 0.045),
            (hx + w, shore),
        ]
        scene.shape(house, palette[_HOUSE], Label.BUILDING)
        roof = [(hx - 1.15 * w, shore - 0.043), (hx, shore - 0.08), (hx + 1.15 * w, shore - 0.043)]
        scene.shape(roof, palette[_PARASOL], Label.BUILDING)
    for k, bx in enumerate(rng.permutation([0.38, 0.56, 0.74, 0.9])):
        by = shore + (0.03, 0.06, 0.11, 0.16)[k]
        _boat(scene, palette, bx + rng.uniform(-0.04, 0.04), by, 0.07 + 0.42 * (by - shore))


def _boat(scene: _Scene, palette: Colours, x: float, y: float, tall: float) -> None:
    for way, tint in ((1, palette[_SAIL]), (-0.55, mix(palette[_SAIL], palette[_HOUSE], 0.5))):
        leech = fields.curve(
            [
                (x, y - tall),
                (x + way * 0.36 * tall, y - 0.5 * tall),
                (x + way * 0.45 * tall, y - 0.06 * tall),
            ],
            6,
        )
        scene.shape(np.concatenate([leech, [(x, y - 0.06 * tall)]]), tint, Label.OBJECT)
    hull = [
        (x - 0.4 * tall, y - 0.05 * tall),
        (x + 0.45 * tall, y - 0.05 * tall),
        (x + 0.34 * tall, y + 0.06 * tall),
        (x - 0.3 * tall, y + 0.06 * tall),
    ]
    scene.shape(hull, palette[_COAT], Label.OBJECT)
    for k in range(4):
        low = y + 0.1 * tall + 0.13 * tall * k
        wide = 0.3 * tall * (1 - 0.15 * k)
        streak = [
            (x - wide, low),
            (x + wide, low),
            (x + wide, low + 0.055 * tall),
            (x - wide, low + 0.055 * tall),
        ]
        scene.shape(streak, mix(palette[_SAIL], palette[_WATER], 0.2 + 0.15 * k), Label.WATER)


def _lawn(rng: np.random.Generator, scene: _Scene, palette: Colours) -> None:
    """Draw the bank with its long shadows."""
    n = scene.x.shape[0]
    x, y = scene.x, scene.y
    at = np.linspace(0, 1, n)
    bank = 0.86 - 0.4 * (1 - at) ** 1.5 + fields.ridge(rng, n, [(0.3, 0.012)])
    wave = 0.02 * fields.noise(rng, n, (0.3, 0.05), 3)
    depth = y - bank[None]
    lit = ramp(
        np.stack([palette[_LAWN], shift(palette[_LAWN], 0.05), shift(palette[_LAWN], -0.1)]),
        depth / 0.4,
    )
    scene.fill(depth > 0, lit, Label.GROUND)
    shade = (depth > 0) & (
        ((y + wave) > 0.93 - 0.03 * x) | (np.abs(y + wave - 0.735 - 0.1 * x) < 0.022)
    )
    scene.fill(shade, np.tile(palette[_SHADE], (n, n, 1)), Label.GROUND)
    rim = (depth > -0.006) & (depth < 0.008)
    scene.fill(rim, mix(palette[_SHADE], palette[_WATER], 0.4), Label.GROUND)


def _people(rng: np.random.Generator, scene: _Scene, palette: Colours) -> None:
    spots = [
        (0.56, 0.97, 0.36),
        (0.33, 0.8, 0.23),
        (0.22, 0.68, 0.15),
        (0.46, 0.84, 0.17),
        (0.12, 0.6, 0.1),
    ]
    for k, (x, y, tall) in sorted(enumerate(spots), key=lambda spot: spot[1][1]):
        px = x + rng.uniform(-0.03, 0.03)
        shadow = [
            (px - 0.1 * tall, y),
            (px + 0.75 * tall, y + 0.02 * tall),
            (px + 0.7 * tall, y + 0.07 * tall),
            (px - 0.1 * tall, y + 0.04 * tall),
        ]
        scene.shape(shadow, palette[_SHADE], Label.GROUND)
        if k % 2 == 0:
            _lady(rng, scene, palette, px, y, tall, parasol=k < 3)
        else:
            _gentleman(rng, scene, palette, px, y, tall)


def _lady(
    rng: np.random.Generator,
    scene: _Scene,
    palette: Colours,
    x: float,
    y: float,
    tall: float,
    parasol: bool,
) -> None:
    dress = shift(palette[_DRESS], rng.uniform(-0.04, 0.06), 1.0, rng.uniform(-0.5, 0.5))
    skirt = fields.curve(
        [
            (-0.05, -0.56),
            (-0.17, -0.48),
            (-0.2, -0.3),
            (-0.23, 0.0),
            (0.14, 0.0),
            (0.1, -0.3),
            (0.06, -0.56),
        ],
        6,
    )
    scene.shape(skirt * tall + [x, y], dress, Label.CLOTH)
    bodice = fields.curve(
        [
            (-0.05, -0.54),
            (-0.075, -0.66),
            (-0.06, -0.78),
            (0.045, -0.78),
            (0.075, -0.68),
            (0.06, -0.54),
        ],
        6,
    )
    scene.shape(bodice * tall + [x, y], palette[_COAT], Label.CLOTH)
    _head(scene, palette, x, y, tall, brim=0.09)
    if parasol:
        stick = np.array([(0.1, -0.6), (0.115, -0.6), (0.085, -1.0), (0.07, -1.0)])
        scene.shape(stick * tall + [x, y], palette[_TRUNK], Label.OBJECT)
        dome = fields.curve(
            [(-0.27, -0.92), (-0.17, -1.1), (0.06, -1.19), (0.29, -1.08), (0.38, -0.9)], 8
        )
        scallop = np.stack(
            [
                np.linspace(0.38, -0.27, 21),
                -0.9 - 0.02 * np.abs(np.sin(np.linspace(0, 5 * np.pi, 21))),
            ],
            -1,
        )
        scene.shape(
            np.concatenate([dome, scallop]) * tall + [x, y], palette[_PARASOL], Label.OBJECT
        )


def _gentleman(
    rng: np.random.Generator, scene: _Scene, palette: Colours, x: float, y: float, tall: float
) -> None:
    coat = shift(palette[_COAT], rng.uniform(0.0, 0.1), 1.0, rng.uniform(-0.3, 0.3))
    for leg in (-0.05, 0.03):
        trouser = np.array([(-0.035, -0.45), (0.04, -0.45), (0.035, 0.0), (-0.02, 0.0)]) + np.array(
            [leg, 0]
        )
        scene.shape(trouser * tall + [x, y], mix(palette[_TRUNK], palette[_SAIL], 0.3), Label.CLOTH)
    body = fields.curve(
        [(-0.1, -0.36), (-0.11, -0.6), (-0.08, -0.79), (0.07, -0.79), (0.1, -0.6), (0.09, -0.36)], 6
    )
    scene.shape(body * tall + [x, y], coat, Label.CLOTH)
    _head(scene, palette, x, y, tall, brim=0.075)
    crown = np.array([(-0.05, -0.95), (0.05, -0.95), (0.048, -1.05), (-0.048, -1.05)])
    scene.shape(crown * tall + [x, y], palette[_COAT], Label.CLOTH)


def _head(scene: _Scene, palette: Colours, x: float, y: float, tall: float, brim: float) -> None:
    turn = np.linspace(0, 2 * np.pi, 20)
    face = np.stack([0.055 * np.cos(turn), -0.87 + 0.075 * np.sin(turn)], -1)
    scene.shape(face * tall + [x, y], mix(palette[_HOUSE], palette[_SAIL], 0.35), Label.SKIN)
    hair = np.stack([-0.02 + 0.055 * np.cos(turn), -0.89 + 0.06 * np.sin(turn)], -1)
    scene.shape(hair * tall + [x, y], palette[_TRUNK], Label.HAIR)
    hat = np.stack([brim * np.cos(turn), -0.94 + 0.03 * np.sin(turn)], -1)
    scene.shape(hat * tall + [x, y], palette[_COAT], Label.CLOTH)


def _trees(rng: np.random.Generator, scene: _Scene, palette: Colours) -> None:
    """Draw trunks at the left and the canopy at the top."""
    n = scene.x.shape[0]
    x, y = scene.x, scene.y
    for tx, foot, wide in ((0.9, 0.93, 0.018), (0.06, 0.66, 0.016), (0.155, 0.84, 0.026)):
        cx = tx + rng.uniform(-0.02, 0.02)
        trunk = fields.curve(
            [
                (-2.2, 0.0),
                (-1.1, -0.06),
                (-0.8, -0.4),
                (-0.7, -1.0),
                (0.7, -1.0),
                (0.8, -0.4),
                (1.2, -0.06),
                (2.4, 0.0),
            ],
            6,
        )
        scene.shape(trunk * [wide, foot + 0.05] + [cx, foot], palette[_TRUNK], Label.FOLIAGE)
    lumps = fields.noise(rng, n, 0.12, 4, 0.55)
    edge = 0.19 + 0.2 * (1 - x) ** 2.2 + 0.08 * fields.smoothstep(0.75, 1.0, x) + 0.045 * lumps
    canopy = (y < edge) & (lumps > -1.25)
    glow = np.clip(
        0.5 + 0.28 * fields.noise(rng, n, 0.06, 3) - 1.1 * (y - 0.16) - 0.35 * (x - 0.4), 0, 1
    )
    leaf = ramp(
        np.stack(
            [palette[_LEAF_SHADE], mix(palette[_LEAF_SHADE], palette[_LEAF], 0.5), palette[_LEAF]]
        ),
        glow,
    )
    scene.fill(canopy, leaf, Label.FOLIAGE)


def _frame(scene: _Scene, palette: Colours) -> None:
    """Draw a painted border around the picture, as in Seurat's pictures."""
    x, y = scene.x, scene.y
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    scene.fill(edge < 0.026, palette[_FRAME], Label.OBJECT)


def _dots(rng: np.random.Generator, scene: _Scene, palette: Colours) -> Colours:
    """Draw the dots: a first layer of large ones, then small ones of divided colour."""
    n = scene.x.shape[0]
    side = n * _SUPERSAMPLING
    numbers = Image.new("I", (side, side), 0)
    draw = ImageDraw.Draw(numbers)
    colours = [mix(palette[_SAIL], palette[_HOUSE], 0.3)[None]]
    number = 1
    turn = np.linspace(0, 2 * np.pi, 9)[:-1]
    for spacing, radius, division in (
        (0.0105, 0.0075, 0.35),
        (0.0078, 0.0046, 0.8),
        (0.0085, 0.0038, 1.15),
    ):
        at = fields.scatter(rng, max(spacing, 1.5 / n), 0.6)
        count = len(at)
        tints = _divide(rng, scene, at, division, palette)
        reach = max(radius, 0.9 / n) * rng.uniform(0.75, 1.2, (count, 1)) * side
        wobble = reach * rng.uniform(0.82, 1.16, (count, 8))
        rings = np.stack(
            [at[:, :1] * side + wobble * np.cos(turn), at[:, 1:] * side + wobble * np.sin(turn)], -1
        )
        for ring in rings.reshape(count, -1).tolist():
            draw.polygon(ring, fill=number)
            number += 1
        colours.append(tints)
    which = np.asarray(numbers)
    colour = np.concatenate(colours)[which]
    bump = np.concatenate([[0.0], rng.uniform(0.6, 1.4, number - 1)])[which].astype(np.float32)
    return np.clip(reduce(light(colour, bump, 0.26, 0.05, 0.8), _SUPERSAMPLING), 0, 1)


def _divide(
    rng: np.random.Generator, scene: _Scene, at: NDArray, division: float, palette: Colours
) -> Colours:
    """Return colours of dots: neighbours on the colour wheel, and a few complements."""
    base = fields.sample(scene.colour, at)
    count = len(at)
    hue = rng.normal(0, 0.34, count) * division
    tints: Colours = shift(base, rng.normal(0, 0.05, count) * division, 1.0 + 0.3 * division, hue)
    bright = base.mean(axis=1)
    pick = rng.random(count)
    sunny = (pick < 0.09 * division) & (bright > 0.42)
    tints[sunny] = mix(tints[sunny], palette[_PARASOL], 0.5)
    cool = (pick < 0.16 * division) & (bright <= 0.42)
    tints[cool] = mix(tints[cool], palette[_WATER], 0.55)
    opposite = pick > 1 - 0.07 * division
    tints[opposite] = shift(base[opposite], 0.05, 0.9, np.pi)
    border = fields.sample(scene.labels, at) == Label.OBJECT
    edge = np.minimum(at, 1 - at).min(axis=1) < 0.026
    second = border & edge & (rng.random(count) < 0.3)
    tints[second] = shift(palette[_FRAME_SECOND], rng.normal(0, 0.05, second.sum()))
    return tints
