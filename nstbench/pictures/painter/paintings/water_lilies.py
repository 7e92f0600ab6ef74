"""A lily pond that reflects the sky, in some pictures with a bridge (after Monet)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, ramp, shift, vary
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import Brush, PaintLayer

# Deep water, water, sky in the water, cloud in the water, willow, willow light, pad, pad light,
# pad edge, flower, flower heart, bridge, bridge shade.
_PALETTES = (
    "1f3f4c 3f6f8c 8fa8d0 d8cfe4 2f5f3c 8fae4c 3f7f5c 8fc08a 7a5a8c f4c4d4 f8e8a0 6f9f8c 2c4f5c",
    "2c2f5c 5c5fa0 b08fc4 f4c4b0 3c4f5c b0904c 4f7f6c a8b878 8c4a6c fbe8ec f8d060 8a7fae 3c3560",
    "2f3f2c 6f7f3c d8b058 f8e0a0 5c4a24 d8902c 5f7f34 b8b04c a0502c f8f0dc f0a040 a86f3c 4a2f24",
)
(_DEEP, _WATER, _SKY, _CLOUD, _WILLOW, _WILLOW_LIGHT, _PAD, _PAD_LIGHT, _PAD_EDGE, _FLOWER, _HEART,
 _BRIDGE, _BRIDGE_SHADE) = range(13)  # fmt: skip

_WASH = Brush(bristles=8, ragged=0.25, streak=0.03, load=0.12, body=0.9, taper=0.5, dry=0.05)
_TOUCH = Brush(bristles=5, ragged=0.25, streak=0.03, load=0.16, body=1.3, taper=0.5, dry=0.1)
_PETAL = Brush(bristles=4, ragged=0.12, streak=0.025, load=0.05, body=2.6, taper=0.8)


def water_lilies(rng: np.random.Generator, size: int) -> Painting:
    """Paint a lily pond.

    Args:
        rng: source of randomness: composition, palette and every stroke.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.22)
    bridge = rng.random() < 0.6
    bank = rng.uniform(0.3, 0.36) if bridge else rng.uniform(0.06, 0.12)
    colour, angle, labels = _pond(rng, size, palette, bank)
    layer = PaintLayer(size, mix(palette[_WATER], palette[_CLOUD], 0.3))
    layer.cover(rng, colour, angle, _WASH, spacing=0.021, width=0.028, length=0.085)
    layer.cover(rng, colour, angle, _TOUCH, spacing=0.0105, width=0.0095, length=0.042, spread=1.5)
    if bridge:
        _bridge(rng, layer, labels, palette, bank)
    _reflections(rng, layer, colour, palette, bank)
    _islands(rng, layer, labels, palette, bank)
    _willow(rng, layer, palette)
    return Painting(layer.render(relief=0.42, gloss=0.06), labels)


def _pond(
    rng: np.random.Generator, n: int, palette: Colours, bank: float
) -> tuple[Colours, Field, NDArray[np.uint8]]:
    """Return colours, stroke directions and labels of the bank and the open water."""
    x, y = fields.grid(n)
    mirror = fields.noise(rng, n, (0.22, 0.4), 3)
    gap = np.exp(-(((x - rng.uniform(0.35, 0.65) - 0.1 * mirror) / 0.2) ** 2))
    tone = 0.3 + 0.5 * gap + 0.13 * mirror + 0.16 * (0.5 - np.abs(y - 0.55))
    stops = np.stack([palette[_DEEP], palette[_WATER], palette[_SKY], palette[_CLOUD]])
    colour = ramp(stops, tone)
    trees = fields.smoothstep(
        0.25, 1.2, fields.noise(rng, n, (0.08, 0.5), 3) + 0.9 * (1 - gap) - 0.4
    )
    colour = mix(colour, palette[_WILLOW], 0.75 * trees)
    angle = np.where(rng.random((n, n)) < 0.72, np.pi / 2 + 0.12 * mirror, 0.06 * mirror)
    labels = np.full((n, n), int(Label.WATER), dtype=np.uint8)
    edge = bank + 0.02 * np.sin(7 * x + rng.uniform(0, 6)) + 0.008 * mirror
    ashore = y < edge
    leaf = np.clip(0.45 + 0.3 * fields.noise(rng, n, 0.07, 4) + 0.5 * (0.16 - y), 0, 1)
    green = ramp(
        np.stack([palette[_DEEP], palette[_WILLOW], palette[_WILLOW_LIGHT], palette[_SKY]]), leaf
    )
    colour[ashore] = green[ashore]
    angle[ashore] = (1.1 + 0.9 * fields.noise(rng, n, 0.12, 2))[ashore]
    labels[ashore] = Label.FOLIAGE
    return colour, angle.astype(np.float32), labels


