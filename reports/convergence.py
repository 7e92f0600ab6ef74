"""Convergence: losses during the optimisation of pictures and the training of networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from markupsafe import Markup

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.charts import svg
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import convergence, numbers, templates, trainings
from nstbench.report.parts.convergence import AXES, MAX_DRAWN, MAX_READ, MethodCurves
from nstbench.report.parts.rows import (
    Interval,
    shorten,
)
from nstbench.report.parts.trainings import Trained

TRAINING_HEIGHT = 250
"""Height of a training chart in pixels; there is one chart per method."""


class Convergence(Section):
    """Loss curves of optimisation methods, and training curves of networks."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Convergence",
        order=60,
        files={f: f"convergence.{f}" for f in ("pdf", "png", "svg")},
    )

    def html(self, board: Board) -> str:
        """Return charts and tables; empty without traces and trainings."""
        return _optimisations(board) + _trainings(board)

    def applies(self, board: Board) -> bool:
        """Return True if a method has traces."""
        return bool(convergence.method_curves(board))

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the figure of the optimisation methods."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.report.figures.curves import save_convergence

        save_convergence(convergence.method_curves(board), path, format)


# --- optimisation ------------------------------------------------------------------------


def _optimisations(board: Board) -> Markup:
    methods = convergence.method_curves(board)
    if not methods:
        return Markup("")
    styles = [svg.CurveStyle.of(i) for i in range(min(MAX_DRAWN, len(methods)))]
    return templates.render(
        "convergence.html",
        charts=_charts(methods[:MAX_DRAWN], styles, log=True),
        linear=_charts(methods[:MAX_DRAWN], styles, log=False),
        legend=[(style.line, m.label) for style, m in zip(styles, methods, strict=False)],
        rows=[_facts(m) for m in methods],
        units=MAX_READ,
        hidden=max(0, len(methods) - MAX_DRAWN),
        at=convergence.traced_note(board),
    )


def _charts(
    methods: list[MethodCurves], styles: list[svg.CurveStyle], log: bool
) -> list[tuple[str, Markup]]:
    charts = []
    for axis in AXES:
        draw = partial(_chart, methods=methods, styles=styles, axis=axis, log=log)
        charts.append((f"Against {axis}", svg.responsive(draw, svg.HALF)))
    return charts


def _chart(
    width: int,
    height: int,
    methods: list[MethodCurves],
    styles: list[svg.CurveStyle],
    axis: str,
    log: bool,
) -> svg.Canvas:
    scale = "logarithmic" if log else "linear"
    return _curves(
        (width, min(height, svg.HALF[1])),
        methods,
        styles,
        axis=axis,
        log=log,
        top=convergence.loss_limit(methods),
        x_title=axis,
        name=f"Loss against {axis}, {scale}",
    )


def _curves(
    size: tuple[int, int],
    methods: Sequence[MethodCurves],
    styles: list[svg.CurveStyle],
    *,
    axis: str,
    log: bool,
    x_title: str,
    name: str,
    top: float = math.inf,
    keys: bool = True,
) -> svg.Canvas:
    """Return a chart of medians, with bands between the quartiles.

    Args:
        size: width and height in pixels.
        methods: the curves.
        styles: one style per entry of ``methods``.
        axis: abscissa, one of :data:`AXES`.
        log: True for a logarithmic ordinate.
        x_title: title of the abscissa.
        name: text for screen readers.
        top: upper end of the ordinate.
        keys: True if a selection of methods also dims the labels.
    """
    width, height = size
    drawn = [method.quartiles(axis) for method in methods]
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
    for (grid, (low, _, high)), style in zip(drawn, styles, strict=True):
        lower = zip(grid, low, strict=True)
        upper = zip(grid[::-1], high[::-1], strict=True)
        canvas.path([*lower, *upper], f"band {style.mark}")
    for (grid, (_, median, _)), style in zip(drawn, styles, strict=True):
        canvas.path(list(zip(grid, median, strict=True)), style.line)
    canvas.end_labels(
        [
            (float(quartiles[1, -1]), shorten(method.label, 13), method.key if keys else "")
            for method, (_, quartiles) in zip(methods, drawn, strict=True)
        ]
    )
    return canvas


def _facts(method: MethodCurves) -> dict[str, str]:
    low, middle, high = np.quantile([float(c.loss[-1]) for c in method.curves], [0.25, 0.5, 0.75])
    settled = [c.settled() for c in method.curves]
    steps = [float(c.steps[i]) for c, i in zip(method.curves, settled, strict=True)]
    seconds = [float(c.seconds[i]) for c, i in zip(method.curves, settled, strict=True)]
    return {
        "label": method.label,
        "curves": str(len(method.curves)),
        "end": Interval(float(middle), float(low), float(high)).text(),
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
        [svg.CurveStyle.of(i) for i in range(len(trained.losses))],
        axis="steps",
        log=True,
        x_title="training steps",
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
    """Return "40", or "30 to 60" if the values differ."""
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"
