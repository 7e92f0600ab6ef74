"""Content error against style error: what each method gives up for what."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import fronts, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Row
from nstbench.report.parts.scale import Scale

ARCS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""Distances from the ideal point that are drawn."""


class Errors(Section):
    """Scatter plot of the two halves of the quality, with arcs of equal distance."""

    info: ClassVar[SectionInfo] = SectionInfo("Content against style", "html", order=35)

    def html(self, board: Board) -> str:
        """Return the chart; empty unless the run has both errors, and for studies' curves."""
        if fronts.study_of(board) is not None:
            return ""
        content, style = board.metric_with_role("content"), board.metric_with_role("style")
        if content is None or style is None:
            return ""
        rows = [r for r in tables.rows(board) if r.of(content).known and r.of(style).known]
        if not rows:
            return ""
        quality = board.quality
        arcs = not content.higher_is_better and not style.higher_is_better
        ideal = (
            " Arcs join points of equal distance from the ideal at (0, 0); the two trivial "
            "answers, returning the content or the style, lie at distance 1."
            if arcs
            else ""
        )
        mean = (
            f" A method's {quality.title} is the mean over its pairs, so it need not lie "
            "exactly on the arc of its mark."
            if quality
            else ""
        )
        return templates.render(
            "chart.html",
            lead="Every method buys style with content. The chart shows at what rate." + ideal,
            chart=svg.responsive(lambda w, h: _chart(w, h, rows, content, style, quality, arcs)),
            classes=svg.legend(tables.classes_present(rows)),
            legend_note="",
            caption=f"{content.description} {style.description} Lines are 95 % intervals; a "
            f"baseline far off the scale stands at its edge with its number.{mean}",
            facts=[],
        )


def _chart(
    width: int,
    height: int,
    rows: list[Row],
    content: MetricCard,
    style: MetricCard,
    quality: MetricCard | None,
    arcs: bool,
) -> svg.Canvas:
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(tables.span(rows, content), 52, width - 14, zero=True),
        y=Scale.fit(tables.span(rows, style), height - 48, 30, zero=True),
        x_title=content.title,
        y_title=style.title,
        name=f"{style.title} against {content.title}",
        x_unit=content.unit,
        y_unit=style.unit,
    )
    if arcs:
        canvas.arcs(ARCS, quality.title if quality else "")
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
    known = [m for m in metrics if m is not None and row.of(m).known]
    return [row.label, *(f"{m.title} {row.of(m).text(m.unit)}" for m in known)]
