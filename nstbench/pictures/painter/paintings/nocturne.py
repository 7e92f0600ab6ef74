"""Night sky in curved brush strokes over a village (after van Gogh's night pictures)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, paint_over, ramp, vary
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import Brush, PaintLayer

# Deep sky, middle sky, pale sky, glow, core of a star, far hills, near hills, tree, wall, roof.
_PALETTES = (
    "0f1d55 2a4fa3 8fb6d3 f2cf4a fff3b8 20407f 17315a 10211f 5c7fa5 7a4a3c",
    "0c2440 1f6285 8fc9bd f6b84a fff0c4 1d4f63 12394a 1a1f18 6b8f93 8a4b32",
    "21144f 5346a8 b3a6dc ffb469 fff0d0 3a2f7c 261f57 16162c 7d74b0 7e3a4c",
)

_BROAD = Brush(bristles=9, ragged=0.1, streak=0.03, body=1.0, taper=0.4)
_FINE = Brush(bristles=6, ragged=0.16, streak=0.035, load=0.1, body=1.5, taper=0.7)
_FACE = Brush(bristles=4, ragged=0.08, streak=0.03, body=1.2, taper=0.2)
_LINE = Brush(bristles=2, ragged=0.1, streak=0.02, body=1.2, taper=0.6)


@dataclass(frozen=True, slots=True)
class _Light:
    """A star or the moon: position, radius of the core, reach of the halo."""

    x: float
    y: float
    core: float
    halo: float


@dataclass
class _Scene:
    """The under-drawing that the strokes follow."""

    colour: Colours
    angle: Field
    labels: NDArray[np.uint8]


def nocturne(rng: np.random.Generator, size: int) -> Painting:
    """Paint a nocturne.

    Args:
        rng: source of randomness: composition, palette and every stroke.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.25)
    lights, moon = _lights(rng)
    scene = _sky(rng, size, palette, lights, moon)
    skylines = _hills(rng, scene, palette)
    colours = _brush(rng, scene, palette, skylines)
    if rng.random() < 0.5:
        return Painting(colours[:, ::-1], scene.labels[:, ::-1])
    return Painting(colours, scene.labels)


def _lights(rng: np.random.Generator) -> tuple[list[_Light], _Light]:
    """Return stars at some distance from each other, and the moon."""
    moon_x = rng.uniform(0.78, 0.88)
    moon = _Light(moon_x, rng.uniform(0.12, 0.18), 0.045, 0.15)
    stars: list[_Light] = []
    for _ in range(200):
        x, y = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.48)
        halo = rng.uniform(0.045, 0.085)
        others = [*stars, moon]
        if all(np.hypot(x - o.x, y - o.y) > 1.3 * (halo + o.halo) for o in others):
            stars.append(_Light(x, y, halo * 0.22, halo))
        if len(stars) == 9:
            break
    return stars, moon


