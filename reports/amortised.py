"""Amortised cost: what N pictures in a new style cost, training and preparation included."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import numbers, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.costs import MOST, Cost, Reign, costs_of, envelope, unknown_costs
from nstbench.report.parts.scale import Scale

LABELS = 20
"""Lines that get a name; those that are cheapest somewhere come first."""


class Amortised(Section):
    """Line chart of cost against the number of pictures, with break-even points."""

    info: ClassVar[SectionInfo] = SectionInfo("Cost of a new style", "html", order=40)

    def html(self, board: Board) -> str:
        """Return the chart; empty if no method was timed."""
        costs = costs_of(board)
        if not costs:
            return ""
        reigns = envelope(costs)
        return templates.render(
            "amortised.html",
            chart=svg.responsive(lambda w, h: _chart(w, h, costs, reigns)),
            sentences=_sentences(reigns),
            elsewhere=_elsewhere(costs),
            unknown=", ".join(tables.short(name, 40) for name in unknown_costs(board)),
            costs=sorted(costs, key=lambda c: c.seconds(1)),
            size=tables.main_size(board),
        )


def _sentences(reigns: list[Reign]) -> list[str]:
    if len(reigns) == 1:
        return [f"{tables.short(reigns[0].cost.label, 40)} is cheapest for any number of pictures."]
    lines = []
    for i, reign in enumerate(reigns):
        label = tables.short(reign.cost.label, 40)
        cost = numbers.seconds(reign.cost.seconds(math.ceil(reign.start)))
        if i == 0:
            lines.append(f"For a single picture {label} is cheapest ({cost}).")
        else:
            lines.append(
                f"From {_pictures(reign.start)} on {label} is cheaper ({cost} at that point)."
            )
    return lines


def _pictures(start: float) -> str:
    return f"{numbers.thousands(math.ceil(start))} pictures"


def _elsewhere(costs: list[Cost]) -> str:
    """Say which trainings ran on another processor than the pictures: seconds of two machines."""
    places: dict[str, list[str]] = {}
    for cost in costs:
        if cost.trained_on:
            places.setdefault(cost.trained_on, []).append(tables.short(cost.label, 40))
    return "; ".join(f"{', '.join(names)} on {place}" for place, names in places.items())


def _chart(width: int, height: int, costs: list[Cost], reigns: list[Reign]) -> svg.Canvas:
    ends = [c.seconds(n) for c in costs for n in (1, MOST)]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale(1, MOST, 60, width - (160 if width > 500 else 115), log=True),
        y=Scale.fit(ends, height - 48, 30, log=True),
        x_title="pictures in one new style",
        y_title="time in all, both axes logarithmic",
        name="Cost of a new style against the number of pictures",
        y_unit="s",
    )
    grid = [10 ** (i / 20) for i in range(int(20 * math.log10(MOST)) + 1)]
    order = list(dict.fromkeys(r.cost.key for r in reigns))
    for cost in sorted(costs, key=lambda c: c.key in order):
        place = order.index(cost.key) if cost.key in order else None
        css = "thin s4" if place is None else f"line s{place % 4} d{place % 4}"
        line = [(n, cost.seconds(n)) for n in grid]
        canvas.path(line, css)
        if place is not None:
            canvas.keep_clear(line)
    for before, reign in pairwise(reigns):
        if 1 <= reign.start <= MOST:
            at = reign.cost.seconds(reign.start)
            tip = [
                f"{reign.cost.label} becomes cheaper than {before.cost.label}",
                f"from {_pictures(reign.start)} on",
                f"both cost {numbers.seconds(at)} there",
            ]
            canvas.point(reign.start, at, "", "", tip, 5)
            canvas.label(reign.start, at, _pictures(reign.start))
    named = sorted(costs, key=lambda c: c.key not in order)[:LABELS]
    limit = 20 if width > 500 else 14
    canvas.end_labels([(c.seconds(MOST), tables.short(c.label, limit), c.key) for c in named])
    return canvas
