"""Leaded window: a river valley at sunrise in opalescent glass (after Tiffany's windows)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from nstbench.pictures.painter.tools import fields
from nstbench.pictures.painter.tools.colour import Colours, choose, mix, ramp, shift
from nstbench.pictures.painter.tools.fields import Field
from nstbench.pictures.painter.tools.painting import Label, Painting
from nstbench.pictures.painter.tools.strokes import reduce

_SUPERSAMPLING = 2

# Sun, near sky, middle sky, far sky, far hills, near hills, meadow, water, pale water,
# leaf, petal, petal heart, border, jewel.
_PALETTES = (
    "ffe9a3 ffb648 e8607a 4a4fb0 6f5fc0 2c6f8f 3f9a4c "
    "2468c8 9fe0ee 1f8a3e 8a35c4 f6d23c 8c1c32 d8a01e",
    "fff4c4 f9d768 7fd0e8 1f6fc4 3c8fb0 1f6f6a 7db53c "
    "147a9c b8f0e4 2f7d2c e0437c ffe27a 123c7c e05a2a",
    "fff0b8 ff9a3c d8402c 7a1f5c 5a3a9c 8a2c5c b06a1c "
    "2a4ca8 f0b8c8 4f7a1c f4f0e4 f6b820 1c5c4c c8202c",
)


class _Cartoon:
    """The full-size drawing of a window: colours of the glass, and lead lines over them."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._colour = Image.new("RGB", (side, side))
        self._label = Image.new("L", (side, side), int(Label.SKY))
        self._lead = Image.new("L", (side, side), 255)
        self._colours = ImageDraw.Draw(self._colour)
        self._labels = ImageDraw.Draw(self._label)
        self._leads = ImageDraw.Draw(self._lead)

    def shape(
        self,
        points: NDArray,
        colour: Colours,
        label: Label,
        lead: float = 0.0,
        hide: bool = False,
    ) -> None:
        """Fill a shape; ``lead`` draws its contour, ``hide`` removes the leads below it."""
        corners = (np.asarray(points) * self.side).ravel().tolist()
        self._colours.polygon(corners, fill=tuple(int(c) for c in np.round(colour * 255)))
        self._labels.polygon(corners, fill=int(label))
        if hide:
            self._leads.polygon(corners, fill=255)
        if lead:
            self.line(np.concatenate([points, np.asarray(points)[:1]]), lead)

    def line(self, points: NDArray, width: float = 0.007) -> None:
        """Draw a lead line of a width in picture units."""
        thick = max(2, round(width * self.side))
        flat = (np.asarray(points) * self.side).ravel().tolist()
        self._leads.line(flat, fill=0, width=thick, joint="curve")

    def colours(self) -> Colours:
        return np.asarray(self._colour, dtype=np.float32) / 255.0

    def labels(self) -> NDArray[np.uint8]:
        return np.asarray(self._label)

    def glass(self) -> NDArray[np.bool_]:
        """Return True where there is glass and not lead."""
        return np.asarray(self._lead) > 127


def stained_glass(rng: np.random.Generator, size: int) -> Painting:
    """Paint a stained-glass window.

    Args:
        rng: source of randomness: composition, palette and the glass itself.
        size: side of the picture in pixels.
    """
    palette = choose(rng, _PALETTES, hue=0.4)
    cartoon = _Cartoon(size * _SUPERSAMPLING)
    sun = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.28, 0.4)])
    _sky(rng, cartoon, palette, sun)
    _valley(rng, cartoon, palette)
    _flowers(rng, cartoon, palette)
    _border(rng, cartoon, palette)
    labels = cartoon.labels()[::_SUPERSAMPLING, ::_SUPERSAMPLING]
    return Painting(_assemble(rng, cartoon, sun), labels.copy())


