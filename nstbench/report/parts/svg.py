"""Charts as inline SVG: drawn on the server, styled by the page, readable without a script.

Colours, fonts and dashes come from classes in ``reports/static/report.css``, so one
drawing serves light mode, dark mode and print. Every mark that carries data can take the
keyboard focus and says its numbers to screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup

from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import Interval
from nstbench.report.parts.scale import Scale

GLYPH_WIDTH = 7.0
"""Average width in pixels of a label's character, for keeping labels apart."""

WIDE = (1120, 470)
HALF = (550, 340)
NARROW = (360, 380)

LEADER = 14
"""Pixels from the end of a line to its label at the right edge."""

SUM_LABEL = 0.18
"""Where a line of equal sums has its label: the abscissa as a share of the sum."""

COLOURS = 5
"""Curve colours ``s0`` ... of the style sheet."""

DASHES = 4
"""Dashes ``d0`` ... of the style sheet."""

SHAPES = {
    Flexibility.ARBITRARY.value: "circle",
    Flexibility.PER_STYLE.value: "triangle",
    Flexibility.MULTI_STYLE.value: "square",
    Flexibility.DOMAIN.value: "diamond",
    Flexibility.BASELINE.value: "cross",
}


@dataclass(frozen=True)
class Point:
    """A method in a chart of two metrics; ``tip`` holds the lines of its tooltip."""

    x: Interval
    y: Interval
    key: str
    label: str
    kind: str
    tip: Sequence[str]
    radius: float = 6.5


@dataclass(frozen=True)
class Look:
    """How one of several curves is drawn: classes of its line, class and shape of its marks."""

    line: str
    mark: str
    shape: str

    @classmethod
    def of(cls, index: int) -> Look:
        """Return the look of the curve with this index; 60 of them differ.

        The dash changes with the colour, so that curves are told apart without colours, too.
        """
        colour, dash = index % COLOURS, (index + index // COLOURS) % DASHES
        forms = list(dict.fromkeys(SHAPES.values()))
        form = forms[(index + index // (COLOURS * DASHES)) % len(forms)]
        return cls(f"line s{colour} d{dash}", f"s{colour}", form)

    def sample(self) -> Markup:
        """Return a piece of the curve for a legend, 32 x 16."""
        return Markup(
            '<svg viewBox="0 0 32 16" width="32" height="16" aria-hidden="true"><g class="chart">'
            '<path class="{}" d="M1 8H31"/><g class="mark {}"><path d="{}"/></g></g></svg>'
        ).format(self.line, self.mark, shape(self.shape, 16, 8, 4.5))


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass
class Canvas:
    """One drawing with two axes; methods add marks, :meth:`svg` returns the markup."""

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
        """Keep labels off a line through data points where they have another place."""
        pixels = [(self.x.clip(x), self.y.clip(y)) for x, y in points]
        for (x1, y1), (x2, y2) in pairwise(pixels):
            count = max(1, round(math.hypot(x2 - x1, y2 - y1) / 6))
            for i in range(count + 1):
                x, y = x1 + (x2 - x1) * i / count, y1 + (y2 - y1) * i / count
                self._whiskers.append((x - 2, y - 2, x + 2, y + 2))

    def named_points(self, points: Sequence[Point]) -> None:
        """Draw points with intervals and labels; those off the scale stand at its edge."""
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
        """Write (y value, text, key) at the right edge, moved apart where they would touch.

        A short line leads from each end to its label.
        """
        placed = sorted((self.y.clip(y), text, key) for y, text, key in ends)
        tops = spread([y for y, _, _ in placed], room, self.y.stop, self.y.start)
        for (y, text, key), top in zip(placed, tops, strict=True):
            self._line(self.x.stop + 2, y, self.x.stop + LEADER, top, "leader")
            self.marks.append(
                Markup(
                    '<text class="label" x="{:.1f}" y="{:.1f}" data-method="{}">{}</text>'
                ).format(self.x.stop + LEADER + 3, top + 4, key, text)
            )

    def bars(self, x: Interval, y: Interval, css: str = "whisker") -> None:
        """Draw the intervals of a point as thin bars, horizontal and vertical."""
        px, py = self.x.clip(x.value), self.y.clip(y.value)
        if y.bounded:
            bottom, top = self.y.clip(y.low), self.y.clip(y.high)
            self._line(px, bottom, px, top, css)
            self._whiskers.append((px - 1, top, px + 1, bottom))
        if x.bounded:
            left, right = self.x.clip(x.low), self.x.clip(x.high)
            self._line(left, py, right, py, css)
            self._whiskers.append((left, py - 1, right, py + 1))

    def sums(self, levels: Sequence[float], name: str) -> None:
        """Draw lines of equal x + y inside the plot, labelled with ``name`` and the sum."""
        for level in levels:
            left, right = max(0.0, level - self.y.high), min(level, self.x.high)
            if left >= right:
                continue
            self.path([(left, level - left), (right, level - right)], "level")
            # Near the upper axis: methods crowd around the diagonal.
            place = (max(left, SUM_LABEL * level), level - max(left, SUM_LABEL * level))
            if self.x.holds(place[0]) and self.y.holds(place[1]):
                text = f"{name} {level:g}".strip()
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
        look: Look | None = None,
    ) -> None:
        """Draw a focusable marker; its shape and colour say the class ``kind``, or the curve."""
        css = look.mark if look else f"k-{kind}"
        form = look.shape if look else SHAPES.get(kind, "circle")
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
        """Write a label beside a data point where it covers nothing, or leave it out.

        A place that no interval or line crosses is preferred.
        """
        px, py = self.x.clip(x), self.y.clip(y)
        wide = len(text) * GLYPH_WIDTH
        found: list[tuple[bool, int, Box, tuple[float, float, str]]] = []
        for anchor, dx, dy in (
            ("start", gap, 4), ("end", -gap, 4), ("middle", 0, -gap - 1), ("middle", 0, gap + 11),
            ("start", gap, -gap), ("start", gap, gap + 6), ("end", -gap, -gap),
            ("end", -gap, gap + 6),
        ):  # fmt: skip
            left = px + dx - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
            box = (left, py + dy - 10, left + wide, py + dy + 3)
            if self._free(box):
                crossed = any(_touch(box, whisker) for whisker in self._whiskers)
                found.append((crossed, len(found), box, (px + dx, py + dy, anchor)))
        if not found:
            return
        _, _, box, place = min(found)
        self._boxes.append(box)
        self.marks.append(
            Markup(
                '<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}" '
                'data-method="{}">{}</text>'
            ).format(*place, key, text)
        )

    def note(self, x: float, y: float, text: str, css: str = "note", anchor: str = "start") -> None:
        """Write text at a data point, whatever lies there."""
        self.marks.append(
            Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                css, self.x(x), self.y(y), anchor, text
            )
        )

    def svg(self) -> Markup:
        """Return the drawing."""
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
            parts.append(self._grid(px, self.y.stop, px, self.y.start))
            parts.append(self._tick(px, self.y.start + 18, "middle", text))
        for value in self.y.ticks(7, self.y_unit):
            py = self.y(value)
            parts.append(self._grid(self.x.start, py, self.x.stop, py))
            parts.append(
                self._tick(self.x.start - 8, py + 4, "end", numbers.tick(value, self.y_unit))
            )
        parts.append(
            Markup('<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>').format(
                self.x.stop, self.height - 6, f"{self.x_title} →"
            )
        )
        parts.append(
            Markup('<text class="axis" x="0" y="14">{}</text>').format(f"↑ {self.y_title}")
        )
        return Markup('<g class="axes" aria-hidden="true">{}</g>').format(Markup("").join(parts))

    @staticmethod
    def _grid(x1: float, y1: float, x2: float, y2: float) -> Markup:
        return Markup('<path class="grid" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            x1, y1, x2, y2
        )

    @staticmethod
    def _tick(x: float, y: float, anchor: str, text: str) -> Markup:
        return Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
            x, y, anchor, text
        )

    def _line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        self.marks.append(
            Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
                css, x1, y1, x2, y2
            )
        )


