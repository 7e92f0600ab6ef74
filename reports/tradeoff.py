"""The three-way trade-off: quality against latency, marked by flexibility, sized by memory."""

from __future__ import annotations

import math
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import numbers, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Row
from nstbench.report.parts.scale import Scale


class Tradeoff(Section):
    """Scatter plot of quality against speed with the Pareto front."""

    info: ClassVar[SectionInfo] = SectionInfo("Quality against speed", "html", order=30)

    def html(self, board: Board) -> str:
        """Return the chart; empty unless the run has a quality and a speed."""
        quality, speed = board.quality, board.metric_with_role("speed")
        if quality is None or speed is None:
            return ""
        memory = board.metric_with_role("memory")
        rows = [
            r for r in tables.rows(board)
            if r.of(quality).known and r.of(speed).known and r.of(speed).value > 0
        ]  # fmt: skip
        if not rows:
            return ""
        size = tables.main_size(board)
        front = tables.front([r for r in rows if r.size == size], speed, quality)
        spreads = {r.label: tables.middle_half(board, r, speed) or r.of(speed) for r in rows}
        sized = memory is not None and any(r.of(memory).known for r in rows)
        return templates.render(
            "chart.html",
            lead="Each mark is a method. "
            f"Further {_better(speed, 'right', 'left')} is faster, further "
            f"{_better(quality, 'up', 'down')} is better; the line is the Pareto "
            f"front{_at(board, size)}: no method beats those on it in both.",
            chart=svg.responsive(
                lambda w, h: _chart(w, h, rows, quality, speed, memory, front, spreads)
            ),
            classes=svg.legend(tables.classes_present(rows)),
            legend_note="larger mark = more memory" if sized else "",
            caption="Shape and colour give the flexibility class, upright lines the 95 % "
            "intervals, level ones the middle half of the timed calls. Baselines, and methods "
            f"that did less than {100 * tables.ENOUGH:.0f} % of their pairs, are drawn "
            "for scale and take no part in the front; a baseline far off the scale "
            "stands at its edge with its number.",
            facts=_facts(front, quality, speed),
        )


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
    spreads: dict[str, tables.Interval],
) -> svg.Canvas:
    speeds = [v for i in spreads.values() for v in (i.value, i.low, i.high)]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(speeds, 52, width - 14, log=True),
        y=Scale.fit(tables.span(rows, quality), height - 48, 30),
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
    """Return the mark's radius: its area grows with memory, a floor keeps it visible."""
    value = row.of(memory)
    return 5 + 7 * math.sqrt(value.value / largest) if value.known and largest > 0 else 6.5


def _tip(
    row: Row,
    quality: MetricCard,
    speed: MetricCard,
    memory: MetricCard | None,
    spread: tables.Interval,
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
        f"{tables.short(r.label, 40)} ({numbers.quantity(r.of(speed).value, speed.unit)}, "
        f"{quality.title} {numbers.quantity(r.of(quality).value, quality.unit)}"
        f"{'' if r.complete else f', {r.coverage} pairs only'})"
        for r in front
    )
    return [f"On the Pareto front, fastest first: {names}."]
