"""Colour woodblock print: a breaking wave, boats and a far peak (after Hokusai's waves)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import reduce

_SUPERSAMPLING = 3

# The blocks of the print, in the order of the palettes; PAPER has no ink.
_PAPER, _PALE, _MIDDLE, _DEEP, _WOOD, _SKY, _PEAK, _SEAL = range(8)

# Paper, pale water, middle water, deep water, boats, sky, far peak, seal and sun.
_PALETTES = (
    "efe4c8 a9c6c9 4f87a8 1b3f6b c89f5f d9c7a0 6f8798 b8322a",
    "f1e6d2 b9d3cf 3f8f95 124a58 b98a4e ecab82 8a7f94 c23a28",
    "ece6d6 b4bfd8 5c6fb0 28285f b09a6a d8a8b4 7d7396 a82a3c",
)


class _Print:
    """The blocks: one colour index per pixel, and the lines of the key block."""

    def __init__(self, side: int, mirrored: bool) -> None:
        self.side = side
        self.mirrored = mirrored
        self._index = Image.new("L", (side, side), _PAPER)
        self._key = Image.new("L", (side, side), 0)
        self._label = Image.new("L", (side, side), int(Label.SKY))
        self._indices = ImageDraw.Draw(self._index)
        self._keys = ImageDraw.Draw(self._key)
        self._labels = ImageDraw.Draw(self._label)

    def _flat(self, points: NDArray) -> list[float]:
        at = np.array(points, dtype=np.float64)
        if self.mirrored:
            at[:, 0] = 1 - at[:, 0]
        flat: list[float] = (at * self.side).ravel().tolist()
        return flat

    def shape(
        self, points: NDArray, block: int, line: float = 0.0, label: Label | None = None
    ) -> None:
        """Draw a shape on one block, over earlier shapes, and its contour on the key block."""
        flat = self._flat(points)
        self._indices.polygon(flat, fill=block)
        self._keys.polygon(flat, fill=0)
        if label is not None:
            self._labels.polygon(flat, fill=int(label))
        if line:
            self.line(np.concatenate([points, np.asarray(points)[:1]]), line)

    def line(self, points: NDArray, width: float) -> None:
        """Draw a line on the key block."""
        thick = max(1, round(width * self.side))
        self._keys.line(self._flat(points), fill=255, width=thick, joint="curve")

    def dot(self, x: float, y: float, radius: float, block: int = _PAPER) -> None:
        """Draw a round dot; the colour of the seal is used only for the sun."""
        turn = np.linspace(0, 2 * np.pi, 28)
        ring = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], -1)
        self._indices.polygon(self._flat(ring), fill=block)

    def index(self) -> NDArray[np.uint8]:
        return np.asarray(self._index)

    def key(self) -> NDArray[np.uint8]:
        return np.asarray(self._key)

    def labels(self) -> NDArray[np.uint8]:
        return np.asarray(self._label)


def woodblock(rng: np.random.Generator, size: int) -> Painting:
    """Make a woodblock print of a wave.

    Args:
        rng: source of randomness: composition, palette and printing.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.2)
    sheet = _Print(size * _SUPERSAMPLING, bool(rng.random() < 0.5))
    _distance(rng, sheet)
    tip = _great_wave(rng, sheet)
    _boat(sheet, (rng.uniform(0.46, 0.54), 0.735), 0.3, -0.12)
    _near_waves(rng, sheet)
    _spray(rng, sheet, tip)
    labels = sheet.labels()[1::_SUPERSAMPLING, 1::_SUPERSAMPLING]
    return Painting(_pull(rng, sheet, palette), labels.copy())


