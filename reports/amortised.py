"""Amortised cost: what N pictures in a new style cost, training and preparation included."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.records import Flexibility
from nstbench.reporting import numbers, svg, tables, templates

MOST = 100_000
"""Largest number of pictures on the axis."""

LABELS = 20
"""Lines that get a name; those that are cheapest somewhere come first."""

TRAINED_PER_STYLE = {Flexibility.PER_STYLE, Flexibility.MULTI_STYLE, Flexibility.DOMAIN}
"""Classes in which a new style means training again."""


@dataclass(frozen=True)
class Cost:
    """Seconds that a method takes: once per style, and per picture."""

    key: str
    label: str
    flexibility: str
    training: float
    prepare: float
    latency: float

    def seconds(self, pictures: float) -> float:
        """Return the seconds for so many pictures in one new style."""
        return self.training + self.prepare + pictures * self.latency


@dataclass(frozen=True)
class Reign:
    """The cheapest method from a number of pictures on."""

    cost: Cost
    start: float


class Amortised(Section):
    """Line chart of cost against the number of pictures, with break-even points."""

    info: ClassVar[SectionInfo] = SectionInfo("Cost of a new style", "html", order=40)

    def html(self, board: Board) -> str:
        """Return the chart; empty if no method was timed."""
        costs = _costs(board)
        if not costs:
            return ""
        reigns = _envelope(costs)
        return templates.render(
            "amortised.html",
            chart=svg.responsive(lambda w, h: _chart(w, h, costs, reigns)),
            sentences=_sentences(reigns),
            costs=sorted(costs, key=lambda c: c.seconds(1)),
            size=tables.main_size(board),
        )


def _costs(board: Board) -> list[Cost]:
    ids, size = tables.method_ids(board), tables.main_size(board)
    costs = []
    for timing in board.timings:
        card = board.methods.get(timing.variant)
        if card is None or card.flexibility == Flexibility.BASELINE:
            continue
        if timing.size != size or not timing.latency:
            continue
        costs.append(
            Cost(
                key=ids[timing.variant],
                label=timing.variant,
                flexibility=card.flexibility,
                training=timing.training if card.flexibility in TRAINED_PER_STYLE else 0.0,
                prepare=median(timing.prepare) if timing.prepare else 0.0,
                latency=median(timing.latency),
            )
        )
    return costs


def _envelope(costs: list[Cost]) -> list[Reign]:
    """Return who is cheapest from which number of pictures on, starting at one."""
    now = min(costs, key=lambda c: (c.seconds(1), c.latency))
    reigns = [Reign(now, 1.0)]
    while True:
        rivals = [(_break_even(now, c), c) for c in costs if c.latency < now.latency]
        if not rivals:
            return reigns
        start, now = min(rivals, key=lambda pair: (pair[0], pair[1].latency))
        reigns.append(Reign(now, start))


def _break_even(cheap_start: Cost, fast: Cost) -> float:
    """Return the number of pictures from which the faster method costs less."""
    return (fast.seconds(0) - cheap_start.seconds(0)) / (cheap_start.latency - fast.latency)


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
            count = numbers.thousands(math.ceil(reign.start))
            lines.append(f"From {count} pictures on {label} is cheaper ({cost} at that point).")
    return lines


def _chart(width: int, height: int, costs: list[Cost], reigns: list[Reign]) -> svg.Canvas:
    ends = [c.seconds(n) for c in costs for n in (1, MOST)]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=svg.Scale(1, MOST, 60, width - (150 if width > 500 else 105), log=True),
        y=svg.Scale.fit(ends, height - 48, 30, log=True),
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
        canvas.path([(n, cost.seconds(n)) for n in grid], css)
    for before, reign in pairwise(reigns):
        if 1 <= reign.start <= MOST:
            at = reign.cost.seconds(reign.start)
            tip = [
                f"{reign.cost.label} becomes cheaper than {before.cost.label}",
                f"from {math.ceil(reign.start)} pictures on",
                f"both cost {numbers.seconds(at)} there",
            ]
            canvas.point(reign.start, at, reign.cost.flexibility, "", tip)
    named = sorted(costs, key=lambda c: c.key not in order)[:LABELS]
    limit = 20 if width > 500 else 14
    canvas.end_labels([(c.seconds(MOST), tables.short(c.label, limit), c.key) for c in named])
    return canvas