def _sky(
    rng: np.random.Generator, n: int, palette: Colours, stars: list[_Light], moon: _Light
) -> _Scene:
    x, y = fields.grid(n)
    drift = rng.uniform(0, 2 * np.pi)
    u = np.full_like(x, 0.55)
    v = 0.28 * np.sin(2 * np.pi * (x * 1.1 + drift)) * (1 - y)
    first = (rng.uniform(0.36, 0.46), rng.uniform(0.24, 0.32))
    second = (first[0] + rng.uniform(0.19, 0.23), first[1] + rng.uniform(0.06, 0.12))
    whirls = [(*first, 0.155, 3.0), (*second, 0.10, -2.6)]
    whirls += [(s.x, s.y, s.halo * 0.9, 2.2) for s in [*stars, moon]]
    for cx, cy, reach, strength in whirls:
        dx, dy = x - cx, y - cy
        r = np.hypot(dx, dy) + 1e-4
        pull = strength * np.exp(-((r / reach) ** 2) * 0.9)
        u += pull * (-dy / r)
        v += pull * (dx / r)
    angle = np.arctan2(v, u).astype(np.float32)
    bands = _along_flow(fields.noise(rng, 192, 0.07, 2), angle, 0.22)
    depth = 0.12 + 0.62 * fields.smoothstep(0.0, 0.72, y) + 0.2 * fields.resize(bands, n)
    colour = ramp(palette[:3], depth)
    for cx, cy, reach, _ in whirls[:2]:
        r = np.hypot(x - cx, y - cy) / reach
        arm = 0.5 + 0.5 * np.cos(np.arctan2(y - cy, x - cx) - 7 * np.sqrt(r))
        colour = paint_over(colour, palette[2], 0.75 * arm**2 * np.exp(-(r**2)))
    for star in [*stars, moon]:
        colour = _shine(rng, colour, palette, star, x, y)
    r = np.hypot(x - moon.x, y - moon.y)
    inner = np.hypot(x - moon.x + 0.028, y - moon.y + 0.006)
    crescent = fields.smoothstep(moon.core * 1.1, moon.core, r)
    crescent *= fields.smoothstep(moon.core * 0.72, moon.core * 0.85, inner)
    colour = paint_over(colour, mix(palette[3], [0.95, 0.5, 0.1], 0.45), crescent)
    labels = np.full((n, n), Label.SKY, dtype=np.uint8)
    for star in [*stars, moon]:
        labels[np.hypot(x - star.x, y - star.y) < star.halo * 0.6] = Label.LIGHT
    return _Scene(colour, angle, labels)


def _along_flow(noise: Field, angle: Field, length: float) -> Field:
    """Return noise that is smeared along a direction field, which gives bands."""
    m = noise.shape[0]
    start = np.stack(fields.grid(m), axis=-1).reshape(-1, 2)
    paths = fields.trace(angle, start, np.full(len(start), length), 19)
    drawn = fields.sample(noise, paths).mean(axis=1).reshape(m, m)
    return drawn / (drawn.std() + 1e-6)


def _shine(
    rng: np.random.Generator,
    colour: Colours,
    palette: Colours,
    star: _Light,
    x: Field,
    y: Field,
) -> Colours:
    r = np.hypot(x - star.x, y - star.y)
    ring = 0.72 + 0.28 * np.cos(2 * np.pi * r / (star.halo * 0.36))
    glow = np.clip(np.exp(-((r / star.halo) ** 2) * 1.3) * ring, 0, 1)
    # Neighbouring strokes are blue or yellow, because a mixture of both would be grey.
    strokes = rng.random(r.shape) < 0.85 * glow**1.6
    colour = paint_over(colour, mix(palette[2], palette[3], 0.5), 0.45 * glow)
    colour = paint_over(colour, mix(palette[3], palette[4], 0.5 * glow), 0.8 * strokes)
    heart = fields.smoothstep(star.core * 1.5, star.core * 0.8, r)
    return paint_over(colour, palette[4], heart)


def _hills(rng: np.random.Generator, scene: _Scene, palette: Colours) -> list[Field]:
    """Paint three ranges of hills into the scene and return their skylines, far ones first."""
    n = scene.angle.shape[0]
    x, y = fields.grid(n)
    levels = (0.60, 0.67, 0.75)
    lines: list[Field] = []
    tilt = rng.uniform(-0.06, 0.06)
    for k, level in enumerate(levels):
        line = level + fields.ridge(rng, n, [(0.45, 0.045), (0.16, 0.014)])
        line = line + tilt * (np.linspace(0, 1, n) - 0.5) * (2 - k)
        lines.append(line)
        inside = y > line[None, :]
        slope = np.arctan2(np.gradient(line) * n, 1.0)[None, :]
        wave = slope + 0.5 * np.sin(9 * (y - line) + 5 * x + k)
        tone = fields.noise(rng, n, (0.16, 0.05), 3) * 0.12 + 0.25 * np.exp(-(y - line) / 0.02)
        near = mix(palette[5], palette[6], k / 2)
        fill = mix(near, palette[2], np.clip(tone + 0.16 - 0.04 * k, 0, 0.6))
        scene.colour[inside] = fill[inside]
        scene.angle[inside] = wave[inside]
        scene.labels[inside] = Label.HILLS
    ground = y > line[None, :] + 0.02
    field = fields.noise(rng, n, (0.2, 0.05), 3)
    green = ramp(
        np.stack([palette[7], palette[6], mix(palette[6], palette[3], 0.35)]), 0.4 + 0.22 * field
    )
    scene.colour[ground] = green[ground]
    scene.labels[ground] = Label.GROUND
    return lines


