"""Convergence: how losses fall, over a picture's optimisation and over a network's training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from markupsafe import Markup

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import convergence, numbers, svg, templates, trainings
from nstbench.report.parts import rows as tables
from nstbench.report.parts.convergence import AXES, MOST, UNITS, Course
from nstbench.report.parts.scale import Scale
from nstbench.report.parts.trainings import Trained

TRAINING_HEIGHT = 250
"""Height of a training's chart; there is one per method."""


class Convergence(Section):
    """Loss curves of optimisation methods against steps and seconds; of trained ones, per loss."""

    info: ClassVar[SectionInfo] = SectionInfo("Convergence", "html", order=60)

    def html(self, board: Board) -> str:
        """Return charts and tables; empty if no method left a trace or was trained."""
        return _optimisations(board) + _trainings(board)


# --- optimisation ------------------------------------------------------------------------


def _optimisations(board: Board) -> Markup:
    courses = convergence.courses(board)
    if not courses:
        return Markup("")
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
    scale = "logarithmic" if log else "linear"
    return _curves(
        (width, min(height, svg.HALF[1])),
        courses,
        looks,
        axis=axis,
        log=log,
        top=convergence.top_of(courses),
        x_title=axis,
        name=f"Loss against {axis}, {scale}",
    )


def _curves(
    size: tuple[int, int],
    courses: Sequence[Course],
    looks: list[svg.Look],
    *,
    axis: str,
    log: bool,
    x_title: str,
    name: str,
    top: float = math.inf,
    keys: bool = True,
) -> svg.Canvas:
    """Draw courses as medians with bands between their quartiles.

    Args:
        size: width and height in pixels.
        courses: what to draw.
        looks: how, one each.
        axis: name of the courses' axis.
        log: True for a logarithmic ordinate.
        x_title: what the abscissa is called.
        name: of the chart, for who does not see it.
        top: upper end of the ordinate.
        keys: True if the labels answer to the choice of a method.
    """
    width, height = size
    drawn = [course.quartiles(axis) for course in courses]
    xs = [float(x) for grid, _ in drawn for x in (grid[0], grid[-1])]
    ys = [min(float(y), top) for _, quartiles in drawn for y in quartiles.ravel()]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale.fit(xs, 60, width - 126, zero=True),
        y=Scale.fit([y for y in ys if y > 0], height - 48, 30, log=log, zero=not log),
        x_title=x_title,
        y_title=f"loss / first loss, {'logarithmic' if log else 'linear'}",
        name=name,
    )
    for (grid, (low, _, high)), look in zip(drawn, looks, strict=True):
        there, back = zip(grid, low, strict=True), zip(grid[::-1], high[::-1], strict=True)
        canvas.path([*there, *back], f"band {look.mark}")
    for (grid, (_, median, _)), look in zip(drawn, looks, strict=True):
        canvas.path(list(zip(grid, median, strict=True)), look.line)
    canvas.end_labels(
        [
            (float(quartiles[1, -1]), tables.short(course.label, 13), course.key if keys else "")
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


# --- training ----------------------------------------------------------------------------


def _trainings(board: Board) -> Markup:
    trained = trainings.trained(board)
    if not trained:
        return Markup("")
    return templates.render(
        "trainings.html",
        panels=[
            (each.label, svg.responsive(partial(_training_chart, trained=each), svg.HALF))
            for each in trained
            if each.losses
        ],
        rows=[_training_facts(each) for each in trained],
    )


def _training_chart(width: int, height: int, trained: Trained) -> svg.Canvas:
    return _curves(
        (width, min(height, TRAINING_HEIGHT)),
        trained.losses,
        [svg.Look.of(i) for i in range(len(trained.losses))],
        axis="steps",
        log=True,
        x_title="steps of training",
        name=f"Training loss of {trained.label} against steps",
        keys=False,
    )


def _training_facts(trained: Trained) -> dict[str, str]:
    cards = trained.trainings
    first = trained.losses[0] if trained.losses else None
    ends = [float(c.loss[-1]) for c in first.curves] if first else []
    return {
        "label": trained.label,
        "count": str(len(cards)),
        "steps": _range([c.steps for c in cards], numbers.thousands),
        "batch": _range([c.batch for c in cards], "{:.0f}".format),
        "size": _range([c.size for c in cards], "{:.0f}".format),
        "seconds": _range([c.seconds for c in cards], numbers.seconds),
        "before": _range([c.start_seconds for c in cards], numbers.seconds)
        if any(c.start for c in cards)
        else "",
        "loss": first.label if first else "",
        "end": _range(ends, numbers.significant) if ends else numbers.DASH,
        "device": ", ".join(dict.fromkeys(c.device for c in cards if c.device)),
    }


def _range(values: Sequence[float], form: Callable[[float], str]) -> str:
    """Return "40", or "30 to 60" where checkpoints differ."""
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"
