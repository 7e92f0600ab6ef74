"""Stone and gold-glass tesserae: a bird in a roundel under a field of stars (after Ravenna)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, ramp, shift
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import light, reduce
from nstbench.pictures.painter.tools.tesserae import Tiles, lay_tiles

_SUPERSAMPLING = 2
_PLAN = 384
# Figures have smaller stones than the ground.
_TILE = 0.0155
_FINE_TILE = 0.0105

# Ground, stars, gold, band, band pale, body, neck, wing, tail eye, leaf, fruit, mortar.
_PALETTES = (
    "15255e f0c95a dcae49 7d1f2c f2e6c8 1e6f8c 1d3f9a 3f9a86 e0b03c 3c6b34 c8402c 4a4238",
    "0f4a4c f3d98a d9b45a a8441f f5ead0 3f5fa8 6a2f7c 2f8a8c f0c040 5c7a2c d2603c 4c463c",
    "5c1a24 f4d48c e2bc62 1c3f66 f2e2c4 4c7f4a 1f5f5c c8862c f6d25c 6a7a34 8f2430 443a34",
)


@dataclass
class _Plan:
    """The drawing of a mosaic: a number per region, and the colour of each pixel."""

    region: NDArray[np.int32]
    colour: Colours
    gold: NDArray[np.bool_]
    labels: NDArray[np.uint8]

    def mirrored(self) -> _Plan:
        return _Plan(
            self.region[:, ::-1], self.colour[:, ::-1], self.gold[:, ::-1], self.labels[:, ::-1]
        )

    def fill(
        self,
        inside: NDArray[np.bool_],
        colour: NDArray,
        label: Label,
        gold: bool = False,
    ) -> None:
        """Add a region; ``colour`` is one colour (3,) or one per pixel."""
        self.region[inside] = self.region.max() + 1
        self.colour[inside] = colour if colour.ndim == 1 else colour[inside]
        self.gold[inside] = gold
        self.labels[inside] = label


def mosaic(rng: np.random.Generator, size: int) -> Painting:
    """Make a mosaic.

    Args:
        rng: source of randomness: composition, palette and every tessera.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.25)
    plan = _design(rng, palette)
    if rng.random() < 0.5:
        plan = plan.mirrored()
    figure = np.isin(plan.labels, (Label.OBJECT, Label.FOLIAGE)) & _inside_roundel()
    tiles = lay_tiles(rng, plan.region, ((figure, _FINE_TILE), (~figure, _TILE)))
    colours = _set(rng, plan, tiles, size, palette)
    labels = np.asarray(
        Image.fromarray(np.ascontiguousarray(plan.labels)).resize(
            (size, size), Image.Resampling.NEAREST
        )
    )
    return Painting(colours, labels)


def _polygon(points: NDArray | list, n: int = _PLAN) -> NDArray[np.bool_]:
    return fields.mask(points, n) > 0.5


def _design(rng: np.random.Generator, palette: Colours) -> _Plan:
    n = _PLAN
    x, y = fields.grid(n)
    plan = _Plan(
        np.zeros((n, n), dtype=np.int32),
        np.tile(palette[0], (n, n, 1)).astype(np.float32),
        np.zeros((n, n), dtype=bool),
        np.full((n, n), int(Label.SKY), dtype=np.uint8),
    )
    tone = 0.03 * fields.noise(rng, n, 0.3, 2)
    plan.colour = shift(plan.colour, tone)
    _stars(rng, plan, palette)
    r = np.hypot(x - 0.5, y - 0.5)
    turn = np.arctan2(y - 0.5, x - 0.5)
    plan.fill(r < 0.455, palette[4], Label.OBJECT)
    plan.fill(r < 0.437, palette[3], Label.OBJECT)
    waves = rng.integers(11, 16)
    crest = 0.406 + 0.022 * np.sin(waves * turn + 0.8 * np.sin(waves * turn))
    plan.fill(r < crest, mix(palette[4], palette[8], 0.35), Label.OBJECT)
    plan.fill(r < 0.375, palette[3], Label.OBJECT)
    plan.fill(r < 0.36, shift(np.tile(palette[2], (n, n, 1)), 0.8 * tone), Label.SKY, gold=True)
    inside = r < 0.36
    _meadow(rng, plan, palette, inside)
    _branches(rng, plan, palette, inside)
    _peacock(rng, plan, palette)
    return plan


def _stars(rng: np.random.Generator, plan: _Plan, palette: Colours) -> None:
    """Draw gold stars in the corners."""
    n = _PLAN
    x, y = fields.grid(n)
    points = int(rng.choice([6, 8]))
    step = 0.118
    for row in range(9):
        for column in range(9):
            cx, cy = (column + 0.5 * (row % 2)) * step + 0.03, row * step + 0.03
            if np.hypot(cx - 0.5, cy - 0.5) < 0.5:
                continue
            r, turn = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
            reach = 0.034 * (0.62 + 0.38 * np.cos(points * turn))
            plan.fill(r < reach, palette[1], Label.LIGHT, gold=True)
            plan.fill(r < 0.009, palette[4], Label.LIGHT)