def _houses(rng: np.random.Generator, skyline: Field) -> list[tuple[float, float, float]]:
    """Return (x, foot, width) of the houses, far ones first; the church is the widest."""
    centre = rng.uniform(0.5, 0.74)
    houses = []
    for row in range(4):
        for place in range(7):
            x = centre + (place - 3) * 0.085 + rng.normal(0, 0.02) + 0.035 * (row % 2)
            foot = float(skyline[int(np.clip(x, 0, 0.999) * len(skyline))])
            foot += 0.035 + 0.05 * row + rng.uniform(-0.008, 0.008)
            if rng.random() < 0.8 - 0.16 * abs(place - 3):
                houses.append((x, foot, rng.uniform(0.038, 0.05) * (1 + 0.22 * row)))
    church = centre + rng.uniform(-0.04, 0.04)
    foot = float(skyline[int(np.clip(church, 0, 0.999) * len(skyline))]) + 0.1
    houses.append((church, foot, 0.085))
    return sorted(houses, key=lambda house: house[1])


def _village(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    palette: Colours,
    skyline: Field,
) -> None:
    houses = _houses(rng, skyline)
    widest = max(width for _, _, width in houses)
    for x, foot, width in houses:
        if width == widest:
            tower = [
                (x - 0.02, foot - 0.11),
                (x + 0.018, foot - 0.11),
                (x + 0.018, foot),
                (x - 0.02, foot),
            ]
            spire = [
                (x - 0.001, foot - 0.25),
                (x + 0.001, foot - 0.25),
                (x + 0.02, foot - 0.11),
                (x - 0.022, foot - 0.11),
            ]
            stone = mix(palette[8], palette[0], 0.25)
            _facet(rng, layer, labels, tower, stone, palette)
            _facet(rng, layer, labels, spire, mix(palette[5], palette[0], 0.5), palette)
            _house(rng, layer, labels, palette, x + 0.045, foot + 0.008, width * 0.8)
        else:
            _house(rng, layer, labels, palette, x, foot, width)


def _house(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    palette: Colours,
    x: float,
    foot: float,
    width: float,
) -> None:
    eaves = foot - width * rng.uniform(0.5, 0.7)
    top = eaves - width * rng.uniform(0.45, 0.65)
    half, side = width * 0.32, width * rng.uniform(0.7, 1.1)
    wall = mix(palette[8], palette[2], rng.uniform(0.0, 0.4))
    roof = mix(palette[9], palette[0], rng.uniform(0.0, 0.55))
    left, right, end = x - half, x + half, x + half + side
    flank = [(right, eaves), (end, eaves), (end, foot), (right, foot)]
    front = [(left, eaves), (right, eaves), (right, foot), (left, foot)]
    gable = [(x - 0.001, top), (x + 0.001, top), (right, eaves), (left, eaves)]
    slate = [(x, top), (x + side, top), (end, eaves), (right, eaves)]
    _facet(rng, layer, labels, flank, mix(wall, palette[0], 0.5), palette)
    _facet(rng, layer, labels, front, wall, palette)
    _facet(rng, layer, labels, gable, wall, palette)
    _facet(rng, layer, labels, slate, roof, palette)
    for at in (x, right + 0.3 * side, right + 0.7 * side):
        if rng.random() < 0.6:
            pane, sill = width * 0.09, (foot + eaves) / 2
            window = [
                (at - pane, sill - pane),
                (at + pane, sill - pane),
                (at + pane, sill + pane),
                (at - pane, sill + pane),
            ]
            _facet(
                rng,
                layer,
                labels,
                window,
                mix(palette[3], palette[4], rng.uniform(0, 0.4)),
                palette,
                Label.LIGHT,
            )


