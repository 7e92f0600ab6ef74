"""The curves of a study: content against style error as one parameter changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.plan.study import shown
from nstbench.report import markdown
from nstbench.report.charts import svg
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import fronts, numbers, templates
from nstbench.report.parts.fronts import Front, FrontPoint, Fronts
from nstbench.report.parts.rows import (
    Row,
    method_ids,
    shorten,
    shown_range,
)

SUMS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""Sums of both errors at which a line is drawn."""


class FrontCurves(Section):
    """One curve per series with intervals, and a comparison at equal content error."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Curves of the study",
        order=15,
        files={f: f"fronts.{f}" for f in ("csv", "md", "pdf", "png", "svg")},
    )

    def html(self, board: Board) -> str:
        """Return chart and tables; empty if the run is not a study."""
        study = fronts.fronts_of(board)
        if study is None:
            return ""
        ids = method_ids(board)
        styles = [svg.CurveStyle.of(i) for i in range(len(study.fronts))]
        return templates.render(
            "fronts.html",
            fronts=study,
            chart=svg.responsive(lambda w, h: _chart(w, h, study, styles, ids)),
            legend=[
                (style.sample(), f.label) for style, f in zip(styles, study.fronts, strict=True)
            ],
            rows=[_row(study, summary) for summary in study.summaries()],
            levels=[f"{level:g}" for level in study.levels],
            compared=study.study.baseline,
            points=[_point(study, f, p) for f in study.fronts for p in f.points],
            sums=_plain_errors(study),
        )

    def applies(self, board: Board) -> bool:
        """Return True for studies."""
        return fronts.fronts_of(board) is not None

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write all points as CSV, the comparison as Markdown, or the figure."""
        study = fronts.fronts_of(board)
        if study is None:
            raise ValueError("the run is not a study")
        if format == "csv":
            table = pd.DataFrame(_points(study))
            table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
        elif format == "md":
            heads, rows = study.table()
            text = markdown.table(heads, rows, "l" + "r" * (len(heads) - 1)) + "\n"
            path.write_text(text, encoding="utf-8", newline="\n")
        else:
            # Matplotlib takes a second to import, and most reports need no figure
            from nstbench.report.figures.curves import save_fronts

            save_fronts(study, path, format)


def _plain_errors(study: Fronts) -> bool:
    return not study.content.higher_is_better and not study.style.higher_is_better


def _chart(
    width: int, height: int, study: Fronts, styles: list[svg.CurveStyle], ids: dict[str, str]
) -> svg.Canvas:
    rows = [*(p.row for f in study.fronts for p in f.points), *study.others]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(shown_range(rows, study.content), 52, width - 14, zero=True),
        y=Scale.fit(shown_range(rows, study.style), height - 48, 30, zero=True),
        x_title=study.content.title,
        y_title=study.style.title,
        name=f"{study.style.title} against {study.content.title}, one curve per setting",
        x_unit=study.content.unit,
        y_unit=study.style.unit,
    )
    if _plain_errors(study):
        canvas.sums(SUMS, "sum")
    for front, style in zip(study.fronts, styles, strict=True):
        line = [(p.row.of(study.content).value, p.row.of(study.style).value) for p in front.curve]
        canvas.path(line, style.line)
        canvas.keep_clear(line)
        for p in front.points:
            canvas.bars(p.row.of(study.content), p.row.of(study.style), f"reach {style.mark}")
    for front, style in zip(study.fronts, styles, strict=True):
        for p in front.points:
            x, y = p.row.of(study.content).value, p.row.of(study.style).value
            canvas.point(x, y, "", ids[p.variant.label], _tip(study, p), 4.5, style)
    for front in study.fronts:
        _name(canvas, study, front, ids)
    canvas.named_points([_other(study, row) for row in study.others])
    return canvas


def _name(canvas: svg.Canvas, study: Fronts, front: Front, ids: dict[str, str]) -> None:
    """Write the name of a curve at its last point."""
    last = front.points[-1]
    x, y = last.row.of(study.content).value, last.row.of(study.style).value
    canvas.label(x, y, shorten(front.label, 24), ids[last.variant.label], 8)


def _other(study: Fronts, row: Row) -> svg.Point:
    x, y = row.of(study.content), row.of(study.style)
    tip = [row.label, f"{study.content.title} {x.text()}", f"{study.style.title} {y.text()}"]
    return svg.Point(x, y, row.id, row.mark(20), row.flexibility, tip, 5)


def _tip(study: Fronts, point: FrontPoint) -> list[str]:
    metrics = [study.content, study.style, study.quality]
    measured = [m for m in metrics if m is not None and point.row.of(m).known]
    return [point.variant.label, *(f"{m.title} {point.row.of(m).text(m.unit)}" for m in measured)]


def _row(study: Fronts, summary: fronts.Summary) -> dict[str, Any]:
    best = summary.best_variant
    return {
        "label": summary.label,
        "done": summary.done,
        "baseline": summary.label == study.study.baseline,
        "best": summary.best.text(),
        "best_at": shown(best.value) if best and study.study.traced else "",
        "at": [value.text() for value in summary.at],
        "change": [value.text() for value in summary.change],
        "seconds": numbers.seconds(summary.seconds),
    }


def _point(study: Fronts, front: Front, point: FrontPoint) -> dict[str, str]:
    row = point.row
    return {
        "series": front.label,
        "value": shown(point.variant.value) if study.study.traced else "",
        "content": row.of(study.content).text(study.content.unit),
        "style": row.of(study.style).text(study.style.unit),
        "quality": row.of(study.quality).text() if study.quality else "",
        "coverage": row.coverage,
    }


def _points(study: Fronts) -> list[dict[str, object]]:
    """Return all points: series, traced value, metrics with intervals, and coverage."""
    rows = []
    for front in study.fronts:
        for point in front.points:
            row: dict[str, object] = {"series": front.label}
            if study.study.traced:
                row[study.study.traced] = shown(point.variant.value)
            for metric in (study.content, study.style, study.quality):
                if metric is not None:
                    value = point.row.of(metric)
                    row[metric.name] = value.value
                    row |= {f"{metric.name}_low": value.low, f"{metric.name}_high": value.high}
            rows.append({**row, "done": point.row.done, "planned": point.row.planned})
    return rows