def _arc(centre: NDArray, radius: float, steps: int = 160) -> NDArray:
    turn = np.linspace(0, 2 * np.pi, steps)
    return centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def _sky(rng: np.random.Generator, cartoon: _Cartoon, palette: Colours, sun: NDArray) -> None:
    rings = np.cumsum([0.085, 0.085, 0.11, 0.13, 0.16, 0.2, 0.3])
    rays = 16
    turn0 = rng.uniform(0, 2 * np.pi)
    for k in range(len(rings) - 1, -1, -1):
        for ray in range(rays):
            span = np.linspace(
                turn0 + ray * 2 * np.pi / rays, turn0 + (ray + 1) * 2 * np.pi / rays, 9
            )
            rim = sun + rings[k] * np.stack([np.cos(span), np.sin(span)], axis=-1)
            at = (k - 1) / 5 + 0.07 * (-1) ** ray
            tint = palette[0] if k == 0 else ramp(palette[1:4], at)
            wedge = np.concatenate([sun[None], rim])
            cartoon.shape(wedge, tint, Label.LIGHT if k == 0 else Label.SKY)
    for radius in rings[:-1]:
        cartoon.line(_arc(sun, radius))
    for ray in range(rays):
        turn = turn0 + ray * 2 * np.pi / rays
        ray_end = np.array([np.cos(turn), np.sin(turn)])
        far = rings[-1] * 1.2
        first = rings[0] if ray % 2 == 0 else rings[1]
        cartoon.line(np.stack([sun + ray_end * first, sun + ray_end * far]))


def _valley(rng: np.random.Generator, cartoon: _Cartoon, palette: Colours) -> None:
    x = np.linspace(-0.02, 1.02, 90)
    lines = []
    shapes = ((0.5, 0.09, 0.3), (0.58, 0.07, 0.35), (0.66, 0.04, 0.5))
    for k, (level, height, wave) in enumerate(shapes):
        line = level + fields.ridge(rng, 90, [(wave, height), (wave / 2.7, height * 0.3)])
        lines.append(line)
        tints = (palette[4], palette[5], palette[6])
        base = np.concatenate([np.stack([x, line], -1), [[1.02, 1.05], [-0.02, 1.05]]])
        cartoon.shape(base, tints[k], Label.HILLS if k < 2 else Label.GROUND, 0.008, hide=True)
        for j in range(1, 4):
            lower = line + 0.035 * j * (1 + 0.5 * np.sin(5 * x + k + j))
            tone = shift(tints[k], 0.05 * (-1) ** j - 0.03 * j)
            band = np.concatenate([np.stack([x, lower], -1), [[1.02, 1.05], [-0.02, 1.05]]])
            cartoon.shape(band, tone, Label.HILLS if k < 2 else Label.GROUND, 0.006, hide=True)
        for at in rng.uniform(0.02, 0.98, 6):
            top = float(np.interp(at, x, line))
            drop = fields.curve(
                [
                    (at, top),
                    (at + rng.uniform(-0.04, 0.04), top + 0.06),
                    (at + rng.uniform(-0.08, 0.08), top + 0.14),
                ]
            )
            cartoon.line(drop, 0.005)
    _river(rng, cartoon, palette)


def _river(rng: np.random.Generator, cartoon: _Cartoon, palette: Colours) -> None:
    bend = rng.choice([-1, 1])
    start = rng.uniform(0.45, 0.6)
    y = np.linspace(0, 1, 60)
    middle = start + bend * 0.17 * np.sin(4.6 * y**0.8) * (0.35 + y)
    half = 0.018 + 0.27 * y**1.7
    rows = 0.7 + 0.34 * y
    left = np.stack([middle - half, rows], -1)
    right = np.stack([middle + half, rows], -1)
    cartoon.shape(np.concatenate([left, right[::-1]]), palette[7], Label.WATER, 0.008, hide=True)
    lanes = np.linspace(0, 1, 7)
    for a, b in itertools.pairwise(lanes):
        sway = 0.035 * np.sin(9 * y + 7 * a)
        first = left + (right - left) * (a + sway * (a > 0))[:, None]
        second = left + (right - left) * (b + 0.035 * np.sin(9 * y + 7 * b) * (b < 1))[:, None]
        tint = mix(palette[7], palette[8], rng.uniform(0.0, 0.9))
        # In the distance the lanes are narrower than the leads, so they begin nearer.
        near = np.concatenate([first[22:], second[:21:-1]])
        cartoon.shape(near, tint, Label.WATER, 0.005, hide=True)
    for at in np.linspace(0.36, 0.95, 7):
        k = int(at * 59)
        wave = np.linspace(0, 1, 30)
        xs = left[k, 0] + (right[k, 0] - left[k, 0]) * wave
        cartoon.line(np.stack([xs, rows[k] + 0.012 * np.sin(wave * 9 + 9 * at)], -1), 0.005)