def _facet(
    rng: np.random.Generator,
    layer: PaintLayer,
    labels: NDArray[np.uint8],
    corners: list[tuple[float, float]],
    colour: Colours,
    palette: Colours,
    label: Label = Label.BUILDING,
) -> None:
    """Fill one face with strokes and, except for windows, draw its dark contour."""
    layer.facet(rng, corners, colour, _FACE, 0.007)
    labels[fields.mask(corners, labels.shape[0]) > 0.5] = label
    if label == Label.LIGHT:
        return
    closed = np.asarray([*corners, corners[0]], dtype=np.float32)
    along = np.linspace(0, 1, 5)[None, :, None]
    edges = closed[:-1, None] + (closed[1:] - closed[:-1])[:, None] * along
    dark = np.repeat(mix(palette[0], palette[7], 0.5)[None], len(edges), 0)
    layer.lay(rng, edges, np.full(len(edges), 0.0036), dark, _LINE)


def _cypress(rng: np.random.Generator, scene: _Scene, palette: Colours) -> Field:
    """Paint the trees into the under-drawing and return their positions."""
    n = scene.angle.shape[0]
    x, y = fields.grid(n)
    foot, top = rng.uniform(0.1, 0.2), rng.uniform(0.04, 0.16)
    where = np.zeros((n, n), dtype=np.float32)
    for offset, height, girth in ((0.0, top, 0.075), (0.085, top + 0.33, 0.05)):
        t = np.clip((y - height) / (1.05 - height), 0, 1)
        axis = foot + offset + 0.018 * np.sin(11 * t + offset * 40) * (1 - t)
        swell = girth * np.sqrt(t) * (1.25 - 0.35 * t) + 0.012 * np.sin(34 * t + 20 * offset) * t
        swell += 0.01 * fields.noise(rng, n, 0.05, 2) * np.sqrt(t)
        inside = (np.abs(x - axis) < swell) & (y > height)
        lean = (x - axis) / (girth + 1e-3)
        flame = -np.pi / 2 + 0.55 * lean + 0.5 * np.sin(26 * y + 16 * x + 50 * offset)
        streak = fields.noise(rng, n, (0.02, 0.16), 3)
        leaf = np.stack([palette[7], palette[7], mix(palette[7], palette[3], 0.34)])
        scene.colour[inside] = ramp(leaf, 0.45 + 0.28 * streak)[inside]
        scene.angle[inside] = flame[inside]
        scene.labels[inside] = Label.FOLIAGE
        where[inside] = 1.0
    return where


def _contours(
    rng: np.random.Generator, layer: PaintLayer, lines: list[Field], palette: Colours
) -> None:
    """Draw the hills' skylines in dark strokes."""
    for line in lines:
        at = np.linspace(0.0, 1.0, len(line))
        begin = np.arange(0.0, 1.0, 0.03)[:, None] + np.linspace(0, 0.05, 7)
        paths = np.stack([begin, np.interp(begin, at, line)], axis=-1)
        dark = np.repeat(palette[:1], len(paths), 0)
        layer.lay(rng, paths, np.full(len(paths), 0.006), vary(rng, dark), _FINE)


def _brush(
    rng: np.random.Generator, scene: _Scene, palette: Colours, lines: list[Field]
) -> Colours:
    n = scene.angle.shape[0]
    layer = PaintLayer(n, mix(palette[0], palette[8], 0.3))
    layer.cover(rng, scene.colour, scene.angle, _BROAD, spacing=0.022, width=0.03, length=0.12)
    for width in (0.0125, 0.0105):
        layer.cover(rng, scene.colour, scene.angle, _FINE, spacing=0.009, width=width, length=0.058)
    _contours(rng, layer, lines, palette)
    _village(rng, layer, scene.labels, palette, lines[-1])
    where = _cypress(rng, scene, palette)
    for width in (0.014, 0.009):
        layer.cover(
            rng,
            scene.colour,
            scene.angle,
            _FINE,
            spacing=0.008,
            width=width,
            length=0.06,
            where=where,
        )
    return layer.render(relief=0.5, gloss=0.12)