def _distance(rng: np.random.Generator, sheet: _Print) -> None:
    """Draw the sun (not in all pictures), the peak, and far waves."""
    if rng.random() < 0.6:
        sheet.dot(rng.uniform(0.74, 0.86), rng.uniform(0.14, 0.3), 0.06, _SEAL)
    x = rng.uniform(0.7, 0.8)
    foot, top = 0.66, rng.uniform(0.5, 0.54)
    slope = [(x - 0.19, foot), (x - 0.09, foot - 0.055), (x - 0.022, top), (x, top + 0.006)]
    slope += [(x + 0.02, top - 0.002), (x + 0.09, foot - 0.05), (x + 0.2, foot)]
    peak = fields.curve(slope)
    sheet.shape(peak, _PEAK, 0.003, Label.HILLS)
    snow = peak[(peak[:, 1] < top + 0.055)]
    teeth = np.linspace(snow[-1, 0], snow[0, 0], 11)
    edge = top + 0.055 + 0.016 * np.array([0, -1, 0.7, -1, 1, -0.6, 0.8, -1, 0.5, -1, 0])
    sheet.shape(np.concatenate([snow, np.stack([teeth, edge], -1)]), _PAPER, 0.0025, Label.HILLS)
    for k, level in enumerate((0.655, 0.69, 0.725)):
        xs = np.linspace(-0.02, 1.02, 200)
        hump = np.abs(np.sin(xs * (19 - 4 * k) + rng.uniform(0, 6)))
        line = level - 0.022 * hump**1.5 - 0.012 * np.sin(4 * xs + k)
        sea = np.concatenate([np.stack([xs, line], -1), [[1.02, 1.05], [-0.02, 1.05]]])
        sheet.shape(sea, (_MIDDLE, _PALE, _MIDDLE)[k], 0.004, Label.WATER)
        for depth in (0.012, 0.022):
            sheet.line(np.stack([xs, line + depth + 0.006 * hump], -1), 0.0018)


def _great_wave(rng: np.random.Generator, sheet: _Print) -> NDArray:
    """Draw the breaking wave and return the point (2,) at which it breaks."""
    back = [
        (-0.3, 1.06),
        (-0.12, 0.86),
        (0.0, 0.62),
        (0.10, 0.40),
        (0.2, 0.24),
        (0.32, 0.14),
        (0.45, 0.11),
    ]
    back += [(0.56, 0.155), (0.635, 0.245), (0.655, 0.335)]
    front = [
        (0.86, 1.06),
        (0.68, 0.9),
        (0.55, 0.79),
        (0.46, 0.68),
        (0.41, 0.57),
        (0.405, 0.46),
        (0.44, 0.37),
    ]
    front += [(0.505, 0.315), (0.585, 0.305), (0.655, 0.335)]
    anchor = np.array([0.1, 0.82])
    stretch = np.array([rng.uniform(0.86, 1.08), rng.uniform(0.8, 1.03)])
    outer = fields.curve(anchor + (np.array(back) - anchor) * stretch, 14)
    inner = fields.curve(anchor + (np.array(front) - anchor) * stretch, 14)
    body = np.concatenate([outer, inner[::-1], [[0.86, 1.1], [-0.3, 1.1]]])
    sheet.shape(body, _DEEP, 0.005, Label.WATER)
    _stripes(rng, sheet, outer, inner)
    _foam(rng, sheet, outer, inner)
    return outer[-1]


def _between(first: NDArray, second: NDArray, share: NDArray | float) -> NDArray:
    part = np.asarray(share)
    part = part[:, None] if part.ndim else part
    return first * (1 - part) + second * part


def _stripes(rng: np.random.Generator, sheet: _Print, outer: NDArray, inner: NDArray) -> None:
    """Draw the bands in the hollow of a wave, wide below and pointed above."""
    t = np.linspace(0, 1, len(outer))
    stops = np.linspace(0.08, 0.97, 10)
    for k, stop in enumerate(stops):
        end = rng.uniform(0.72, 0.97)
        taper = np.clip(1 - t / end, 0, 1) ** 0.7
        half = 0.036 * taper * rng.uniform(0.7, 1.1)
        sway = 0.018 * np.sin(7 * t + k) * (1 - t)
        keep = t <= end
        first = _between(outer, inner, np.clip(stop - half + sway, 0, 1))[keep]
        second = _between(outer, inner, np.clip(stop + half + sway, 0, 1))[keep]
        block = (_PALE, _MIDDLE, _PAPER)[k % 3]
        sheet.shape(np.concatenate([first, second[::-1]]), block, 0.0025)
        core = _between(outer, inner, np.clip(stop + sway, 0, 1))[keep]
        if block != _MIDDLE:
            sheet.line(core[: int(len(core) * 0.7)], 0.002)