def _flowers(rng: np.random.Generator, cartoon: _Cartoon, palette: Colours) -> None:
    """Draw irises with long leaves in both lower corners."""
    for side in (0.0, 1.0):
        inward = 1 - 2 * side
        roots = [side + inward * d for d in (0.1, 0.16, 0.23, 0.29)]
        for root in roots:
            for _ in range(2):
                tip = (root + inward * rng.uniform(-0.05, 0.16), rng.uniform(0.52, 0.8))
                bow = (root + rng.uniform(-0.02, 0.02), 0.5 * (tip[1] + 1))
                spine = fields.curve([(root, 1.02), bow, tip], 14)
                _blade(cartoon, spine, 0.017, shift(palette[9], rng.uniform(-0.07, 0.09)))
        for root, height in zip(roots, rng.permutation([0.55, 0.66, 0.74, 0.83]), strict=True):
            head = np.array([root + inward * rng.uniform(0.0, 0.06), height])
            stem = fields.curve(
                [(root, 1.02), ((root + head[0]) / 2, (1 + height) / 2), tuple(head)], 14
            )
            _blade(cartoon, stem, 0.007, palette[9])
            _iris(rng, cartoon, palette, head, rng.uniform(0.05, 0.066))


def _blade(cartoon: _Cartoon, spine: NDArray, half: float, tint: Colours) -> None:
    along = np.linspace(0, 1, len(spine))
    tangent = np.gradient(spine, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    thick = (half * np.sqrt(np.clip(1 - along**2, 0, 1)) + 0.002)[:, None] * normal
    outline = np.concatenate([spine + thick, (spine - thick)[::-1]])
    cartoon.shape(outline, tint, Label.FOLIAGE, 0.006, hide=True)


def _iris(
    rng: np.random.Generator, cartoon: _Cartoon, palette: Colours, at: NDArray, reach: float
) -> None:
    turns = np.array([-2.75, -0.4, -2.15, -1.0, -1.57, 1.57]) + rng.uniform(-0.2, 0.2)
    for k, turn in enumerate(turns):
        out = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-out[1], out[0]])
        t = np.linspace(0, 1, 16)
        width = 0.42 * reach * np.sin(np.pi * t**1.25) ** 0.8
        spine = at + out * (t * reach)[:, None]
        outline = np.concatenate(
            [spine + across * width[:, None], (spine - across * width[:, None])[::-1]]
        )
        tint = shift(
            palette[10], rng.uniform(-0.08, 0.1) + 0.05 * (k == 4), 1.0, rng.uniform(-0.25, 0.25)
        )
        cartoon.shape(outline, tint, Label.FOLIAGE, 0.006, hide=True)
    cartoon.shape(_arc(at, 0.2 * reach, 24), palette[11], Label.FOLIAGE, 0.006, hide=True)


