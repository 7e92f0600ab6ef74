"""Amortised cost: time for N pictures in a new style, with training and preparation."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.charts import svg
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import numbers, templates
from nstbench.report.parts.costs import (
    MAX_PICTURES,
    Cheapest,
    Cost,
    cheapest_ranges,
    costs_of,
    unknown_costs,
)
from nstbench.report.parts.rows import (
    main_size,
    shorten,
)

MAX_LABELS = 20
"""Largest number of labelled lines; the cheapest methods are labelled first."""


class Amortised(Section):
    """Line chart of time against the number of pictures, with break-even points."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Cost of a new style",
        order=40,
        files={"pdf": "costs.pdf", "png": "costs.png", "svg": "costs.svg"},
    )

    def html(self, board: Board) -> str:
        """Return chart and table; empty if no method was timed."""
        costs = costs_of(board)
        if not costs:
            return ""
        ranges = cheapest_ranges(costs)
        return templates.render(
            "amortised.html",
            chart=svg.responsive(lambda w, h: _chart(w, h, costs, ranges)),
            sentences=_sentences(ranges),
            other_devices=_other_devices(costs),
            unknown=", ".join(shorten(name, 40) for name in unknown_costs(board)),
            costs=sorted(costs, key=lambda c: c.seconds(1)),
            size=main_size(board),
        )

    def applies(self, board: Board) -> bool:
        """Return True if a method was timed."""
        return bool(costs_of(board))

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.report.figures.curves import save_costs

        save_costs(costs_of(board), path, format)


def _sentences(ranges: list[Cheapest]) -> list[str]:
    if len(ranges) == 1:
        return [f"{shorten(ranges[0].cost.label, 40)} is fastest for any number of pictures."]
    lines = []
    for i, cheapest in enumerate(ranges):
        label = shorten(cheapest.cost.label, 40)
        cost = numbers.seconds(cheapest.cost.seconds(math.ceil(cheapest.start)))
        if i == 0:
            lines.append(f"For one picture, {label} is fastest ({cost}).")
        else:
            lines.append(
                f"From {_pictures(cheapest.start)} on, {label} is fastest ({cost} at that number)."
            )
    return lines


def _pictures(start: float) -> str:
    return f"{numbers.thousands(math.ceil(start))} pictures"


def _other_devices(costs: list[Cost]) -> str:
    """Return the methods whose training and latency were timed on different devices."""
    devices: dict[str, list[str]] = {}
    for cost in costs:
        if cost.trained_on:
            devices.setdefault(cost.trained_on, []).append(shorten(cost.label, 40))
    return "; ".join(f"{', '.join(names)} on {device}" for device, names in devices.items())


def _chart(width: int, height: int, costs: list[Cost], ranges: list[Cheapest]) -> svg.Canvas:
    ends = [c.seconds(n) for c in costs for n in (1, MAX_PICTURES)]
    canvas = svg.Canvas(
        width=width,
        height=height,
        x=Scale(1, MAX_PICTURES, 60, width - (160 if width > 500 else 115), log=True),
        y=Scale.fit(ends, height - 48, 30, log=True),
        x_title="pictures in one new style",
        y_title="total time, both axes logarithmic",
        name="Total time against the number of pictures in a new style",
        y_unit="s",
    )
    grid = [10 ** (i / 20) for i in range(int(20 * math.log10(MAX_PICTURES)) + 1)]
    order = list(dict.fromkeys(r.cost.key for r in ranges))
    for cost in sorted(costs, key=lambda c: c.key in order):
        rank = order.index(cost.key) if cost.key in order else None
        css = "thin s4" if rank is None else f"line s{rank % 4} d{rank % 4}"
        line = [(n, cost.seconds(n)) for n in grid]
        canvas.path(line, css)
        if rank is not None:
            canvas.keep_clear(line)
    for before, cheapest in pairwise(ranges):
        if 1 <= cheapest.start <= MAX_PICTURES:
            at = cheapest.cost.seconds(cheapest.start)
            tip = [
                f"{cheapest.cost.label} becomes faster than {before.cost.label}",
                f"from {_pictures(cheapest.start)} on",
                f"both take {numbers.seconds(at)}",
            ]
            canvas.point(cheapest.start, at, "", "", tip, 5)
            canvas.label(cheapest.start, at, _pictures(cheapest.start))
    named = sorted(costs, key=lambda c: c.key not in order)[:MAX_LABELS]
    limit = 20 if width > 500 else 14
    canvas.end_labels([(c.seconds(MAX_PICTURES), shorten(c.label, limit), c.key) for c in named])
    return canvas
