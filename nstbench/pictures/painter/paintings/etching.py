"""Etching of a windmill, a large tree and clouds over water (after Rembrandt)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.plate import Course, Plate
from nstbench.pictures.painter.tools.strokes import reduce

_SUPERSAMPLING = 2

# Ink, paper, plate tone.
_PALETTES = (
    "1c1612 f0e6d0 c9b694",
    "2a1a10 efe0c2 d0a878",
    "141a22 ece8dc b4b8b4",
)

# Number of hatching lines over the whole picture.
_LINES = 118.0


def _upright(x: Field, y: Field) -> Field:
    return x


def _along(way: NDArray) -> Course:
    return lambda x, y: x * way[0] + y * way[1]


def _slanting(x: Field, y: Field) -> Field:
    return x + y


def etching(rng: np.random.Generator, size: int) -> Painting:
    """Etch a landscape.

    Args:
        rng: source of randomness: composition, ink, paper and every line.
        size: side of the picture in pixels.
    """
    ink, paper, tone = choose(rng, _PALETTES, hue=0.12)
    side = size * _SUPERSAMPLING
    lines = Image.new("L", (side, side), 0)
    plate = Plate(
        np.zeros((side, side), dtype=np.float32),
        np.zeros((side, side), dtype=np.float32),
        np.full((side, side), int(Label.SKY), dtype=np.uint8),
        lines,
        ImageDraw.Draw(lines),
    )
    horizon = rng.uniform(0.62, 0.68)
    _sky(rng, plate, horizon)
    _far_country(rng, plate, horizon)
    _water(rng, plate, horizon)
    _windmill(rng, plate, rng.uniform(0.22, 0.38), horizon + 0.03)
    _foreground(rng, plate)
    if rng.random() < 0.5:
        _tree(rng, plate, rng.uniform(0.9, 0.97), 0.8)
    _tree(rng, plate, rng.uniform(0.66, 0.8), rng.uniform(0.85, 1.05))
    labels = plate.labels[::_SUPERSAMPLING, ::_SUPERSAMPLING].copy()
    colours = _pull(rng, plate, ink, paper, tone)
    if rng.random() < 0.5:
        return Painting(colours[:, ::-1], labels[:, ::-1])
    return Painting(colours, labels)


def _sky(rng: np.random.Generator, plate: Plate, horizon: float) -> None:
    n = plate.side
    x, y = fields.grid(n)
    bend = 0.1 * fields.noise(rng, n, 0.5, 2)
    cloud = fields.displace(fields.noise(rng, n, (0.5, 0.3), 5, 0.55), bend, 0.6 * bend)
    lit = fields.displace(cloud, np.full_like(x, -0.02), np.full_like(x, -0.035)) - cloud
    weather = fields.smoothstep(0.75, 0.0, x + 0.55 * y)
    dark = 0.13 + 0.16 * fields.smoothstep(-0.2, 1.2, cloud) + 0.3 * weather
    dark = dark - 0.36 * np.clip(lit, -0.7, 1.2) * (1 - 0.5 * weather)
    dark = dark * (1 - 0.75 * fields.smoothstep(horizon - 0.25, horizon, y))
    rain = 0.87 * x + 0.5 * y
    level = y + 0.02 * fields.noise(rng, n, 0.35, 2)
    shower = fields.smoothstep(0.42, 0.18, x + 0.45 * y)
    along = np.where(shower > 0.5, rain, level)
    dark = np.where(shower > 0.5, 0.3 + 0.22 * np.sin(22 * rain) * shower + 0.1 * cloud, dark)
    plate.fill(np.ones((n, n), dtype=bool), np.clip(dark, 0, 0.85), along, Label.SKY)
    _birds(rng, plate)


def _birds(rng: np.random.Generator, plate: Plate) -> None:
    cx, cy = rng.uniform(0.45, 0.6), rng.uniform(0.16, 0.3)
    for _ in range(9):
        x, y = cx + rng.normal(0, 0.06), cy + rng.normal(0, 0.035)
        w = rng.uniform(0.008, 0.016)
        wing = [
            (x - w, y - 0.4 * w),
            (x - 0.4 * w, y - 0.5 * w),
            (x, y),
            (x + 0.5 * w, y - 0.6 * w),
            (x + w, y - 0.2 * w),
        ]
        plate.draw(fields.curve(wing, 5), 0.0035)


def _far_country(rng: np.random.Generator, plate: Plate, horizon: float) -> None:
    """Draw low hills, a far town with its spires, and a row of trees."""
    n = plate.side
    x, y = fields.grid(n)
    for k, height in enumerate((0.05, 0.028)):
        line = horizon - height + fields.ridge(rng, n, [(0.4, 0.016), (0.05, 0.004)])
        inside = (y > line[None]) & (y < horizon + 0.03)
        plate.fill(inside, np.asarray(0.24 + 0.16 * k), x * 0.6 + y * 0.8, Label.HILLS)
        at = np.linspace(0, 1, n)[:: max(1, n // 160)]
        plate.draw(np.stack([at, np.interp(at, np.linspace(0, 1, n), line)], -1), 0.0018)
    for _ in range(16):
        cx = rng.uniform(0.42, 0.98)
        w, h = rng.uniform(0.008, 0.02), rng.uniform(0.008, 0.026)
        box = np.array(
            [
                (cx - w, horizon),
                (cx - w, horizon - h),
                (cx, horizon - 1.7 * h),
                (cx + w, horizon - h),
                (cx + w, horizon),
            ]
        )
        plate.shape(box, rng.uniform(0.2, 0.6), _upright, Label.BUILDING)
        plate.draw(box, 0.0018)
    cx = rng.uniform(0.5, 0.62)
    spire = np.array(
        [
            (cx - 0.009, horizon),
            (cx - 0.008, horizon - 0.06),
            (cx, horizon - 0.125),
            (cx + 0.008, horizon - 0.06),
            (cx + 0.009, horizon),
        ]
    )
    plate.shape(spire, lambda x, y: 0.35 + 0.5 * (x > cx), _upright, Label.BUILDING)
    plate.draw(spire, 0.002)


def _water(rng: np.random.Generator, plate: Plate, horizon: float) -> None:
    n = plate.side
    x, y = fields.grid(n)
    inside = y > horizon
    ripple = fields.noise(rng, n, (0.25, 0.012), 3)
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    dark = 0.14 + 0.22 * ripple + 0.3 * depth * fields.smoothstep(0.9, 0.2, x)
    plate.fill(inside, np.clip(dark, 0, 0.8), y + 0.002 * ripple, Label.WATER)
    plate.draw(np.stack([np.linspace(0, 1, 60), np.full(60, horizon)], -1), 0.0025)
    cx = rng.uniform(0.5, 0.58)
    sail = fields.curve(
        [(cx, horizon - 0.085), (cx + 0.028, horizon - 0.03), (cx + 0.03, horizon + 0.002)], 8
    )
    sail = np.concatenate([sail, [(cx, horizon + 0.002)]])
    plate.shape(sail, 0.12, _upright, Label.OBJECT)
    plate.draw(np.concatenate([sail, sail[:1]]), 0.0025)
    hull = np.array(
        [
            (cx - 0.025, horizon + 0.004),
            (cx + 0.04, horizon + 0.004),
            (cx + 0.03, horizon + 0.02),
            (cx - 0.015, horizon + 0.02),
        ]
    )
    plate.shape(hull, 0.9, _slanting, Label.OBJECT)


def _windmill(rng: np.random.Generator, plate: Plate, cx: float, foot: float) -> None:
    n = plate.side
    x, y = fields.grid(n)
    bank = (
        foot
        - 0.045 * np.exp(-(((np.linspace(0, 1, n) - cx) / 0.2) ** 2))
        + fields.ridge(rng, n, [(0.1, 0.004)])
    )
    inside = (y > bank[None]) & (y < foot + 0.045 * np.exp(-(((x - cx) / 0.24) ** 2)) - 0.01)
    plate.fill(inside, 0.3 + 0.35 * (x > cx) * 0.6, y + 0.15 * np.abs(x - cx), Label.GROUND)
    plate.draw(np.stack([np.linspace(0, 1, n)[::24], bank[::24]], -1)[: int(0.62 * n / 24)], 0.0024)
    top, base = foot - 0.33, foot - 0.035
    body = np.array([(cx - 0.068, base), (cx - 0.042, top), (cx + 0.042, top), (cx + 0.068, base)])
    plate.shape(
        body,
        lambda x, y: 0.16 + 0.62 * fields.smoothstep(-0.35, 0.9, (x - cx) / 0.06),
        lambda x, y: y + 0.035 * np.clip((x - cx) / 0.06, -1, 1) ** 2,
        Label.BUILDING,
    )
    plate.draw(np.concatenate([body, body[:1]]), 0.0032)
    cap = np.concatenate(
        [
            fields.curve(
                [
                    (cx - 0.052, top),
                    (cx - 0.035, top - 0.045),
                    (cx + 0.01, top - 0.066),
                    (cx + 0.045, top - 0.035),
                    (cx + 0.056, top),
                ],
                8,
            )
        ]
    )
    plate.shape(cap, lambda x, y: 0.5 + 0.35 * (x > cx), _slanting, Label.BUILDING)
    plate.draw(np.concatenate([cap, cap[:1]]), 0.003)
    deck = np.array(
        [
            (cx - 0.095, base - 0.105),
            (cx + 0.095, base - 0.105),
            (cx + 0.095, base - 0.094),
            (cx - 0.095, base - 0.094),
        ]
    )
    plate.shape(deck, 0.85, _upright, Label.BUILDING)
    for post in np.linspace(-0.09, 0.09, 9):
        plate.draw(np.array([(cx + post, base - 0.105), (cx + post, base - 0.128)]), 0.002)
        plate.draw(np.array([(cx + post, base - 0.094), (cx + 0.72 * post, base - 0.05)]), 0.002)
    plate.draw(np.array([(cx - 0.092, base - 0.127), (cx + 0.092, base - 0.127)]), 0.002)
    for wx, wy in ((-0.02, 0.2), (0.0, 0.06), (-0.015, 0.14)):
        pane = np.array(
            [
                (cx + wx - 0.008, base - wy - 0.012),
                (cx + wx + 0.008, base - wy - 0.012),
                (cx + wx + 0.008, base - wy + 0.012),
                (cx + wx - 0.008, base - wy + 0.012),
            ]
        )
        plate.shape(pane, 0.97, _slanting, Label.BUILDING)
    _sails(plate, np.array([cx - 0.012, top - 0.018]), rng.uniform(0.2, 1.3))


def _sails(plate: Plate, hub: NDArray, turn: float) -> None:
    """Draw four lattice sails, half covered with cloth."""
    for k in range(4):
        out = np.array([np.cos(turn + k * np.pi / 2), np.sin(turn + k * np.pi / 2)])
        across = np.array([-out[1], out[0]])
        inner, tip = hub + 0.04 * out, hub + 0.235 * out
        cloth = np.array([inner, tip, tip + 0.042 * across, inner + 0.042 * across])
        if k % 2 == 0:
            plate.shape(cloth, 0.22, _along(out), Label.BUILDING)
        plate.draw(np.stack([hub - 0.02 * out, tip]), 0.0055)
        plate.draw(np.stack([inner + 0.042 * across, tip + 0.042 * across]), 0.0022)
        plate.draw(np.stack([inner + 0.021 * across, tip + 0.021 * across]), 0.0016)
        for s in np.linspace(0.04, 0.235, 13):
            rung = hub + s * out
            plate.draw(np.stack([rung, rung + 0.042 * across]), 0.0018)


def _foreground(rng: np.random.Generator, plate: Plate) -> None:
    """Draw the near bank with its path, fence and grasses."""
    n = plate.side
    x, y = fields.grid(n)
    at = np.linspace(0, 1, n)
    bank = (
        0.93
        - 0.2 * fields.smoothstep(0.3, 0.95, at)
        + fields.ridge(rng, n, [(0.2, 0.012), (0.04, 0.004)])
    )
    inside = y > bank[None]
    lump = fields.noise(rng, n, (0.12, 0.05), 4)
    dark = 0.4 + 0.2 * lump + 0.22 * fields.smoothstep(0.0, 0.25, y - bank[None])
    plate.fill(inside, np.clip(dark, 0.05, 1), y + 0.03 * lump + 0.25 * x, Label.GROUND)
    for cx in np.arange(0.3, 0.66, 0.05):
        foot = float(np.interp(cx, at, bank)) + 0.025
        post = np.array([(cx, foot), (cx + rng.normal(0, 0.004), foot - 0.055)])
        plate.draw(np.linspace(post[0], post[1], 6), 0.006)
        for rail in (0.02, 0.042):
            other = float(np.interp(cx + 0.05, at, bank)) + 0.025
            plate.draw(np.linspace((cx, foot - rail), (cx + 0.05, other - rail), 6), 0.0028)
    for _ in range(900):
        gx = rng.uniform(0, 1)
        top = float(np.interp(gx, at, bank))
        gy = top + (1.0 - top) * (rng.uniform(0, 1) ** 1.4 - 0.02)
        tall = rng.uniform(0.012, 0.035) * (0.7 + gy - top)
        lean = rng.normal(0.15, 0.5) * tall
        plate.draw(
            fields.curve([(gx, gy), (gx + 0.3 * lean, gy - 0.6 * tall), (gx + lean, gy - tall)], 4),
            0.0021,
        )


def _tree(rng: np.random.Generator, plate: Plate, cx: float, scale: float) -> None:
    """Draw a tree at ``cx``; ``scale`` is the factor of its crown and its height."""
    trunk = [
        (cx - 0.06, 0.87),
        (cx - 0.03, 0.8),
        (cx - 0.026, 0.66),
        (cx - 0.04, 0.5),
        (cx - 0.01, 0.36),
        (cx + 0.012, 0.36),
    ]
    trunk += [(cx + 0.03, 0.5), (cx + 0.022, 0.66), (cx + 0.04, 0.8), (cx + 0.085, 0.88)]
    root = np.array([cx, 0.87])
    trunk = root + (np.array(trunk) - root) * scale
    crown = root + np.array([0.03, -0.56]) * scale
    plate.shape(
        trunk,
        lambda x, y: np.clip(0.4 + 6.5 * (x - cx), 0.12, 1),
        lambda x, y: y + 0.5 * (x - cx) + 0.005 * np.sin(70 * y + 160 * (x - cx)),
        Label.FOLIAGE,
    )
    plate.draw(fields.curve(trunk[:5], 10), 0.004)
    plate.draw(fields.curve(trunk[5:], 10), 0.005)
    clumps = []
    for _ in range(34):
        turn, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        px, py = crown + 0.2 * scale * far * np.array([np.cos(turn), np.sin(turn)])
        clumps.append((py, px, rng.uniform(0.045, 0.075) * scale))
        if far < 0.8:
            fork = root + np.array([0.0, -0.37 - 0.1 * far]) * scale
            bough = [fork, (fork + np.array([px, py + 0.06])) / 2, (px, py)]
            plate.draw(fields.curve(bough, 8), 0.008)
    for py, px, reach in sorted(clumps):
        _clump(rng, plate, px, py, reach)


def _clump(rng: np.random.Generator, plate: Plate, px: float, py: float, reach: float) -> None:
    """Draw one mass of leaves: lit above, in shadow below, with loops at the edge."""
    turn = np.linspace(0, 2 * np.pi, 60)
    lobes = reach * (1 + 0.12 * np.sin(7 * turn + 50 * px) + 0.08 * np.sin(13 * turn + 70 * py))
    ring = np.stack([px + lobes * np.cos(turn), py + lobes * np.sin(turn) / 1.2], -1)
    plate.shape(
        ring,
        lambda x, y: np.clip(0.42 + 0.5 * ((y - py) * 0.9 + (x - px) * 0.5) / reach, 0.08, 1),
        lambda x, y: 0.8 * y + 0.6 * x,
        Label.FOLIAGE,
    )
    count = int(2100 * reach)
    for _ in range(count):
        out, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.08) ** 0.6
        lx, ly = px + reach * far * np.cos(out), py + reach * far * np.sin(out) / 1.2
        keep = 0.3 + 0.5 * ((ly - py) * 0.9 + (lx - px) * 0.5) / reach + 0.5 * (far > 0.85)
        if rng.random() < keep:
            loop = np.linspace(rng.uniform(0, 2), rng.uniform(4, 6.5), 9)
            size = rng.uniform(0.004, 0.0085)
            plate.draw(
                np.stack([lx + size * np.cos(loop), ly + 0.7 * size * np.sin(loop)], -1), 0.0022
            )


def _pull(
    rng: np.random.Generator, plate: Plate, ink: Colours, paper: Colours, tone: Colours
) -> Colours:
    """Return the hatching and the lines as printed on laid paper."""
    n = plate.side
    x, y = fields.grid(n)
    shake = 0.0011 * fields.noise(rng, n, 0.07, 3)
    line = np.asarray(plate.lines, dtype=np.float32) / 255
    marks = line
    layers = (
        (0.04, 0.55, 0.0, 1.0),
        (0.36, 0.8, 1.15, 0.92),
        (0.58, 1.0, 2.2, 1.0),
        (0.76, 1.1, 0.6, 1.15),
    )
    for begin, full, turn, pitch in layers:
        course = (
            plate.along if turn == 0.0 else np.cos(turn) * x + np.sin(turn) * y + 0.5 * plate.along
        )
        phase = (course + shake) * _LINES * pitch
        need = fields.smoothstep(begin, full, plate.dark)
        # Hatching lines have gaps where the tone is light.
        gaps = fields.noise(rng, n, (0.05, 0.012), 2)
        need = np.where(need + 0.05 * gaps > 0.045, need, 0)
        swell = 0.5 * np.abs((phase % 1.0) - 0.5) * 2
        width = np.where(need > 0, 0.1 + 0.33 * need, 0.0)
        cut = fields.smoothstep(0.11, 0.0, swell - 0.5 * width) * (need > 0)
        marks = np.maximum(marks, cut * (0.8 + 0.2 * need))
    fibre = fields.noise(rng, n, 0.01, 3)
    marks = np.clip(marks * (0.93 + 0.06 * fibre), 0, 1)
    laid = 0.006 * np.sin(2 * np.pi * y * 150) + 0.01 * fibre + 0.012 * fields.noise(rng, n, 0.4, 3)
    sheet = paper * (1 + laid[..., None])
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    inside = fields.smoothstep(0.026, 0.029, edge)
    plate_tone = inside * np.clip(
        0.28 + 0.07 * fields.noise(rng, n, 0.5, 3) + 0.25 * plate.dark, 0, 1
    )
    sheet = sheet * (1 - plate_tone[..., None]) + tone * plate_tone[..., None]
    bevel = np.exp(-(((edge - 0.0275) / 0.0022) ** 2))
    sheet = sheet * (1 - 0.16 * bevel[..., None])
    marks = marks * inside
    return reduce(sheet * (1 - marks[..., None]) + ink * marks[..., None], _SUPERSAMPLING)