def _bridge(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    palette: Colours,
    bank: float,
) -> None:
    """Draw an arched footbridge with rails over the pond."""
    s = np.linspace(-0.08, 1.08, 60)
    rise = rng.uniform(0.11, 0.15)
    arch = bank + 0.02 - rise * (1 - (2 * s - 1) ** 2)
    for offset, width, tint in (
        (0.035, 0.02, _BRIDGE_SHADE),
        (0.02, 0.021, _BRIDGE),
        (-0.045, 0.01, _BRIDGE),
        (-0.085, 0.013, _BRIDGE),
    ):
        for piece in range(0, 58, 5):
            path = np.stack([s, arch + offset], -1)[piece : piece + 8][None]
            colour = vary(rng, palette[tint][None], 0.05, 0.15, 0.15)
            layer.lay(rng, path, np.array([width]), colour, _WASH)
        band = np.stack(
            [
                np.r_[s, s[::-1]],
                np.r_[arch + offset - width / 2, (arch + offset + width / 2)[::-1]],
            ],
            -1,
        )
        labels[fields.inside(band, labels.shape[0])] = Label.BUILDING
    for k in range(2, 58, 4):
        post = np.stack([np.full(5, s[k]), np.linspace(arch[k] + 0.02, arch[k] - 0.092, 5)], -1)[
            None
        ]
        colour = vary(rng, mix(palette[_BRIDGE], palette[_CLOUD], 0.2)[None], 0.05)
        layer.lay(rng, post, np.array([0.0095]), colour, _TOUCH)
    shadow = mix(palette[_BRIDGE_SHADE], palette[_WATER], 0.55)
    for k in range(2, 58, 2):
        low = bank + 0.05 + rise * 0.6 * (1 - (2 * s[k] - 1) ** 2)
        path = np.stack(
            [s[k] + np.linspace(-0.035, 0.035, 5), np.full(5, low) + rng.normal(0, 0.006)], -1
        )[None]
        layer.lay(rng, path, np.array([0.012]), vary(rng, shadow[None], 0.05), _TOUCH)


def _reflections(
    rng: np.random.Generator, layer: PaintLayer, below: Colours, palette: Colours, bank: float
) -> None:
    """Draw vertical reflections on the water, and ripples across it in a few bands."""
    count = 260
    x, y = rng.uniform(0, 1, count), bank + 0.05 + (0.97 - bank) * rng.uniform(0, 1, count)
    reach = np.linspace(-0.5, 0.5, 7) * rng.uniform(0.04, 0.11, (count, 1))
    sway = 0.003 * np.sin(reach * 90 + x[:, None] * 50)
    paths = np.stack([x[:, None] + sway, y[:, None] + reach], -1)
    under = fields.sample(below, np.stack([x, y], -1))
    lights = palette[[_SKY, _CLOUD, _WILLOW_LIGHT, _WATER]][rng.integers(0, 4, count)]
    tints = mix(under, lights, rng.uniform(0.15, 0.6, count))
    layer.lay(rng, paths, rng.uniform(0.004, 0.009, count), vary(rng, tints, 0.04), _TOUCH)
    count = 330
    bands = bank + 0.06 + (0.94 - bank) * rng.uniform(0, 1, 9)
    y = rng.choice(bands, count) + rng.normal(0, 0.012, count)
    y = np.maximum(y, bank + 0.04)
    x = rng.uniform(0, 1, count)
    reach = np.linspace(-0.5, 0.5, 7) * (0.02 + 0.06 * y[:, None])
    paths = np.stack([x[:, None] + reach, np.repeat(y[:, None], 7, 1)], -1)
    under = fields.sample(below, np.stack([x, y], -1))
    lights = palette[[_CLOUD, _SKY, _DEEP]][rng.integers(0, 3, count)]
    tints = mix(under, lights, rng.uniform(0.1, 0.55, count))
    layer.lay(rng, paths, rng.uniform(0.0035, 0.007, count), vary(rng, tints, 0.04), _TOUCH)


def _islands(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    palette: Colours,
    bank: float,
) -> None:
    """Draw groups of pads: thin and dense in the distance, wide and loose in the front."""
    rafts = []
    for _ in range(13):
        depth = rng.uniform(0.04, 1.0) ** 1.25
        rafts.append((bank + 0.07 + (0.93 - bank) * depth, rng.uniform(0.0, 1.0), depth))
    for y0, x0, depth in sorted(rafts):
        spread = 0.08 + 0.12 * depth
        count = int(17 - 6 * depth)
        pads = []
        for _ in range(count):
            x = x0 + rng.normal(0, spread)
            y = y0 + rng.normal(0, 0.012 + 0.025 * depth)
            if y > bank + 0.05:
                pads.append((y, x, (0.013 + 0.034 * depth) * rng.uniform(0.75, 1.3)))
        for y, x, reach in sorted(pads):
            _pad(rng, layer, labels, palette, x, y, reach)
        for y, x, reach in sorted(pads):
            if rng.random() < 0.27:
                _flower(
                    rng,
                    layer,
                    palette,
                    x + rng.normal(0, 0.4) * reach,
                    y - 0.25 * reach,
                    0.5 * reach + 0.006,
                )


