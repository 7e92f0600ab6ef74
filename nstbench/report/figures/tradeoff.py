"""The report's charts for papers: one figure of two panels, drawn with Matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers
from nstbench.report.parts import rows as tables
from nstbench.report.parts.bar import bar_curve
from nstbench.report.parts.rows import Interval, Row

# The colour-blind safe palette of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
MARKS = {
    Flexibility.ARBITRARY.value: ("o", "#0072B2"),
    Flexibility.PER_STYLE.value: ("^", "#D55E00"),
    Flexibility.MULTI_STYLE.value: ("s", "#009E73"),
    Flexibility.DOMAIN.value: ("D", "#CC79A7"),
    Flexibility.BASELINE.value: ("x", "#666666"),
}

LABEL = "method"

PLACES: tuple[tuple[int, int, Literal["left", "center", "right"]], ...] = (
    (5, -2, "left"), (-5, -2, "right"), (0, 5, "center"), (0, -10, "center"),
    (5, 4, "left"), (5, -9, "left"), (-5, 4, "right"), (-5, -9, "right"),
    (5, 10, "left"), (5, -16, "left"), (-5, 10, "right"), (-5, -16, "right"),
)  # fmt: skip
"""Offsets of a label from its mark in points, best first."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    # text stays text, so that journals can search and edit it
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "nstbench",
}

DATES: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Leaves the date out of a file, so that the same board gives the same bytes."""


def save_tradeoff(board: Board, path: Path, kind: str) -> None:
    """Write quality against speed beside content against style error.

    Args:
        board: the result of a run.
        path: file to write.
        kind: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``; the same board gives the same bytes.
    """
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # names may use scripts that Matplotlib's font lacks; boxes stand for them
        warnings.filterwarnings("ignore", message="(Glyph|Matplotlib currently)")
        figure = Figure(figsize=(7.2, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        rows = tables.rows(board)
        _panel(left, rows, board.metric_with_role("speed"), board.quality)
        _panel(right, rows, board.metric_with_role("content"), board.metric_with_role("style"))
        _finish_speed(left, rows, board)
        finish_errors(right)
        draw_bar(right, board)
        figure.legend(handles=_legend(rows), loc="outside lower center", ncols=5, frameon=False)
        figure.draw_without_rendering()
        for axes in (left, right):
            _spread_labels(axes)
        figure.savefig(path, format=kind, dpi=300, metadata=DATES.get(kind))


def _panel(axes: Axes, rows: Sequence[Row], x: MetricCard | None, y: MetricCard | None) -> None:
    shown = [r for r in rows if r.of(x).known and r.of(y).known]
    if x is None or y is None or not shown:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    low, high = tables.span(shown, y)
    for row in shown:
        marker, colour = MARKS.get(row.flexibility, ("o", "black"))
        across, up = row.of(x), row.of(y)
        height = min(max(up.value, low), high)
        label = plain(tables.short(row.label, 20))
        if height != up.value:
            label += f" ({'↑' if up.value > high else '↓'} {numbers.significant(up.value)})"
        axes.errorbar(
            across.value, height, xerr=reach(across), yerr=reach(up) if height == up.value
            else None, fmt=marker, color=colour, markersize=5, elinewidth=0.8, ecolor="#999999",
        )  # fmt: skip
        axes.annotate(
            label, (across.value, height), xytext=(5, -2), textcoords="offset points",
            fontsize=6.5, gid=LABEL,
        )  # fmt: skip
    axes.set_xlabel(axis_title(x))
    axes.set_ylabel(axis_title(y))


def reach(interval: Interval) -> list[list[float]] | None:
    """Return an interval as Matplotlib wants it: distances below and above the value."""
    if not interval.bounded:
        return None
    return [[interval.value - interval.low], [interval.high - interval.value]]


def _finish_speed(axes: Axes, rows: Sequence[Row], board: Board) -> None:
    """Make the speed axis logarithmic and draw the Pareto front."""
    speed, quality = board.metric_with_role("speed"), board.quality
    if speed is None or quality is None or not axes.lines:
        return
    axes.set_xscale("log")
    size = tables.main_size(board)
    front = tables.front([r for r in rows if r.size == size], speed, quality)
    line = [(r.of(speed).value, r.of(quality).value) for r in front]
    axes.plot(*zip(*line, strict=True), "--", color="#555555", linewidth=1, zorder=1)


def finish_errors(axes: Axes) -> None:
    """Draw lines of equal sums of the two errors."""
    if not axes.lines:
        return
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    limits = axes.get_xlim(), axes.get_ylim()
    for level in (0.25, 0.5, 0.75, 1.0, 1.25):
        axes.plot((0, level), (level, 0), color="#bbbbbb", linewidth=0.7, zorder=0)
        # Near the upper axis: methods crowd around the diagonal.
        place = (0.12 * level, 0.88 * level)
        axes.annotate(f"{level:g}", place, fontsize=6, color="#777777", clip_on=True)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def draw_bar(axes: Axes, board: Board) -> None:
    """Draw the mean errors of the trivial answers as a dashed curve, if the board has them."""
    curve = bar_curve(board)
    if curve and axes.lines:
        limits = axes.get_xlim(), axes.get_ylim()
        axes.plot(*zip(*curve, strict=True), ":", color="#555555", linewidth=1, zorder=1)
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])


def _spread_labels(axes: Axes) -> None:
    """Put each label where it touches no mark and no other label, if there is such a place."""
    labels = [t for t in axes.texts if isinstance(t, Annotation) and t.get_gid() == LABEL]
    room = axes.get_window_extent()
    marks = [axes.transData.transform(t.xy) for t in labels]
    taken = [Bbox([mark - 6, mark + 6]) for mark in marks]
    for label in labels:
        # the first place is tried again at the end: it stands if no other is free
        for dx, dy, side in (*PLACES, PLACES[0]):
            label.set_position((dx, dy))
            label.set_horizontalalignment(side)
            box = label.get_window_extent()
            inside = room.x0 <= box.x0 and box.x1 <= room.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(label.get_window_extent())


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    return [
        Line2D([], [], marker=MARKS[c][0], color=MARKS[c][1], linestyle="", label=c, markersize=5)
        for c in tables.classes_present(rows)
    ]


def axis_title(card: MetricCard) -> str:
    """Return a metric's title with unit and direction."""
    unit = numbers.scaled(card.unit)[1]
    arrow = "↑" if card.higher_is_better else "↓"
    return plain(f"{card.title}{f' ({unit})' if unit else ''} {arrow}")


def plain(text: str) -> str:
    """Return text without the signs that Matplotlib reads as mathematics."""
    return text.replace("\\", "\\\\").replace("$", "\\$")