def _border(rng: np.random.Generator, cartoon: _Cartoon, palette: Colours) -> None:
    """Draw a frame of rectangles and jewels."""
    inner, count = 0.055, 12
    for side in range(4):
        for k in range(count):
            a, b = k / count, (k + 1) / count
            quad = np.array([[a, 0], [b, 0], [b, inner], [a, inner]])
            if side == 3 or side == 1:
                quad = quad[:, ::-1]
            if side >= 2:
                quad = 1 - quad
            tint = shift(palette[12], 0.06 * (-1) ** k + rng.uniform(-0.04, 0.04))
            cartoon.shape(quad, tint, Label.OBJECT, 0.007, hide=True)
            if k % 2 == side % 2:
                jewel = quad.mean(axis=0)
                cartoon.shape(_arc(jewel, 0.017, 30), palette[13], Label.OBJECT, 0.005, hide=True)
    frame = np.array(
        [[inner, inner], [1 - inner, inner], [1 - inner, 1 - inner], [inner, 1 - inner]]
    )
    cartoon.line(np.concatenate([frame, frame[:1]]), 0.011)


def _assemble(rng: np.random.Generator, cartoon: _Cartoon, sun: NDArray) -> Colours:
    """Return pieces of glass between the leads, lit from behind, with the leads over them."""
    side = cartoon.side
    glass = cartoon.glass()
    pieces, count = ndimage.label(glass)
    middle = _piece_colours(rng, cartoon.colours(), pieces, count)
    streaks = _streaks(rng, side, pieces, count)
    x, y = fields.grid(side)
    daylight = 0.16 * np.exp(-(np.hypot(x - sun[0], y - sun[1]) ** 2) / 0.09)
    inside = ndimage.distance_transform_edt(glass).astype(np.float32) / side
    rim = 0.16 * np.exp(-inside / 0.0045)
    colour = shift(
        middle[pieces], 0.075 * streaks + daylight - rim, 1.06 + 0.1 * streaks, 0.09 * streaks
    )
    seeds = fields.noise(rng, side, 0.012, 2)
    colour = colour * (1 + 0.05 * seeds[..., None])
    glow = fields.blur(colour * glass[..., None], 0.012)
    colour = np.where(glass[..., None], colour, _lead(rng, glass, side)[..., None] + 0.1 * glow)
    return reduce(np.clip(colour + 0.06 * glow, 0, 1), _SUPERSAMPLING)


def _piece_colours(
    rng: np.random.Generator, colours: Colours, pieces: NDArray, count: int
) -> Colours:
    """Return one slightly varied colour per piece of glass; index 0 is the lead."""
    total = np.bincount(pieces.ravel(), minlength=count + 1).clip(1)
    means = [
        np.bincount(pieces.ravel(), colours[..., c].ravel(), count + 1) / total for c in range(3)
    ]
    tint = np.stack(means, axis=-1)
    varied: Colours = shift(
        tint,
        rng.normal(0, 0.04, count + 1),
        np.exp(rng.normal(0.05, 0.14, count + 1)),
        rng.normal(0, 0.12, count + 1),
    )
    return varied


def _streaks(rng: np.random.Generator, side: int, pieces: NDArray, count: int) -> Field:
    """Return the swirls of opalescent glass, from another place of a sheet for each piece."""
    half = side // 2
    swirl = 0.06 * fields.noise(rng, half, 0.2, 3), 0.06 * fields.noise(rng, half, 0.2, 3)
    sheets = [
        fields.resize(fields.displace(fields.noise(rng, half, scale, 4, 0.6), *swirl), side)
        for scale in ((0.3, 0.04), (0.04, 0.3))
    ]
    which = rng.random(count + 1) < 0.5
    return np.where(which[pieces], sheets[0], sheets[1])


def _lead(rng: np.random.Generator, glass: NDArray[np.bool_], side: int) -> Field:
    """Return the grey of the lead cames: rounded, lit from the upper left, a little worn."""
    bulge = np.sqrt(ndimage.distance_transform_edt(~glass)).astype(np.float32)
    down, right = np.gradient(fields.blur(bulge, 0.6 / side))
    worn = 0.02 * fields.noise(rng, side, 0.02, 2)
    return np.clip(0.13 + 0.11 * (0.6 * right + 0.8 * down) + worn, 0.02, 0.6)
