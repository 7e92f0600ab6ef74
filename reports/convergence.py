"""Convergence: how the loss of optimisation methods falls, per step and per second."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np
from markupsafe import Markup

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.reporting import convergence, numbers, svg, tables, templates
from nstbench.reporting.convergence import AXES, MOST, UNITS, Course


class Convergence(Section):
    """Loss curves against steps and against seconds, on a logarithmic and a linear scale."""

    info: ClassVar[SectionInfo] = SectionInfo("Convergence", "html", order=60)

    def html(self, board: Board) -> str:
        """Return charts and a table; empty if no method left a trace."""
        courses = convergence.courses(board)
        if not courses:
            return ""
        looks = [svg.Look.of(i) for i in range(min(MOST, len(courses)))]
        return templates.render(
            "convergence.html",
            charts=_charts(courses[:MOST], looks, log=True),
            linear=_charts(courses[:MOST], looks, log=False),
            legend=[(look.line, c.label) for look, c in zip(looks, courses, strict=False)],
            rows=[_facts(c) for c in courses],
            units=UNITS,
            hidden=max(0, len(courses) - MOST),
            at=convergence.traced_note(board),
        )


def _charts(courses: list[Course], looks: list[svg.Look], log: bool) -> list[tuple[str, Markup]]:
    charts = []
    for axis in AXES:
        draw = partial(_chart, courses=courses, looks=looks, axis=axis, log=log)
        charts.append((f"Against {axis}", svg.responsive(draw, svg.HALF)))
    return charts


def _chart(
    width: int, height: int, courses: list[Course], looks: list[svg.Look], axis: str, log: bool
) -> svg.Canvas:
    height = min(height, svg.HALF[1])
    drawn = [course.quartiles(axis) for course in courses]
    xs = [float(x) for grid, _ in drawn for x in (grid[0], grid[-1])]
    top = convergence.top_of(courses)
    ys = [min(float(y), top) for _, quartiles in drawn for y in quartiles.ravel()]
    scale = "logarithmic" if log else "linear"
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=svg.Scale.fit(xs, 60, width - 105, zero=True),
        y=svg.Scale.fit([y for y in ys if y > 0], height - 48, 30, log=log, zero=True),
        x_title=axis,
        y_title=f"loss / first loss, {scale}",
        name=f"Loss against {axis}, {scale}",
    )
    for (grid, (low, _, high)), look in zip(drawn, looks, strict=True):
        there, back = zip(grid, low, strict=True), zip(grid[::-1], high[::-1], strict=True)
        canvas.path([*there, *back], f"band {look.mark}")
    for (grid, (_, median, _)), look in zip(drawn, looks, strict=True):
        canvas.path(list(zip(grid, median, strict=True)), look.line)
    canvas.end_labels(
        [
            (float(quartiles[1, -1]), tables.short(course.label, 13), course.key)
            for course, (_, quartiles) in zip(courses, drawn, strict=True)
        ]
    )
    return canvas


def _facts(course: Course) -> dict[str, str]:
    low, middle, high = np.quantile([float(c.loss[-1]) for c in course.curves], [0.25, 0.5, 0.75])
    settled = [c.settled() for c in course.curves]
    steps = [float(c.steps[i]) for c, i in zip(course.curves, settled, strict=True)]
    seconds = [float(c.seconds[i]) for c, i in zip(course.curves, settled, strict=True)]
    return {
        "label": course.label,
        "curves": str(len(course.curves)),
        "end": tables.Interval(float(middle), float(low), float(high)).text(),
        "steps": f"{np.median(steps):.0f}",
        "seconds": numbers.seconds(float(np.median(seconds))),
    }
