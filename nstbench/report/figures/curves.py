"""Curves as figures for documents: trade-offs, costs and convergence, drawn with Matplotlib."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nstbench.report.figures import tradeoff as figures
from nstbench.report.parts import rows as tables
from nstbench.report.parts.convergence import AXES, MOST, Course, top_of
from nstbench.report.parts.costs import MOST as MOST_PICTURES
from nstbench.report.parts.costs import Cost, envelope
from nstbench.report.parts.fronts import Front, Fronts

# The colour-blind safe palette of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666")
MARKERS = ("o", "^", "s", "D", "v")
DASHES = ("-", "--", ":", "-.")


def look(index: int) -> dict[str, Any]:
    """Return Matplotlib's arguments for the curve with this index; neighbours differ in all."""
    turn = index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[(index + turn) % len(MARKERS)],
        "linestyle": DASHES[(index + turn) % len(DASHES)],
    }


def save_fronts(found: Fronts, path: Path, kind: str) -> None:
    """Write content against style error, one curve per series with its intervals.

    Args:
        found: the curves.
        path: file to write.
        kind: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``; the same board gives the same bytes.
    """
    with _figure(path, kind, (6.4, 4.0)) as figure:
        axes = figure.subplots()
        for i, front in enumerate(found.fronts):
            _draw(axes, found, front, i)
        for row in found.others:
            marker, colour = figures.MARKS.get(row.flexibility, ("o", "black"))
            place = (row.of(found.content).value, row.of(found.style).value)
            axes.plot(*place, marker, color=colour, markersize=4)
            label = figures.plain(tables.short(row.label, 20))
            axes.annotate(label, place, (4, 3), textcoords="offset points", fontsize=6.5)
        axes.set_xlabel(figures.axis_title(found.content))
        axes.set_ylabel(figures.axis_title(found.style))
        figures.finish_errors(axes)
        figure.legend(loc="outside right upper", frameon=False)


def save_convergence(courses: Sequence[Course], path: Path, kind: str) -> None:
    """Write loss against steps beside loss against seconds, with bands of the middle half.

    Args:
        courses: what to draw; those after the first :data:`convergence.MOST` are left out.
        path: file to write.
        kind: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``; the same board gives the same bytes.
    """
    with _figure(path, kind, (7.2, 3.3)) as figure:
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axes, axis in zip(panels, AXES, strict=True):
            for i, course in enumerate(courses[:MOST]):
                grid, (low, median, high) = course.quartiles(axis)
                style = {**look(i), "marker": ""}
                label = figures.plain(tables.short(course.label, 32)) if axis == AXES[0] else None
                axes.plot(grid, median, **style, linewidth=1.3, label=label)
                axes.fill_between(grid, low, high, color=style["color"], alpha=0.14, linewidth=0)
            axes.set_yscale("log")
            axes.set_ylim(top=min(axes.get_ylim()[1], top_of(courses[:MOST])))
            axes.set_xlabel(axis)
        panels[0].set_ylabel("loss / first loss")
        figure.legend(loc="outside right upper", frameon=False)


def save_costs(costs: Sequence[Cost], path: Path, kind: str) -> None:
    """Write the time for N pictures in a new style, with the points where methods break even.

    Args:
        costs: what to draw; methods that are cheapest nowhere are drawn thin.
        path: file to write.
        kind: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``; the same board gives the same bytes.
    """
    reigns = envelope(list(costs))
    order = list(dict.fromkeys(r.cost.label for r in reigns))
    counts = np.geomspace(1, MOST_PICTURES, 101)
    with _figure(path, kind, (6.4, 3.6)) as figure:
        axes = figure.subplots()
        for cost in sorted(costs, key=lambda c: c.label in order):
            style: dict[str, Any] = {"color": "#999999", "linewidth": 0.7}
            if cost.label in order:
                style = {**look(order.index(cost.label)), "marker": "", "linewidth": 1.5}
            label = figures.plain(tables.short(cost.label, 32))
            axes.plot(counts, cost.seconds(counts), **style, label=label)
        for reign in reigns[1:]:
            place = (reign.start, reign.cost.seconds(reign.start))
            axes.plot(*place, "o", color="black", markersize=3.5)
            count = f"{math.ceil(reign.start):,}".replace(",", "\u2009")
            axes.annotate(count, place, (3, -9), textcoords="offset points", fontsize=6.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("pictures in one new style")
        axes.set_ylabel("time in all (s)")
        # from top to bottom like the lines' right ends, which tells the thin ones apart
        lines = {str(line.get_label()): line for line in axes.lines}
        dearest = sorted(costs, key=lambda c: -c.seconds(MOST_PICTURES))
        names = [figures.plain(tables.short(c.label, 32)) for c in dearest]
        handles = [lines[name] for name in names]
        figure.legend(handles=handles, loc="outside right upper", frameon=False)


@contextmanager
def _figure(path: Path, kind: str, inches: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure in the style of the others, and write it when it is drawn."""
    with matplotlib.rc_context(figures.STYLE), warnings.catch_warnings():
        # names may use scripts that Matplotlib's font lacks; boxes stand for them
        warnings.filterwarnings("ignore", message="(Glyph|Matplotlib currently)")
        figure = Figure(figsize=inches, layout="constrained")
        yield figure
        figure.savefig(path, format=kind, dpi=300, metadata=figures.DATES.get(kind))


def _draw(axes: Axes, found: Fronts, front: Front, index: int) -> None:
    style = look(index)
    for point in front.points:
        x, y = point.row.of(found.content), point.row.of(found.style)
        axes.errorbar(
            x.value, y.value, xerr=figures.reach(x), yerr=figures.reach(y), fmt="none",
            ecolor=style["color"], elinewidth=0.6, alpha=0.35,
        )  # fmt: skip
    label = figures.plain(tables.short(front.label, 32))
    for points, line in ((front.curve, style["linestyle"]), (front.points, "none")):
        xs = [point.row.of(found.content).value for point in points]
        ys = [point.row.of(found.style).value for point in points]
        # the marks of lone points carry no name of their own
        named = label if line != "none" else None
        axes.plot(xs, ys, **{**style, "linestyle": line}, linewidth=1.3, markersize=4, label=named)
