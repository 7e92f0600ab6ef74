"""The curves of a study: content against style error, traced by a parameter."""

from __future__ import annotations

from typing import Any, ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.plan.study import shown
from nstbench.report.parts import fronts, numbers, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.fronts import Front, FrontPoint, Fronts
from nstbench.report.parts.scale import Scale

SUMS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""Distances from the ideal point that are drawn."""


class FrontCurves(Section):
    """One curve per series, with intervals, and the comparison at equal content error."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves of the study", "html", order=15)

    def html(self, board: Board) -> str:
        """Return chart and tables; empty unless the run is a study."""
        found = fronts.fronts_of(board)
        if found is None:
            return ""
        ids = tables.method_ids(board)
        looks = [svg.Look.of(i) for i in range(len(found.fronts))]
        return templates.render(
            "fronts.html",
            fronts=found,
            chart=svg.responsive(lambda w, h: _chart(w, h, found, looks, ids)),
            legend=[(look.sample(), f.label) for look, f in zip(looks, found.fronts, strict=True)],
            rows=[_row(found, summary) for summary in found.summaries()],
            levels=[f"{level:g}" for level in found.levels],
            compared=found.study.baseline,
            points=[_point(found, f, p) for f in found.fronts for p in f.points],
            sums=_plain_errors(found),
        )


def _plain_errors(found: Fronts) -> bool:
    return not found.content.higher_is_better and not found.style.higher_is_better


def _chart(
    width: int, height: int, found: Fronts, looks: list[svg.Look], ids: dict[str, str]
) -> svg.Canvas:
    rows = [*(p.row for f in found.fronts for p in f.points), *found.others]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(tables.span(rows, found.content), 52, width - 14, zero=True),
        y=Scale.fit(tables.span(rows, found.style), height - 48, 30, zero=True),
        x_title=found.content.title,
        y_title=found.style.title,
        name=f"{found.style.title} against {found.content.title}, one curve per setting",
        x_unit=found.content.unit,
        y_unit=found.style.unit,
    )
    if _plain_errors(found):
        canvas.sums(SUMS, "sum")
    for front, look in zip(found.fronts, looks, strict=True):
        line = [(p.row.of(found.content).value, p.row.of(found.style).value) for p in front.curve]
        canvas.path(line, look.line)
        canvas.keep_clear(line)
        for p in front.points:
            canvas.bars(p.row.of(found.content), p.row.of(found.style), f"reach {look.mark}")
    for front, look in zip(found.fronts, looks, strict=True):
        for p in front.points:
            x, y = p.row.of(found.content).value, p.row.of(found.style).value
            canvas.point(x, y, "", ids[p.variant.label], _tip(found, p), 4.5, look)
    for front in found.fronts:
        _name(canvas, found, front, ids)
    canvas.named_points([_other(found, row) for row in found.others])
    return canvas


def _name(canvas: svg.Canvas, found: Fronts, front: Front, ids: dict[str, str]) -> None:
    """Write the name of a curve at one of its ends."""
    last = front.points[-1]
    x, y = last.row.of(found.content).value, last.row.of(found.style).value
    canvas.label(x, y, tables.short(front.label, 24), ids[last.variant.label], 8)


def _other(found: Fronts, row: tables.Row) -> svg.Point:
    x, y = row.of(found.content), row.of(found.style)
    tip = [row.label, f"{found.content.title} {x.text()}", f"{found.style.title} {y.text()}"]
    return svg.Point(x, y, row.id, row.mark(20), row.flexibility, tip, 5)


def _tip(found: Fronts, point: FrontPoint) -> list[str]:
    metrics = [found.content, found.style, found.quality]
    known = [m for m in metrics if m is not None and point.row.of(m).known]
    return [point.variant.label, *(f"{m.title} {point.row.of(m).text(m.unit)}" for m in known)]


def _row(found: Fronts, summary: fronts.Summary) -> dict[str, Any]:
    best = summary.best_variant
    return {
        "label": summary.label,
        "done": summary.done,
        "baseline": summary.label == found.study.baseline,
        "best": summary.best.text(),
        "best_at": shown(best.value) if best and found.study.traced else "",
        "at": [value.text() for value in summary.at],
        "change": [value.text() for value in summary.change],
        "seconds": numbers.seconds(summary.seconds),
    }


def _point(found: Fronts, front: Front, point: FrontPoint) -> dict[str, str]:
    row = point.row
    return {
        "series": front.label,
        "value": shown(point.variant.value) if found.study.traced else "",
        "content": row.of(found.content).text(found.content.unit),
        "style": row.of(found.style).text(found.style.unit),
        "quality": row.of(found.quality).text() if found.quality else "",
        "coverage": row.coverage,
    }