def _foam(rng: np.random.Generator, sheet: _Print, outer: NDArray, inner: NDArray) -> None:
    """Draw the white foam along the crest and its claws, the outermost last."""
    count = len(outer)
    first = int(0.3 * count)
    t = np.linspace(0, 1, count - first)
    scallop = 0.035 * np.abs(np.sin(24 * t))
    depth = np.clip(0.03 + 0.5 * t**1.4 - scallop, 0, 0.85)
    rim = _between(outer[first:], inner[first:], depth)
    sheet.shape(np.concatenate([outer[first:], rim[::-1]]), _PAPER, 0.003, Label.LIGHT)
    for row in range(3):
        share = depth * (0.3 + 0.35 * row)
        line = _between(outer[first:], inner[first:], share)
        _claws(rng, sheet, line, 11, 0.034 + 0.006 * row, 1.0)
    _claws(rng, sheet, rim, 15, 0.052, 1.0)
    lip = inner[int(0.66 * count) :]
    _claws(rng, sheet, lip, 9, 0.062, 1.0)
    _claws(rng, sheet, outer[first:], 20, 0.046, -1.0)
    _claws(rng, sheet, outer[int(0.82 * count) :], 8, 0.066, -1.0)


def _claws(
    rng: np.random.Generator, sheet: _Print, line: NDArray, count: int, reach: float, way: float
) -> None:
    """Draw claws of foam along a line; they bend forward with the wave."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    for at in np.linspace(0.03, 1, count):
        k = min(int(at * (len(line) - 1)), len(line) - 1)
        along = tangent[k]
        out = way * np.array([-along[1], along[0]])
        lean = rng.uniform(0.2, 0.9)
        aim = out + lean * along
        long = reach * rng.uniform(0.65, 1.15) * (0.55 + 0.6 * at)
        _claw(rng, sheet, line[k], np.arctan2(aim[1], aim[0]), long, way, 2)


def _claw(
    rng: np.random.Generator,
    sheet: _Print,
    root: NDArray,
    turn: float,
    reach: float,
    way: float,
    depth: int,
) -> None:
    t = np.linspace(0, 1, 9)
    bend = turn - way * 1.5 * t**1.3
    step = reach / 8
    spine = root + np.cumsum(np.stack([np.cos(bend), np.sin(bend)], -1) * step, axis=0) - step
    side = np.stack([-np.sin(bend), np.cos(bend)], -1)
    half = (0.24 * reach * (1 - t**1.6) + 0.0008)[:, None] * side
    if depth > 1:
        for k in (3, 5):
            _claw(rng, sheet, spine[k], bend[k] + way * rng.uniform(0.5, 0.9), 0.55 * reach, way, 1)
    outline = np.concatenate([spine + half, (spine - half)[::-1]])
    sheet.shape(outline, _PAPER, 0.0, Label.LIGHT)
    sheet.line(outline[1:-1], 0.0026 if depth > 1 else 0.002)


def _boat(sheet: _Print, at: tuple[float, float], long: float, tilt: float) -> None:
    t = np.linspace(-1, 1, 40)
    keel = 0.042 * (1 - t**2) - 0.045 * np.abs(t) ** 3
    rail = 0.012 * (1 - t**2) - 0.048 * np.abs(t) ** 2.4
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    scale = long / 0.36

    def place(x: NDArray, y: NDArray) -> NDArray:
        return np.asarray(at) + np.stack([x * long / 2, y * scale], -1) @ turn

    for x in np.linspace(-0.5, 0.5, 7):
        head = np.linspace(0, 2 * np.pi, 14)
        y = float(np.interp(x, t, rail))
        coat = place(x + 0.055 * np.cos(head), y - 0.008 + 0.026 * np.sin(head))
        sheet.shape(coat, _DEEP, 0.002, Label.CLOTH)
        face = place(x + 0.035 + 0.03 * np.cos(head), y - 0.03 + 0.012 * np.sin(head))
        sheet.shape(face, _PAPER, 0.002, Label.SKIN)
    hull = np.concatenate([place(t, rail), place(t, keel)[::-1]])
    sheet.shape(hull, _WOOD, 0.003, Label.OBJECT)
    sheet.line(place(t, 0.62 * rail + 0.38 * keel), 0.002)


def _near_waves(rng: np.random.Generator, sheet: _Print) -> None:
    """Draw the swell in the front at the left, and the pointed wave at the right."""
    x = rng.uniform(0.76, 0.88)
    left = fields.curve(
        [(0.36, 1.02), (0.52, 0.93), (0.66, 0.84), (x - 0.06, 0.73), (x, 0.665)], 14
    )
    right = fields.curve(
        [(1.3, 1.02), (1.1, 0.95), (x + 0.16, 0.86), (x + 0.06, 0.76), (x, 0.665)], 14
    )
    sheet.shape(np.concatenate([left, right[::-1]]), _DEEP, 0.005, Label.WATER)
    _stripes(rng, sheet, left, right)
    top = int(0.55 * len(left))
    cap = _between(
        left[top:], right[top:], 0.35 + 0.12 * np.sin(np.linspace(0, 9, len(left) - top))
    )
    sheet.shape(np.concatenate([left[top:], cap[::-1]]), _PAPER, 0.003, Label.LIGHT)
    _claws(rng, sheet, cap, 7, 0.034, 1.0)
    _claws(rng, sheet, left[top - 8 :], 12, 0.036, -1.0)
    _boat(sheet, (rng.uniform(0.22, 0.28), 0.9), 0.34, 0.1)
    low = fields.curve(
        [
            (-0.05, 0.86),
            (0.08, 0.905),
            (0.22, 0.955),
            (0.4, 0.965),
            (0.56, 0.93),
            (0.72, 0.955),
            (1.05, 1.04),
        ],
        14,
    )
    base = np.stack([np.linspace(-0.05, 1.05, len(low)), np.full(len(low), 1.1)], -1)
    sheet.shape(np.concatenate([low, base[::-1]]), _MIDDLE, 0.005, Label.WATER)
    for share in (0.14, 0.3, 0.5):
        line = _between(low, base, share + 0.03 * np.sin(np.linspace(0, 14, len(low))))
        sheet.line(line, 0.003)
    _claws(rng, sheet, low[2:60], 15, 0.03, -1.0)


def _spray(rng: np.random.Generator, sheet: _Print, tip: NDArray) -> None:
    for _ in range(110):
        turn, far = rng.uniform(-0.9, 1.3), rng.gamma(2.0, 0.045)
        x = tip[0] - 0.025 + far * np.cos(turn)
        y = tip[1] - 0.05 + far * np.sin(turn)
        if y < 0.62:
            sheet.dot(x, y, rng.uniform(0.0014, 0.0042))


def _pull(rng: np.random.Generator, sheet: _Print, palette: Colours) -> Colours:
    """Print the blocks one after the other, each with a small displacement."""
    side = sheet.side
    x, y = fields.grid(side)
    colour = _paper(rng, side, palette[_PAPER])
    grain = _grain(rng, side, x, y)
    index = sheet.index()
    sky = (index == _PAPER) & (sheet.labels() == Label.SKY)
    dots = ndimage.binary_opening(sky, iterations=max(1, side // 400))
    gradation = 0.95 * fields.smoothstep(0.3, 0.0, y) + 0.55 * fields.smoothstep(0.35, 0.68, y)
    _ink(colour, palette[_SKY], dots * np.clip(gradation + 0.22, 0, 1) * grain)
    for block in (_PALE, _MIDDLE, _PEAK, _WOOD, _SEAL, _DEEP):
        off = np.round(rng.normal(0, 0.0011, 2) * side).astype(int)
        rows, columns = (np.clip(np.arange(side) - shove, 0, side - 1) for shove in off)
        area = (index == block)[rows][:, columns].astype(np.float32)
        strength = 1.0
        if block == _PEAK:
            strength = np.clip(1.3 - 2.2 * fields.smoothstep(0.5, 0.7, y), 0.35, 1)
        _ink(colour, palette[block], area * grain * strength)
    key = sheet.key().astype(np.float32) / 255
    _ink(
        colour,
        mix(palette[_DEEP], np.array([0.05, 0.06, 0.12]), 0.45),
        key * np.clip(grain + 0.1, 0, 1),
    )
    picture = reduce(colour, _SUPERSAMPLING)
    return np.clip(_signed(rng, picture, palette, sheet.mirrored), 0, 1)


def _ink(colour: Colours, ink: Colours, coverage: Field) -> None:
    """Add a transparent ink to the print, in place."""
    colour *= 1 - coverage[..., None] * (1 - (0.12 + 0.88 * ink))
    colour += coverage[..., None] * 0.1 * (ink - colour)


def _paper(rng: np.random.Generator, side: int, tint: Colours) -> Colours:
    fibre = fields.noise(rng, side, (0.05, 0.008), 4, 0.8) + fields.noise(
        rng, side, (0.008, 0.05), 4, 0.8
    )
    age = fields.noise(rng, side, 0.5, 3)
    tone = 1 + 0.012 * fibre + 0.012 * age
    return (tint * tone[..., None]).astype(np.float32)


def _grain(rng: np.random.Generator, side: int, x: Field, y: Field) -> Field:
    """Return the share of ink that the wood takes: year rings along the board, and speckle."""
    warp = fields.noise(rng, side, (0.9, 0.18), 3)
    rings = np.sin(2 * np.pi * (y * 46 + 2.6 * warp))
    fine = fields.noise(rng, side, (0.16, 0.004), 2)
    speckle = fields.noise(rng, side, 0.006, 2)
    return np.clip(0.9 + 0.045 * rings + 0.03 * fine - 0.07 * (speckle > 1.9), 0.4, 1).astype(
        np.float32
    )


def _signed(
    rng: np.random.Generator, picture: Colours, palette: Colours, mirrored: bool
) -> Colours:
    """Add the cartouche with brushed characters and the red seal in an empty corner."""
    n = picture.shape[0]
    x0 = 0.045 if not mirrored else 0.895
    plate = Image.new("L", (n * 2, n * 2), 0)
    seal = Image.new("L", (n * 2, n * 2), 0)
    draw, stamp = ImageDraw.Draw(plate), ImageDraw.Draw(seal)
    box = np.array([x0, 0.05, x0 + 0.06, 0.25]) * 2 * n
    draw.rectangle(box.tolist(), outline=255, width=max(1, n // 200))
    for row in range(5):
        for _ in range(5):
            at = np.array([x0 + 0.03, 0.073 + 0.037 * row]) + rng.uniform(-0.013, 0.013, 2)
            move = rng.choice([[0.016, 0.0], [0.0, 0.016], [-0.009, 0.01], [0.01, 0.009]])
            draw.line(
                ((np.stack([at - move / 1.6, at + move / 1.6])) * 2 * n).ravel().tolist(),
                fill=255,
                width=max(1, n // 130),
            )
    red = np.array([x0 + 0.014, 0.262, x0 + 0.046, 0.294]) * 2 * n
    stamp.rectangle(red.tolist(), fill=235)
    for k in (1, 2):
        cut = red[0] + (red[2] - red[0]) * k / 3
        stamp.line(
            [cut, red[1] + n * 0.012, cut, red[3] - n * 0.008], fill=0, width=max(1, n // 170)
        )
    key = np.asarray(plate.reduce(2), dtype=np.float32) / 255
    _ink(picture, palette[_DEEP] * 0.5, 0.9 * key)
    _ink(picture, palette[_SEAL], np.asarray(seal.reduce(2), dtype=np.float32) / 255)
    return picture
