"""Trade-off of quality and latency; marks show flexibility class and memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.charts import svg
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import numbers, templates
from nstbench.report.parts.rows import (
    ENOUGH,
    Interval,
    Row,
    classes_present,
    leaderboard_rows,
    main_size,
    middle_half,
    pareto_rows,
    shorten,
    shown_range,
)


class Tradeoff(Section):
    """Scatter plot of quality against speed with the Pareto front."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Quality against speed",
        order=30,
        files={f: f"tradeoff.{f}" for f in ("pdf", "png", "svg")},
    )

    def html(self, board: Board) -> str:
        """Return the chart; empty without quality and speed."""
        quality, speed = board.quality, board.metric_with_role("speed")
        if quality is None or speed is None:
            return ""
        memory = board.metric_with_role("memory")
        rows = [
            r for r in leaderboard_rows(board)
            if r.of(quality).known and r.of(speed).known and r.of(speed).value > 0
        ]  # fmt: skip
        if not rows:
            return ""
        size = main_size(board)
        front = pareto_rows([r for r in rows if r.size == size], speed, quality)
        spreads = {r.label: middle_half(board, r, speed) or r.of(speed) for r in rows}
        sized = memory is not None and any(r.of(memory).known for r in rows)
        return templates.render(
            "chart.html",
            lead=f"Each mark is a method. Methods further {_better(speed, 'right', 'left')} are "
            f"faster, and methods further {_better(quality, 'up', 'down')} have a better "
            f"{quality.title}. The line is the Pareto front{_at(board, size)}: no other method is "
            "both faster and better than a method on it.",
            chart=svg.responsive(
                lambda w, h: _chart(w, h, rows, quality, speed, memory, front, spreads)
            ),
            classes=svg.legend(classes_present(rows)),
            legend_note="larger mark = more memory" if sized else "",
            caption="Shape and colour show the flexibility class. Vertical lines are 95 % "
            "intervals, horizontal lines the middle half of the timed calls. Baselines and "
            f"methods with less than {100 * ENOUGH:.0f} % of their pairs are shown for comparison "
            "but excluded from the front. A baseline far outside the range is drawn at the edge, "
            "with its value.",
            facts=_facts(front, quality, speed),
        )

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the figure, with content against style error as second panel."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.report.figures.tradeoff import save_tradeoff

        save_tradeoff(board, path, format)


def _at(board: Board, size: int) -> str:
    return f" at {size} px" if board.leaderboard["size"].nunique() > 1 else ""


def _better(metric: MetricCard, high: str, low: str) -> str:
    return high if metric.higher_is_better else low


def _chart(
    width: int,
    height: int,
    rows: list[Row],
    quality: MetricCard,
    speed: MetricCard,
    memory: MetricCard | None,
    front: list[Row],
    spreads: dict[str, Interval],
) -> svg.Canvas:
    speeds = [v for i in spreads.values() for v in (i.value, i.low, i.high)]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(speeds, 52, width - 14, log=True),
        y=Scale.fit(shown_range(rows, quality), height - 48, 30),
        x_title=f"{speed.title}, logarithmic",
        y_title=f"{quality.title} ({'higher' if quality.higher_is_better else 'lower'} is better)",
        name=f"{quality.title} against {speed.title}",
        x_unit=speed.unit,
        y_unit=quality.unit,
    )
    line = [(r.of(speed).value, r.of(quality).value) for r in front]
    canvas.path(line, "front")
    canvas.keep_clear(line)
    largest = max((r.of(memory).value for r in rows if r.of(memory).known), default=math.nan)
    on_front = {r.label for r in front}
    points = [
        svg.Point(
            x=spreads[row.label],
            y=row.of(quality),
            key=row.id,
            label=row.mark(24 if width > 500 else 16),
            kind=row.flexibility,
            tip=_tip(row, quality, speed, memory, spreads[row.label]),
            radius=_radius(row, memory, largest),
        )
        for row in sorted(rows, key=lambda r: (r.label not in on_front, r.baseline))
    ]
    canvas.named_points(points)
    return canvas


def _radius(row: Row, memory: MetricCard | None, largest: float) -> float:
    """Return the radius of a mark in pixels; it grows with memory from a minimum of 5."""
    value = row.of(memory)
    return 5 + 7 * math.sqrt(value.value / largest) if value.known and largest > 0 else 6.5


def _tip(
    row: Row,
    quality: MetricCard,
    speed: MetricCard,
    memory: MetricCard | None,
    spread: Interval,
) -> list[str]:
    lines = [row.label, f"{quality.title} {row.of(quality).text(quality.unit)}",
             f"{speed.title} {spread.text(speed.unit)}"]  # fmt: skip
    if memory is not None and row.of(memory).known:
        lines.append(f"{memory.title} {row.of(memory).text(memory.unit)}")
    return [*lines, f"class {row.flexibility}, coverage {row.coverage}"]


def _facts(front: list[Row], quality: MetricCard, speed: MetricCard) -> list[str]:
    if not front:
        return []
    names = ", ".join(
        f"{shorten(r.label, 40)} ({numbers.quantity(r.of(speed).value, speed.unit)}, "
        f"{quality.title} {numbers.quantity(r.of(quality).value, quality.unit)}"
        f"{'' if r.complete else f', {r.coverage} pairs'})"
        for r in front
    )
    return [f"On the Pareto front, fastest first: {names}."]