def _pad(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    palette: Colours,
    x: float,
    y: float,
    reach: float,
) -> None:
    rows = max(3, round(reach / 0.0065))
    flat = 0.36
    offset = np.linspace(-0.9, 0.9, rows)
    half = reach * np.sqrt(1 - offset**2)
    along = np.linspace(-1, 1, 7)
    bow = 0.1 * reach * (1 - along**2)
    paths = np.stack(
        [x + half[:, None] * along, y + (flat * reach * offset)[:, None] + bow * 0.3], -1
    )
    light = np.clip(0.75 - 0.4 * (offset + 0.9) + rng.normal(0, 0.07, rows), 0, 1)
    tints = mix(palette[_PAD], palette[_PAD_LIGHT], light)
    if rng.random() < 0.3:
        tints = mix(tints, palette[_PAD_EDGE], rng.uniform(0.25, 0.6))
    thick = np.full(rows, max(0.0085, 3.0 * flat * reach / rows))
    shade = paths[-1:] + np.array([0.0, 0.004])
    layer.lay(rng, shade, np.array([0.009]), palette[_DEEP][None], _TOUCH)
    layer.lay(rng, paths, thick, vary(rng, tints, 0.03, 0.15, 0.15), _TOUCH)
    rim = np.stack(
        [x + reach * along, y + flat * reach * (0.1 - np.sqrt(np.clip(1 - along**2, 0, 1)))], -1
    )[None]
    rim_tint = mix(palette[_PAD_LIGHT], palette[_CLOUD], rng.uniform(0.1, 0.6))
    layer.lay(rng, rim, np.array([0.0048]), rim_tint[None], _TOUCH)
    turn = np.linspace(0, 2 * np.pi, 24)
    oval = np.stack([x + reach * np.cos(turn), y + flat * reach * np.sin(turn)], -1)
    labels[fields.inside(oval, labels.shape[0])] = Label.FOLIAGE


def _flower(
    rng: np.random.Generator, layer: PaintLayer, palette: Colours, x: float, y: float, reach: float
) -> None:
    """Draw petals as single thick strokes, those at the back first and darker."""
    tint = mix(palette[_FLOWER], palette[_PAD_EDGE], rng.choice([0.0, 0.05, 0.45]))
    for row, (lift, tone) in enumerate(((1.0, -0.12), (0.72, 0.0), (0.42, 0.08))):
        count = 7 - row
        turn = -np.pi / 2 + np.linspace(-1.45, 1.45, count) + rng.normal(0, 0.1, count)
        out = np.stack([1.15 * np.cos(turn), 0.85 * np.sin(turn)], -1)
        along = np.linspace(0.1, 1.0, 5)
        paths = np.array([x, y]) + out[:, None] * (reach * lift * along)[None, :, None]
        tints = vary(rng, np.repeat(shift(tint, tone)[None], count, 0), 0.025, 0.15, 0.08)
        layer.lay(rng, paths, np.full(count, 0.34 * reach + 0.0025), tints, _PETAL)
    heart = np.stack([x + np.linspace(-0.2, 0.2, 5) * reach, np.full(5, y - 0.2 * reach)], -1)[None]
    layer.lay(rng, heart, np.array([0.3 * reach]), palette[_HEART][None], _PETAL)


def _willow(rng: np.random.Generator, layer: PaintLayer, palette: Colours) -> None:
    """Draw willow branches that hang from the top corners."""
    count = 150
    side = rng.random(count) < 0.5
    reach = np.abs(rng.normal(0, 0.11, count))
    x = np.where(side, reach, 1 - reach)
    drop = (0.12 + 0.3 * rng.random(count)) * np.exp(-reach / 0.16) + 0.04
    s = np.linspace(0, 1, 9)
    sway = 0.02 * rng.normal(0, 1, (count, 1)) * s**2
    for piece in range(3):
        part = (s + piece) / 3
        paths = np.stack(
            [
                x[:, None] + sway + 0.004 * np.sin(12 * part + x[:, None] * 40),
                -0.02 + drop[:, None] * 1.5 * part,
            ],
            -1,
        )
        tints = mix(palette[_WILLOW], palette[_WILLOW_LIGHT], rng.beta(1.2, 1.4, count))
        layer.lay(
            rng,
            paths,
            rng.uniform(0.0045, 0.0085, count),
            vary(rng, tints, 0.05, 0.2, 0.15),
            _TOUCH,
        )
