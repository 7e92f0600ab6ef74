"""The trade-off figure for papers, drawn with Matplotlib: two panels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.charts.bar_curve import bar_curve, mean_bar
from nstbench.report.figures.style import (
    MARKS,
    axis_title,
    error_bar,
    finish_error_axes,
    plain,
    saved_figure,
)
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import (
    Row,
    classes_present,
    leaderboard_rows,
    main_size,
    pareto_rows,
    shorten,
    shown_range,
)

LABEL = "method"
"""Id of the annotations that name a method."""

PLACES: tuple[tuple[int, int, Literal["left", "center", "right"]], ...] = (
    (5, -2, "left"), (-5, -2, "right"), (0, 5, "center"), (0, -10, "center"),
    (5, 4, "left"), (5, -9, "left"), (-5, 4, "right"), (-5, -9, "right"),
    (5, 10, "left"), (5, -16, "left"), (-5, 10, "right"), (-5, -16, "right"),
)  # fmt: skip
"""Offsets of a label from its mark in points, preferred ones first."""


def save_tradeoff(board: Board, path: Path, format: str) -> None:
    """Write a figure of two panels: quality against speed, and content against style error.

    Args:
        board: the result of a run.
        path: file to write.
        format: ``"png"``, ``"svg"`` or ``"pdf"`` (see :func:`saved_figure`).
    """
    with saved_figure(path, format, (7.2, 3.3)) as figure:
        left, right = figure.subplots(1, 2)
        rows = leaderboard_rows(board)
        _panel(left, rows, board.metric_with_role("speed"), board.quality)
        _panel(right, rows, board.metric_with_role("content"), board.metric_with_role("style"))
        _finish_speed(left, rows, board)
        finish_error_axes(right)
        _draw_bar(right, board)
        figure.legend(handles=_legend(rows), loc="outside lower center", ncols=5, frameon=False)
        figure.draw_without_rendering()
        for axes in (left, right):
            _place_labels(axes)


def _panel(axes: Axes, rows: Sequence[Row], x: MetricCard | None, y: MetricCard | None) -> None:
    shown = [r for r in rows if r.of(x).known and r.of(y).known]
    if x is None or y is None or not shown:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    low, high = shown_range(shown, y)
    for row in shown:
        marker, colour = MARKS.get(row.flexibility, ("o", "black"))
        across, up = row.of(x), row.of(y)
        height = min(max(up.value, low), high)
        label = plain(shorten(row.label, 20))
        if height != up.value:
            label += f" ({'↑' if up.value > high else '↓'} {numbers.significant(up.value)})"
        axes.errorbar(
            across.value, height, xerr=error_bar(across), yerr=error_bar(up) if height == up.value
            else None, fmt=marker, color=colour, markersize=5, elinewidth=0.8, ecolor="#999999",
        )  # fmt: skip
        axes.annotate(
            label, (across.value, height), xytext=(5, -2), textcoords="offset points",
            fontsize=6.5, gid=LABEL,
        )  # fmt: skip
    axes.set_xlabel(axis_title(x))
    axes.set_ylabel(axis_title(y))


def _finish_speed(axes: Axes, rows: Sequence[Row], board: Board) -> None:
    """Make the speed axis logarithmic and draw the Pareto front of the main size."""
    speed, quality = board.metric_with_role("speed"), board.quality
    if speed is None or quality is None or not axes.lines:
        return
    axes.set_xscale("log")
    size = main_size(board)
    front = pareto_rows([r for r in rows if r.size == size], speed, quality)
    line = [(r.of(speed).value, r.of(quality).value) for r in front]
    axes.plot(*zip(*line, strict=True), "--", color="#555555", linewidth=1, zorder=1)


def _draw_bar(axes: Axes, board: Board) -> None:
    """Draw the trivial answers as a dotted curve, and the mean bar, if the board has them."""
    curve = bar_curve(board)
    if curve and axes.lines:
        limits = axes.get_xlim(), axes.get_ylim()
        axes.plot(*zip(*curve, strict=True), ":", color="#555555", linewidth=1, zorder=1)
        bar = mean_bar(board)
        axes.plot([0, bar], [bar, 0], ":", color="#aaaaaa", linewidth=1, zorder=1)
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])


def _place_labels(axes: Axes) -> None:
    """Put each label at the first place where it touches no mark and no other label."""
    labels = [t for t in axes.texts if isinstance(t, Annotation) and t.get_gid() == LABEL]
    room = axes.get_window_extent()
    marks = [axes.transData.transform(t.xy) for t in labels]
    taken = [Bbox([mark - 6, mark + 6]) for mark in marks]
    for label in labels:
        # the first place again at the end: it is used if no place is free
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
        for c in classes_present(rows)
    ]
