"""Charts as inline SVG, readable without a script.

Colours, fonts and dashes are classes of ``nstbench/report/static/report.css``, so the same
drawing works in light mode, dark mode and print. Every data mark can take the keyboard focus
and has its numbers as text for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup

from nstbench.core.records import Flexibility
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import Interval

GLYPH_WIDTH = 7.0
"""Average width of a character of a label in pixels, used to place labels."""

WIDE = (1120, 470)
HALF = (550, 340)
NARROW = (360, 380)

LEADER = 14
"""Pixels from the end of a line to its label at the right edge."""

COLOURS = 5
"""Number of curve colours ``s0``, ``s1``, ... in the style sheet."""
DASHES = 4
"""Number of dash patterns ``d0``, ``d1``, ... in the style sheet."""

SHAPES = {
    Flexibility.ARBITRARY.value: "circle",
    Flexibility.PER_STYLE.value: "triangle",
    Flexibility.MULTI_STYLE.value: "square",
    Flexibility.DOMAIN.value: "diamond",
    Flexibility.BASELINE.value: "cross",
}


@dataclass(frozen=True)
class Point:
    """A method in a chart of two metrics.

    Attributes:
        x, y: values and intervals on the axes.
        key: the method's id on the page.
        label: text at the mark.
        kind: flexibility class, which gives shape and colour.
        tip: lines of the tooltip.
        radius: radius of the mark in pixels.
    """

    x: Interval
    y: Interval
    key: str
    label: str
    kind: str
    tip: Sequence[str]
    radius: float = 6.5


@dataclass(frozen=True)
class CurveStyle:
    """The style of one of several curves: class of its line, class and shape of its marks."""

    line: str
    mark: str
    shape: str

    @classmethod
    def of(cls, index: int) -> CurveStyle:
        """Return the style of the curve with this index; the first 60 styles are different.

        Colour and dash pattern change together, so curves also differ without colours.
        """
        colour, dash = index % COLOURS, (index + index // COLOURS) % DASHES
        forms = list(dict.fromkeys(SHAPES.values()))
        form = forms[(index + index // (COLOURS * DASHES)) % len(forms)]
        return cls(f"line s{colour} d{dash}", f"s{colour}", form)

    def sample(self) -> Markup:
        """Return a sample of the curve for a legend, 32 x 16 pixels."""
        return Markup(
            '<svg viewBox="0 0 32 16" width="32" height="16" aria-hidden="true"><g class="chart">'
            '<path class="{}" d="M1 8H31"/><g class="mark {}"><path d="{}"/></g></g></svg>'
        ).format(self.line, self.mark, shape(self.shape, 16, 8, 4.5))


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass
class Canvas:
    """One chart with two axes; its methods add marks, and :meth:`svg` returns the markup.

    Attributes:
        width, height: size in pixels.
        x, y: scales of the axes.
        x_title, y_title: titles of the axes.
        name: text for screen readers.
        x_unit, y_unit: units of the tick labels.
        x_names: position and text of ticks that replace the numbers of the abscissa.
        marks: markup of the marks, in drawing order.
    """

    width: int
    height: int
    x: Scale
    y: Scale
    x_title: str
    y_title: str
    name: str
    x_unit: str = ""
    y_unit: str = ""
    x_names: Sequence[tuple[float, str]] = ()
    marks: list[Markup] = field(default_factory=list)
    _boxes: list[Box] = field(default_factory=list)
    _whiskers: list[Box] = field(default_factory=list)

    def path(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """Draw a line through data points."""
        if len(points) > 1:
            pixels = [(self.x.clip(x), self.y.clip(y)) for x, y in points]
            steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
            self.marks.append(Markup('<polyline class="{}" points="{}"/>').format(css, steps))

    def keep_clear(self, points: Sequence[tuple[float, float]]) -> None:
        """Place later labels away from a line through data points, where possible."""
        pixels = [(self.x.clip(x), self.y.clip(y)) for x, y in points]
        for (x1, y1), (x2, y2) in pairwise(pixels):
            count = max(1, round(math.hypot(x2 - x1, y2 - y1) / 6))
            for i in range(count + 1):
                x, y = x1 + (x2 - x1) * i / count, y1 + (y2 - y1) * i / count
                self._whiskers.append((x - 2, y - 2, x + 2, y + 2))

    def named_points(self, points: Sequence[Point]) -> None:
        """Draw points with intervals and labels; a point off the scale is drawn at its edge."""
        for point in points:
            if self.x.holds(point.x.value) and self.y.holds(point.y.value):
                self.bars(point.x, point.y)
        for point in sorted(points, key=lambda p: -p.radius):
            self.point(point.x.value, point.y.value, point.kind, point.key, point.tip, point.radius)
        for point in points:
            text = point.label
            for axis, value, arrows in (
                (self.x, point.x.value, "←→"),
                (self.y, point.y.value, "↓↑"),
            ):
                if not axis.holds(value):
                    text += f" ({arrows[value > axis.high]} {numbers.significant(value)})"
            self.label(point.x.value, point.y.value, text, point.key, point.radius + 4)

    def end_labels(self, ends: Sequence[tuple[float, str, str]], room: float = 15) -> None:
        """Write labels at the right edge, without overlap, each joined to its curve by a line.

        Args:
            ends: y value, text and method id of each label.
            room: vertical distance between labels in pixels.
        """
        placed = sorted((self.y.clip(y), text, key) for y, text, key in ends)
        tops = spread([y for y, _, _ in placed], room, self.y.stop, self.y.start)
        for (y, text, key), top in zip(placed, tops, strict=True):
            self.marks.append(_line("leader", self.x.stop + 2, y, self.x.stop + LEADER, top))
            self.marks.append(
                Markup(
                    '<text class="label" x="{:.1f}" y="{:.1f}" data-method="{}">{}</text>'
                ).format(self.x.stop + LEADER + 3, top + 4, key, text)
            )

    def bars(self, x: Interval, y: Interval, css: str = "whisker") -> None:
        """Draw the intervals of a point as thin horizontal and vertical lines."""
        px, py = self.x.clip(x.value), self.y.clip(y.value)
        if y.bounded:
            bottom, top = self.y.clip(y.low), self.y.clip(y.high)
            self.marks.append(_line(css, px, bottom, px, top))
            self._whiskers.append((px - 1, top, px + 1, bottom))
        if x.bounded:
            left, right = self.x.clip(x.low), self.x.clip(x.high)
            self.marks.append(_line(css, left, py, right, py))
            self._whiskers.append((left, py - 1, right, py + 1))

    def sums(
        self, levels: Sequence[float], name: str, css: str = "level", share: float = 0.18
    ) -> None:
        """Draw lines of equal x + y, labelled with ``name`` and sum at the abscissa share * sum."""
        for level in levels:
            left, right = max(0.0, level - self.y.high), min(level, self.x.high)
            if left >= right:
                continue
            self.path([(left, level - left), (right, level - right)], css)
            # by default near the upper axis, because most methods are near the diagonal
            place = (max(left, share * level), level - max(left, share * level))
            if self.x.holds(place[0]) and self.y.holds(place[1]):
                text = f"{name} {level:.3g}".strip()
                self.note(*place, text, anchor="middle")
                px, py, half = self.x(place[0]), self.y(place[1]), len(text) * GLYPH_WIDTH / 2
                self._boxes.append((px - half, py - 9, px + half, py + 3))

    def point(
        self,
        x: float,
        y: float,
        kind: str,
        key: str,
        tip: Sequence[str],
        radius: float = 6.5,
        style: CurveStyle | None = None,
    ) -> None:
        """Draw a mark that can take the focus.

        Args:
            x: value on the abscissa.
            y: value on the ordinate.
            kind: flexibility class, which gives shape and colour.
            key: the method's id on the page.
            tip: lines of the tooltip.
            radius: radius in pixels.
            style: style of a curve, used instead of ``kind``.
        """
        css = style.mark if style else f"k-{kind}"
        form = style.shape if style else SHAPES.get(kind, "circle")
        px, py = self.x.clip(x), self.y.clip(y)
        self._boxes.append((px - radius, py - radius, px + radius, py + radius))
        self.marks.append(
            Markup(
                '<g class="mark {}" data-method="{}" data-tip="{}" tabindex="0" role="img" '
                'aria-label="{}"><title>{}</title>'
                '<circle class="halo" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>'
                '<path d="{}"/></g>'
            ).format(
                css, key, "\n".join(tip), ", ".join(tip), "\n".join(tip),
                px, py, radius + 4, shape(form, px, py, radius),
            )
        )  # fmt: skip

    def label(self, x: float, y: float, text: str, key: str = "", gap: float = 10) -> None:
        """Write a label next to a data point, or omit it if there is no free place.

        Places that no interval or line crosses are preferred.
        """
        px, py = self.x.clip(x), self.y.clip(y)
        wide = len(text) * GLYPH_WIDTH
        places: list[tuple[bool, int, Box, tuple[float, float, str]]] = []
        for anchor, dx, dy in (
            ("start", gap, 4), ("end", -gap, 4), ("middle", 0, -gap - 1), ("middle", 0, gap + 11),
            ("start", gap, -gap), ("start", gap, gap + 6), ("end", -gap, -gap),
            ("end", -gap, gap + 6),
        ):  # fmt: skip
            left = px + dx - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
            box = (left, py + dy - 10, left + wide, py + dy + 3)
            if self._free(box):
                crossed = any(_touch(box, whisker) for whisker in self._whiskers)
                places.append((crossed, len(places), box, (px + dx, py + dy, anchor)))
        if not places:
            return
        _, _, box, place = min(places)
        self._boxes.append(box)
        self.marks.append(
            Markup(
                '<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}" '
                'data-method="{}">{}</text>'
            ).format(*place, key, text)
        )

    def note(self, x: float, y: float, text: str, css: str = "note", anchor: str = "start") -> None:
        """Write text at a data point, without a search for a free place."""
        self.marks.append(_text(css, self.x(x), self.y(y), anchor, text))

    def svg(self) -> Markup:
        """Return the chart as an ``<svg>`` element."""
        return Markup(
            '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{name}">'
            "{axes}{marks}</svg>"
        ).format(
            w=self.width, h=self.height, name=self.name,
            axes=self._axes(), marks=Markup("").join(self.marks),
        )  # fmt: skip

    def _free(self, box: Box) -> bool:
        left, top, right, bottom = box
        inside = (
            left >= self.x.start and right <= self.width and top >= 0 and bottom <= self.y.start
        )
        return inside and not any(_touch(box, other) for other in self._boxes)

    def _axes(self) -> Markup:
        few = max(4, self.width // 110)
        parts = []
        ticks = [(v, numbers.tick(v, self.x_unit)) for v in self.x.ticks(few, self.x_unit)]
        for value, text in self.x_names or ticks:
            px = self.x(value)
            parts.append(_line("grid", px, self.y.stop, px, self.y.start))
            parts.append(_text("tick", px, self.y.start + 18, "middle", text))
        for value in self.y.ticks(7, self.y_unit):
            py = self.y(value)
            parts.append(_line("grid", self.x.start, py, self.x.stop, py))
            label = numbers.tick(value, self.y_unit)
            parts.append(_text("tick", self.x.start - 8, py + 4, "end", label))
        parts.append(_text("axis", self.x.stop, self.height - 6, "end", f"{self.x_title} →"))
        parts.append(_text("axis", 0, 14, "start", f"↑ {self.y_title}"))
        return Markup('<g class="axes" aria-hidden="true">{}</g>').format(Markup("").join(parts))


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(css, x1, y1, x2, y2)


def _text(css: str, x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        css, x, y, anchor, text
    )


def spread(places: Sequence[float], room: float, low: float, high: float) -> list[float]:
    """Return ascending positions, moved as little as possible to be ``room`` apart.

    Positions that are too close form a block around their mean. All positions are then moved
    into ``low .. high``, if they fit.

    Example:
        >>> spread([50.0, 50.0, 50.0], room=15, low=0, high=100)
        [35.0, 50.0, 65.0]
    """
    blocks: list[list[float]] = []
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _end(blocks[-2], room) + room > _start(blocks[-1], room):
            last = blocks.pop()
            blocks[-1] += last
    moved = [_start(block, room) + i * room for block in blocks for i in range(len(block))]
    for i in range(len(moved)):
        moved[i] = max(moved[i], low + i * room)
    for i in range(len(moved)):
        moved[-1 - i] = min(moved[-1 - i], high - i * room)
    return moved


def _start(block: Sequence[float], room: float) -> float:
    return sum(block) / len(block) - room * (len(block) - 1) / 2


def _end(block: Sequence[float], room: float) -> float:
    return sum(block) / len(block) + room * (len(block) - 1) / 2


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


def shape(name: str, x: float, y: float, r: float) -> str:
    """Return the SVG path of a mark; all shapes of a radius have about the same area."""
    if name == "circle":
        arc = f"a{r:.1f} {r:.1f} 0 1 0"
        return f"M{x - r:.1f} {y:.1f}{arc} {2 * r:.1f} 0{arc} {-2 * r:.1f} 0Z"
    corners = {
        "triangle": [(0, -1.25), (1.15, 0.8), (-1.15, 0.8)],
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "cross": [(-1, -0.65), (-0.65, -1), (0, -0.35), (0.65, -1), (1, -0.65), (0.35, 0),
                  (1, 0.65), (0.65, 1), (0, 0.35), (-0.65, 1), (-1, 0.65), (-0.35, 0)],
    }[name]  # fmt: skip
    return "M" + "L".join(f"{x + a * r:.1f} {y + b * r:.1f}" for a, b in corners) + "Z"


def responsive(draw: Callable[[int, int], Canvas], wide: tuple[int, int] = WIDE) -> Markup:
    """Return a chart for wide and one for narrow screens; the page shows one of them.

    Args:
        draw: returns the chart for a width and a height in pixels.
        wide: width and height on wide screens.
    """
    return Markup('<div class="chart wide">{}</div><div class="chart narrow">{}</div>').format(
        draw(*wide).svg(), draw(*NARROW).svg()
    )


def interval_bar(value: Interval, low: float, high: float) -> Markup:
    """Return a small chart for a table cell: a dot at the value and a line for its interval."""
    if not value.known or high <= low:
        return Markup("")
    scale = Scale(low, high, 4, 92)
    ends = (value.low, value.high) if value.bounded else (value.value, value.value)
    return Markup(
        '<svg class="bar" viewBox="0 0 96 8" width="96" height="8" aria-hidden="true">'
        '<path class="track" d="M4 4H92"/><path class="span" d="M{:.1f} 4H{:.1f}"/>'
        '<circle cx="{:.1f}" cy="4" r="3"/></svg>'
    ).format(*(scale.clip(v) for v in (*ends, value.value)))


def legend(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the flexibility classes, each with the path of its mark in a 16 x 16 box."""
    return [(name, shape(SHAPES.get(name, "circle"), 8, 8, 5.5)) for name in classes]