def spread(places: Sequence[float], room: float, low: float, high: float) -> list[float]:
    """Return ascending places moved as little as need be to lie ``room`` apart.

    Neighbours that would touch become a block around the mean of its members; the whole is
    then moved into ``low .. high``, if it fits.
    """
    blocks: list[list[float]] = []
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _end(blocks[-2], room) + room > _start(blocks[-1], room):
            last = blocks.pop()
            blocks[-1] += last
    found = [_start(block, room) + i * room for block in blocks for i in range(len(block))]
    for i in range(len(found)):
        found[i] = max(found[i], low + i * room)
    for i in range(len(found)):
        found[-1 - i] = min(found[-1 - i], high - i * room)
    return found


def _start(block: Sequence[float], room: float) -> float:
    return sum(block) / len(block) - room * (len(block) - 1) / 2


def _end(block: Sequence[float], room: float) -> float:
    return sum(block) / len(block) + room * (len(block) - 1) / 2


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


def shape(name: str, x: float, y: float, r: float) -> str:
    """Return the path of a marker of about the same area whatever its shape."""
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
    """Return a chart drawn twice, for wide and for narrow screens; the page shows one."""
    return Markup('<div class="chart wide">{}</div><div class="chart narrow">{}</div>').format(
        draw(*wide).svg(), draw(*NARROW).svg()
    )


def interval_bar(value: Interval, low: float, high: float) -> Markup:
    """Return a small bar for a table cell: a dot at the value, a line along its interval."""
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
    """Return each flexibility class with the path of its mark in a 16 x 16 box."""
    return [(name, shape(SHAPES.get(name, "circle"), 8, 8, 5.5)) for name in classes]
