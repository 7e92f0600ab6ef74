"""Figures of curves for papers: study curves, costs and convergence, drawn with Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from nstbench.report.figures.style import (
    MARKS,
    axis_title,
    error_bar,
    finish_error_axes,
    plain,
    saved_figure,
)
from nstbench.report.parts.convergence import AXES, MAX_DRAWN, MethodCurves, loss_limit
from nstbench.report.parts.costs import MAX_PICTURES, Cost, cheapest_ranges
from nstbench.report.parts.fronts import Front, Fronts
from nstbench.report.parts.rows import shorten

# The colour-blind safe palette of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666")
MARKERS = ("o", "^", "s", "D", "v")
DASHES = ("-", "--", ":", "-.")


def line_style(index: int) -> dict[str, Any]:
    """Return Matplotlib's line arguments for the curve with this index.

    Consecutive curves differ in colour, marker and dashes.
    """
    turn = index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[(index + turn) % len(MARKERS)],
        "linestyle": DASHES[(index + turn) % len(DASHES)],
    }


def save_fronts(fronts: Fronts, path: Path, format: str) -> None:
    """Write a figure of content against style error, one curve per series with intervals.

    Args:
        fronts: the curves of a study.
        path: file to write.
        format: ``"png"``, ``"svg"`` or ``"pdf"`` (see :func:`saved_figure`).
    """
    with saved_figure(path, format, (6.4, 4.0)) as figure:
        axes = figure.subplots()
        for i, front in enumerate(fronts.fronts):
            _draw(axes, fronts, front, i)
        for row in fronts.others:
            marker, colour = MARKS.get(row.flexibility, ("o", "black"))
            place = (row.of(fronts.content).value, row.of(fronts.style).value)
            axes.plot(*place, marker, color=colour, markersize=4)
            label = plain(shorten(row.label, 20))
            axes.annotate(label, place, (4, 3), textcoords="offset points", fontsize=6.5)
        axes.set_xlabel(axis_title(fronts.content))
        axes.set_ylabel(axis_title(fronts.style))
        finish_error_axes(axes)
        figure.legend(loc="outside right upper", frameon=False)


def save_convergence(methods: Sequence[MethodCurves], path: Path, format: str) -> None:
    """Write a figure of two panels, loss against steps and against seconds.

    A line is a median over pairs, a band the range between the quartiles.

    Args:
        methods: loss curves per method; only the first :data:`MAX_DRAWN` are drawn.
        path: file to write.
        format: ``"png"``, ``"svg"`` or ``"pdf"`` (see :func:`saved_figure`).
    """
    with saved_figure(path, format, (7.2, 3.3)) as figure:
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axes, axis in zip(panels, AXES, strict=True):
            for i, method in enumerate(methods[:MAX_DRAWN]):
                grid, (low, median, high) = method.quartiles(axis)
                style = {**line_style(i), "marker": ""}
                label = plain(shorten(method.label, 32)) if axis == AXES[0] else None
                axes.plot(grid, median, **style, linewidth=1.3, label=label)
                axes.fill_between(grid, low, high, color=style["color"], alpha=0.14, linewidth=0)
            axes.set_yscale("log")
            axes.set_ylim(top=min(axes.get_ylim()[1], loss_limit(methods[:MAX_DRAWN])))
            axes.set_xlabel(axis)
        panels[0].set_ylabel("loss / first loss")
        figure.legend(loc="outside right upper", frameon=False)


def save_costs(costs: Sequence[Cost], path: Path, format: str) -> None:
    """Write a figure of the total time for N pictures in a new style, with break-even points.

    Args:
        costs: costs per method; a method that is never the cheapest gets a thin line.
        path: file to write.
        format: ``"png"``, ``"svg"`` or ``"pdf"`` (see :func:`saved_figure`).
    """
    ranges = cheapest_ranges(list(costs))
    order = list(dict.fromkeys(r.cost.label for r in ranges))
    counts = np.geomspace(1, MAX_PICTURES, 101)
    with saved_figure(path, format, (6.4, 3.6)) as figure:
        axes = figure.subplots()
        for cost in sorted(costs, key=lambda c: c.label in order):
            style: dict[str, Any] = {"color": "#999999", "linewidth": 0.7}
            if cost.label in order:
                style = {**line_style(order.index(cost.label)), "marker": "", "linewidth": 1.5}
            label = plain(shorten(cost.label, 32))
            axes.plot(counts, cost.seconds(counts), **style, label=label)
        for cheapest in ranges[1:]:
            place = (cheapest.start, cheapest.cost.seconds(cheapest.start))
            axes.plot(*place, "o", color="black", markersize=3.5)
            count = f"{math.ceil(cheapest.start):,}".replace(",", "\u2009")
            axes.annotate(count, place, (3, -9), textcoords="offset points", fontsize=6.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("pictures in one new style")
        axes.set_ylabel("total time (s)")
        # in the order of the right ends of the lines, so that thin lines can be identified
        lines = {str(line.get_label()): line for line in axes.lines}
        dearest = sorted(costs, key=lambda c: -c.seconds(MAX_PICTURES))
        names = [plain(shorten(c.label, 32)) for c in dearest]
        handles = [lines[name] for name in names]
        figure.legend(handles=handles, loc="outside right upper", frameon=False)


def _draw(axes: Axes, fronts: Fronts, front: Front, index: int) -> None:
    style = line_style(index)
    for point in front.points:
        x, y = point.row.of(fronts.content), point.row.of(fronts.style)
        axes.errorbar(
            x.value, y.value, xerr=error_bar(x), yerr=error_bar(y), fmt="none",
            ecolor=style["color"], elinewidth=0.6, alpha=0.35,
        )  # fmt: skip
    label = plain(shorten(front.label, 32))
    for points, line in ((front.curve, style["linestyle"]), (front.points, "none")):
        xs = [point.row.of(fronts.content).value for point in points]
        ys = [point.row.of(fronts.style).value for point in points]
        # only the line is in the legend
        named = label if line != "none" else None
        axes.plot(xs, ys, **{**style, "linestyle": line}, linewidth=1.3, markersize=4, label=named)
