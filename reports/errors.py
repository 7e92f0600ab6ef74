"""Content error against style error, one mark per method."""

from __future__ import annotations

import math
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.charts import svg
from nstbench.report.charts.bar_curve import bar_curve, mean_bar
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import fronts, numbers, templates
from nstbench.report.parts.rows import (
    Row,
    classes_present,
    leaderboard_rows,
    shown_range,
)

SUMS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""Sums of both errors at which a line is drawn."""


class Errors(Section):
    """Scatter plot of content and style error, with the curve of the trivial answers."""

    info: ClassVar[SectionInfo] = SectionInfo("Content against style", order=35)

    def html(self, board: Board) -> str:
        """Return the chart; empty for studies and without both errors."""
        if fronts.study_of(board) is not None:
            return ""
        content, style = board.metric_with_role("content"), board.metric_with_role("style")
        if content is None or style is None:
            return ""
        rows = [r for r in leaderboard_rows(board) if r.of(content).known and r.of(style).known]
        if not rows:
            return ""
        quality = board.quality
        lines = not content.higher_is_better and not style.higher_is_better
        ideal = (
            " Lines connect points of equal sums. The ideal is 0; a copy of the content and a copy "
            "of the style are at 1."
            if lines
            else ""
        )
        bar, mean_of_bars = bar_curve(board), mean_bar(board)
        if bar:
            ideal += (
                " The dashed curve connects the trivial answers: the content, a colour transfer, "
                "blends of both pictures, and the style. A method below the curve beats them on "
                "average. This does not say that people like its pictures."
            )
        if lines and math.isfinite(mean_of_bars):
            ideal += (
                " The dotted line is the mean bar: the sum of both errors of the best trivial "
                f"answer of each pair, {numbers.significant(mean_of_bars)} on average."
            )
        mean = (
            f" The {quality.title} of a method is a mean over pairs, so it can differ slightly "
            "from the place of its mark."
            if quality
            else ""
        )
        return templates.render(
            "chart.html",
            lead="The trade-off of every method between preserved content and transferred style; "
            "both errors are better when lower." + ideal,
            chart=svg.responsive(
                lambda w, h: _chart(w, h, rows, content, style, quality, lines, bar, mean_of_bars)
            ),
            classes=svg.legend(classes_present(rows)),
            legend_note="",
            caption=f"{content.description} {style.description} Lines are 95 % intervals. "
            f"A baseline far outside the range is drawn at the edge, with its value.{mean}",
            facts=[],
        )


def _chart(
    width: int,
    height: int,
    rows: list[Row],
    content: MetricCard,
    style: MetricCard,
    quality: MetricCard | None,
    lines: bool,
    bar: list[tuple[float, float]],
    mean_of_bars: float,
) -> svg.Canvas:
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(shown_range(rows, content), 52, width - 14, zero=True),
        y=Scale.fit(shown_range(rows, style), height - 48, 30, zero=True),
        x_title=content.title,
        y_title=style.title,
        name=f"{style.title} against {content.title}",
        x_unit=content.unit,
        y_unit=style.unit,
    )
    if lines:
        canvas.sums(SUMS, "sum")
        if math.isfinite(mean_of_bars):
            # far from the labels of the other lines and from most methods, if there is room
            share = 0.8 if canvas.x.holds(0.8 * mean_of_bars) else 0.3
            canvas.sums([mean_of_bars], "mean bar", "bar-line", share)
    if bar:
        canvas.path(bar, "bar-curve")
        canvas.keep_clear(bar)
    points = [
        svg.Point(
            x=row.of(content),
            y=row.of(style),
            key=row.id,
            label=row.mark(24 if width > 500 else 16),
            kind=row.flexibility,
            tip=_tip(row, [content, style, quality]),
        )
        for row in sorted(rows, key=lambda r: r.baseline)
    ]
    canvas.named_points(points)
    return canvas


def _tip(row: Row, metrics: list[MetricCard | None]) -> list[str]:
    measured = [m for m in metrics if m is not None and row.of(m).known]
    return [row.label, *(f"{m.title} {row.of(m).text(m.unit)}" for m in measured)]
