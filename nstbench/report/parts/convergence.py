"""Loss curves: read from traces, and averaged over pairs or checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nstbench.core.board import Board
from nstbench.core.records import Status
from nstbench.plan.study import Study, StudyVariant, shown
from nstbench.report.parts import rows as tables
from nstbench.report.parts.fronts import study_of

UNITS = 12
"""Curves read per method, evenly over its pairs."""

POINTS = 80
"""Points per drawn curve."""

MOST = 8
"""Courses per chart; a study that has more is drawn in part, and told whole in the table."""

NEAR = 0.05
"""A curve has settled once it stays within this share of its total fall from its end."""

HEADROOM = 2.0
"""The loss axis ends at this multiple of the first loss, unless a course ends higher."""

AXES = ("steps", "seconds")

Floats = NDArray[np.float64]
Losses = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Curve:
    """One loss curve, as a share of its own first value."""

    steps: Floats
    seconds: Floats
    loss: Floats

    def over(self, axis: str) -> Floats:
        """Return the steps or the seconds."""
        return self.steps if axis == "steps" else self.seconds

    def settled(self) -> int:
        """Return the first index from which the curve stays near its end."""
        room = NEAR * abs(float(self.loss[0] - self.loss[-1])) + 1e-12
        away = np.flatnonzero(np.abs(self.loss - self.loss[-1]) > room)
        return int(away[-1]) + 1 if len(away) else 0


@dataclass(frozen=True, eq=False)
class Course:
    """The curves of one method, setting or loss. ``key`` is the method's id on the page."""

    key: str
    label: str
    curves: list[Curve]

    def quartiles(self, axis: str) -> tuple[Floats, Floats]:
        """Return a common grid (POINTS,) and the quartiles of the loss on it (3, POINTS).

        The grid ends where the median curve does; a curve that has ended keeps its last value.
        """
        start = float(np.median([c.over(axis)[0] for c in self.curves]))
        end = float(np.median([c.over(axis)[-1] for c in self.curves]))
        grid = np.linspace(start, max(start, end), POINTS)
        each = [np.interp(grid, c.over(axis), c.loss) for c in self.curves]
        return grid, np.quantile(each, [0.25, 0.5, 0.75], axis=0)


def courses(board: Board) -> list[Course]:
    """Return the courses of all methods that left traces; of a study, one per curve.

    Along a curve of a study the loss changes its meaning; the middle point stands for it.
    """
    ids = tables.method_ids(board)
    study = study_of(board)
    names = {} if study is None else {v.label: v.series for v in middle_variants(study)}
    left_out = set() if study is None else {v.label for v in study.variants()} - names.keys()
    size = tables.main_size(board)
    done = board.units[(board.units["status"] == Status.DONE) & (board.units["size"] == size)]
    found = []
    for method, units in done[~done["method"].isin(left_out)].groupby("method", sort=False):
        keys = list(units["key"])
        every = max(1, len(keys) // UNITS)
        read = [curve(board.trace(key)) for key in keys[::every][:UNITS]]
        curves = [each for each in read if each is not None]
        if curves:
            label = names.get(str(method), str(method))
            found.append(Course(ids[str(method)], label, curves))
    return found


def top_of(drawn: Sequence[Course]) -> float:
    """Return where the loss axis ends.

    Line searches may overshoot a thousandfold for a step; that must not flatten the rest.
    """
    return max(HEADROOM, *(float(np.median([c.loss[-1] for c in one.curves])) for one in drawn))


def middle_variants(study: Study) -> list[StudyVariant]:
    """Return the middle variant of each curve of a study."""
    variants = study.variants()
    series = [[v for v in variants if v.series == label] for label in study.series_labels()]
    return [members[len(members) // 2] for members in series]


def traced_note(board: Board) -> str:
    """Say at which values a study's courses are drawn; empty if there is nothing to say."""
    study = study_of(board)
    if study is None or not study.traced:
        return ""
    values = list(dict.fromkeys(shown(v.value) for v in middle_variants(study)))
    more = " (the middle of each curve)" if len(values) > 1 else ""
    return f"{study.traced} = {' or '.join(values)}{more}"


def curve(trace: Iterable[Losses], name: str = "") -> Curve | None:
    """Return a loss of a trace (in all if unnamed); None if there is nothing to draw."""
    rows = [
        (row.get("step"), row.get("seconds"), row.get(name) if name else _total(row))
        for row in trace
    ]
    known = [r for r in rows if all(isinstance(v, int | float) and math.isfinite(v) for v in r)]
    if len(known) < 2:
        return None
    steps, seconds, loss = np.asarray(known, dtype=np.float64).T
    return Curve(steps, seconds, loss / loss[0]) if loss[0] > 0 else None


def _total(row: Losses) -> float | None:
    losses = [v for k, v in row.items() if k not in {"step", "seconds", "total"} and v is not None]
    return row.get("total", sum(losses) if losses else None)