def _meadow(rng: np.random.Generator, plan: _Plan, palette: Colours, inside: NDArray) -> None:
    n = _PLAN
    x, y = fields.grid(n)
    hill = 0.74 + 0.02 * np.sin(9 * x + rng.uniform(0, 6))
    green = ramp(
        np.stack([shift(palette[9], 0.12), palette[9], shift(palette[9], -0.1)]), (y - hill) / 0.12
    )
    plan.fill(inside & (y > hill), green, Label.GROUND)
    for _ in range(11):
        cx, cy = rng.uniform(0.3, 0.7), rng.uniform(0.77, 0.83)
        flower = np.hypot(x - cx, y - cy) < 0.014
        plan.fill(flower & inside, mix(palette[10], palette[4], rng.uniform(0, 0.8)), Label.FOLIAGE)


def _branches(rng: np.random.Generator, plan: _Plan, palette: Colours, inside: NDArray) -> None:
    """Draw two vines with leaves and fruit at the sides of the roundel."""
    for side, start, stop in ((-1, 0.72, -0.05), (1, 0.55, -0.02)):
        turn = np.pi / 2 - side * np.linspace(start, np.pi * 0.72 + stop, 60)
        radius = 0.315 + 0.014 * np.sin(np.linspace(0, 9 * np.pi, 60))
        vine = 0.5 + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
        stem = Image.new("L", (_PLAN, _PLAN))
        ImageDraw.Draw(stem).line((vine * _PLAN).ravel().tolist(), fill=1, width=6, joint="curve")
        plan.fill((np.asarray(stem) > 0) & inside, shift(palette[9], -0.12), Label.FOLIAGE)
        for k in range(3, 60, 5):
            out = 1 if (k // 5) % 2 else -1
            aim = turn[k] + (0.0 if out > 0 else np.pi) - side * 0.5
            if k % 3 == 0:
                x, y = fields.grid(_PLAN)
                berry = vine[k] + 0.024 * np.array([np.cos(aim), np.sin(aim)])
                fruit = np.hypot(x - berry[0], y - berry[1]) < 0.0165
                plan.fill(fruit & inside, palette[10], Label.FOLIAGE)
            else:
                leaf = _leaf(vine[k], aim, 0.058, 0.019)
                tint = shift(palette[9], rng.uniform(0.0, 0.14))
                plan.fill(_polygon(leaf) & inside, tint, Label.FOLIAGE)


def _leaf(root: NDArray, turn: float, long: float, half: float) -> NDArray:
    t = np.linspace(0, 1, 14)
    out, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    width = half * np.sin(np.pi * t**0.8)
    spine = root + out * (t * long)[:, None]
    return np.concatenate(
        [spine + across * width[:, None], (spine - across * width[:, None])[::-1]]
    )


def _peacock(rng: np.random.Generator, plan: _Plan, palette: Colours) -> None:
    """Draw the bird, from back to front."""
    _train(rng, plan, palette)
    _body(rng, plan, palette)
    _head(plan, palette)


def _train(rng: np.random.Generator, plan: _Plan, palette: Colours) -> None:
    """Draw the feathers with eyes in three rows."""
    x, y = fields.grid(_PLAN)
    root = np.array([0.5, 0.6]) + rng.uniform(-0.012, 0.012, 2)
    first = int(rng.integers(11, 15))
    for layer, long in enumerate((0.285, 0.215, 0.15)):
        spread = np.linspace(-0.12, np.pi + 0.12, first - 2 * layer)
        for turn in spread:
            aim = -turn
            feather = _leaf(root, aim, long, 0.6 * long / (first - 2 * layer) * 2.2)
            tone = mix(palette[7], palette[9], 0.25 + 0.25 * layer + rng.uniform(-0.1, 0.2))
            plan.fill(_polygon(feather), tone, Label.OBJECT)
        for turn in spread:
            eye = root + 0.87 * long * np.array([np.cos(turn), -np.sin(turn)])
            far = np.hypot(x - eye[0], y - eye[1])
            for radius, tint in ((0.026, palette[8]), (0.018, palette[5]), (0.0095, palette[6])):
                plan.fill(far < radius, tint, Label.OBJECT)


def _body(rng: np.random.Generator, plan: _Plan, palette: Colours) -> None:
    """Draw legs, breast and neck, and the wing with four stripes."""
    _, y = fields.grid(_PLAN)
    for lean in (-0.012, 0.03):
        foot = [
            (0.53 + lean, 0.64),
            (0.545 + lean, 0.64),
            (0.55 + lean, 0.765),
            (0.575 + lean, 0.775),
            (0.53 + lean, 0.778),
        ]
        plan.fill(_polygon(foot), mix(palette[8], palette[11], 0.5), Label.OBJECT)
    shade = fields.noise(rng, _PLAN, 0.1, 2)
    breast = fields.curve(
        [
            (0.42, 0.6),
            (0.47, 0.54),
            (0.54, 0.5),
            (0.575, 0.42),
            (0.575, 0.34),
            (0.6, 0.285),
            (0.645, 0.275),
            (0.665, 0.3),
            (0.64, 0.335),
            (0.635, 0.4),
            (0.645, 0.48),
            (0.63, 0.58),
            (0.57, 0.65),
            (0.48, 0.655),
            (0.42, 0.6),
        ]
    )
    blue = ramp(
        np.stack([palette[6], palette[5], shift(palette[5], 0.14)]),
        0.5 + 2.2 * (y - 0.46) + 0.1 * shade,
    )
    plan.fill(_polygon(breast), blue, Label.OBJECT)
    for k in range(4):
        wing = fields.curve(
            [
                (0.41 - 0.02 * k, 0.615 - 0.018 * k),
                (0.47, 0.565 - 0.006 * k),
                (0.56, 0.545),
                (0.585, 0.58),
                (0.53, 0.628 - 0.016 * k),
                (0.41 - 0.02 * k, 0.618 - 0.018 * k),
            ]
        )
        plan.fill(
            _polygon(wing),
            mix(palette[8], palette[10], 0.3 * k) if k % 2 else palette[4],
            Label.OBJECT,
        )


def _head(plan: _Plan, palette: Colours) -> None:
    """Draw beak, eye and crown."""
    x, y = fields.grid(_PLAN)
    beak = [(0.655, 0.286), (0.7, 0.308), (0.652, 0.315)]
    plan.fill(_polygon(beak), palette[8], Label.OBJECT)
    plan.fill(np.hypot(x - 0.632, y - 0.298) < 0.013, palette[4], Label.OBJECT)
    plan.fill(np.hypot(x - 0.633, y - 0.298) < 0.006, palette[11], Label.OBJECT)
    for turn in (-2.05, -1.75, -1.45):
        tip = np.array([0.62, 0.275]) + 0.062 * np.array([np.cos(turn), np.sin(turn)])
        plan.fill(np.hypot(x - tip[0], y - tip[1]) < 0.0125, palette[5], Label.OBJECT)


def _inside_roundel() -> NDArray[np.bool_]:
    x, y = fields.grid(_PLAN)
    return np.asarray(np.hypot(x - 0.5, y - 0.5) < 0.36)


def _set(
    rng: np.random.Generator, plan: _Plan, tiles: Tiles, size: int, palette: Colours
) -> Colours:
    """Return the tiles in mortar, each with a small random tilt, under light."""
    side = size * _SUPERSAMPLING
    count = len(tiles.at)
    numbers = Image.new("I", (side, side), 0)
    draw = ImageDraw.Draw(numbers)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.5
    corners = square[None] * np.stack([tiles.along, tiles.across], -1)[:, None] * 0.9
    corners = corners * rng.uniform(0.84, 1.06, (count, 4, 2))
    c, s = np.cos(tiles.turn)[:, None], np.sin(tiles.turn)[:, None]
    turned = np.stack(
        [c * corners[..., 0] - s * corners[..., 1], s * corners[..., 0] + c * corners[..., 1]], -1
    )
    flat = ((tiles.at[:, None] + turned) * side).reshape(count, -1).tolist()
    for number in range(count - 1, -1, -1):
        draw.polygon(flat[number], fill=number + 1)
    which = np.asarray(numbers)
    stone = fields.sample(plan.colour, tiles.at)
    gold = fields.sample(plan.gold, tiles.at)
    glitter = np.where(gold, rng.normal(0.02, 0.09, count), rng.normal(0, 0.045, count))
    stone = shift(stone, glitter, np.exp(rng.normal(0, 0.14, count)), rng.normal(0, 0.09, count))
    mortar = mix(palette[11], palette[4], 0.22)
    table = np.concatenate([mortar[None], stone])
    colour = table[which] * (1 + 0.035 * fields.noise(rng, side, 0.008, 3)[..., None])
    return reduce(_lit(rng, colour, which, gold, side), _SUPERSAMPLING)


def _lit(
    rng: np.random.Generator, colour: Colours, which: NDArray, gold: NDArray, side: int
) -> Colours:
    body = ndimage.distance_transform_edt(which > 0)
    edge = np.zeros(which.shape, dtype=bool)
    edge[:, 1:] |= which[:, 1:] != which[:, :-1]
    edge[1:] |= which[1:] != which[:-1]
    inner = ndimage.distance_transform_edt(~edge)
    height = np.minimum(np.minimum(body, inner), 2.5).astype(np.float32)
    tilt = rng.normal(0, 0.05, (len(gold) + 1, 2)).astype(np.float32)
    x, y = fields.grid(side)
    height += (tilt[which, 0] * x + tilt[which, 1] * y) * 0.25 * side * 0.02
    seam = np.where(which == 0, 0.78, 1.0).astype(np.float32)
    shine = np.concatenate([[False], gold])[which]
    lit = light(colour * seam[..., None], height, 0.55, 0.16, 0.8)
    broad = 0.5 + 0.5 * fields.noise(rng, side, 0.6, 2)
    return np.clip(lit + (0.07 * shine * broad)[..., None], 0, 1)
