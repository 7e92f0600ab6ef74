"""Convergence: how the loss of optimisation methods falls, per step and per second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.records import Status
from nstbench.reporting import numbers, svg, tables, templates

UNITS = 12
"""Curves read per method, evenly over its pairs."""

POINTS = 80
"""Points per drawn curve."""

NEAR = 0.05
"""A curve has settled once it stays within this share of its total fall from its end."""

HEADROOM = 2.0
"""The loss axis ends at this multiple of the first loss, unless a median goes higher."""


@dataclass(frozen=True)
class Curve:
    """One loss curve, as a share of its own first value."""

    steps: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray

    def over(self, axis: str) -> np.ndarray:
        """Return the steps or the seconds."""
        return self.steps if axis == "steps" else self.seconds


@dataclass(frozen=True)
class Course:
    """The curves of one method and the median of them."""

    key: str
    label: str
    curves: list[Curve]

    def median(self, axis: str) -> list[tuple[float, float]]:
        """Return the median loss on a common grid; a curve that has ended keeps its last value."""
        start = float(np.median([c.over(axis)[0] for c in self.curves]))
        end = float(np.median([c.over(axis)[-1] for c in self.curves]))
        grid = np.linspace(start, max(start, end), POINTS)
        each = [np.interp(grid, c.over(axis), c.loss) for c in self.curves]
        return list(zip(grid.tolist(), np.median(each, axis=0).tolist(), strict=True))


class Convergence(Section):
    """Loss curves against steps and against seconds."""

    info: ClassVar[SectionInfo] = SectionInfo("Convergence", "html", order=60)

    def html(self, board: Board) -> str:
        """Return two charts and a table; empty if no method left a trace."""
        courses = _courses(board)
        if not courses:
            return ""
        charts = []
        for axis, title in (("steps", "Against steps"), ("seconds", "Against seconds")):
            draw = partial(_chart, courses=courses, axis=axis, title=title)
            charts.append((title, svg.responsive(draw, svg.HALF)))
        return templates.render(
            "convergence.html", charts=charts, rows=[_facts(c) for c in courses], units=UNITS
        )


def _courses(board: Board) -> list[Course]:
    ids = tables.method_ids(board)
    size = tables.main_size(board)
    done = board.units[(board.units["status"] == Status.DONE) & (board.units["size"] == size)]
    courses = []
    for method, units in done.groupby("method", sort=False):
        keys = list(units["key"])
        every = max(1, len(keys) // UNITS)
        read = [_curve(board.trace(key)) for key in keys[::every][:UNITS]]
        curves = [curve for curve in read if curve is not None]
        if curves:
            courses.append(Course(ids[str(method)], str(method), curves))
    return courses


def _curve(trace: list[dict[str, float]]) -> Curve | None:
    """Return the total loss of a trace; None if there is nothing to draw."""
    rows = [(row.get("step"), row.get("seconds"), _total(row)) for row in trace]
    known = [r for r in rows if all(isinstance(v, int | float) and math.isfinite(v) for v in r)]
    if len(known) < 2:
        return None
    steps, seconds, loss = np.asarray(known, dtype=np.float64).T
    return Curve(steps, seconds, loss / loss[0]) if loss[0] > 0 else None


def _total(row: dict[str, float]) -> float | None:
    losses = [v for k, v in row.items() if k not in {"step", "seconds", "total"} and v is not None]
    return row.get("total", sum(losses) if losses else None)


def _chart(width: int, height: int, courses: list[Course], axis: str, title: str) -> svg.Canvas:
    height = min(height, svg.HALF[1])
    xs = [v for c in courses for curve in c.curves for v in curve.over(axis).tolist()]
    # line searches may overshoot a thousandfold for a step; that must not flatten the rest
    top = max(HEADROOM, *(y for c in courses for _, y in c.median(axis)))
    ys = [min(v, top) for c in courses for curve in c.curves for v in curve.loss.tolist()]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=svg.Scale.fit(xs, 60, width - 105, zero=True),
        y=svg.Scale.fit([y for y in ys if y > 0], height - 48, 30, log=True),
        x_title=axis,
        y_title="loss / first loss, logarithmic",
        name=f"Loss, {title.lower()}",
    )
    for i, course in enumerate(courses):
        for curve in course.curves:
            every = max(1, len(curve.loss) // POINTS)
            points = zip(curve.over(axis)[::every], curve.loss[::every], strict=True)
            canvas.path(list(points), f"thin s{i % 4}")
    for i, course in enumerate(courses):
        canvas.path(course.median(axis), f"line s{i % 4} d{i % 4}")
    ends = [(c.median(axis)[-1][1], tables.short(c.label, 14), c.key) for c in courses]
    canvas.end_labels(ends)
    return canvas


def _facts(course: Course) -> dict[str, str]:
    ends = [float(c.loss[-1]) for c in course.curves]
    settled = [_settled(c.loss) for c in course.curves]
    steps = [float(c.steps[i]) for c, i in zip(course.curves, settled, strict=True)]
    seconds = [float(c.seconds[i]) for c, i in zip(course.curves, settled, strict=True)]
    return {
        "label": course.label,
        "curves": str(len(course.curves)),
        "end": numbers.significant(float(np.median(ends))),
        "steps": f"{np.median(steps):.0f}",
        "seconds": numbers.seconds(float(np.median(seconds))),
    }


def _settled(loss: np.ndarray) -> int:
    """Return the first index from which the curve stays near its end."""
    room = NEAR * abs(float(loss[0] - loss[-1])) + 1e-12
    away = np.flatnonzero(np.abs(loss - loss[-1]) > room)
    return int(away[-1]) + 1 if len(away) else 0
