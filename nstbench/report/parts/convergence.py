"""Loss curves: read from traces, and summarised over pairs or checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nstbench.core.board import Board
from nstbench.core.records import Status
from nstbench.plan.study import Study, StudyVariant, shown
from nstbench.report.parts.fronts import study_of
from nstbench.report.parts.rows import main_size, method_ids

MAX_READ = 12
"""Most traces read per method, evenly spaced over its pairs."""

POINTS = 80
"""Points per drawn curve."""

MAX_DRAWN = 8
"""Most methods per chart; the table lists all of them."""

NEAR = 0.05
"""A curve has settled once its distance to its last value stays within this share of its fall."""

HEADROOM = 2.0
"""The loss axis ends at this multiple of the first loss, unless a curve ends higher."""

AXES = ("steps", "seconds")

Floats = NDArray[np.float64]
Losses = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Curve:
    """One loss curve: arrays of equal length (N,), the loss as a share of its first value."""

    steps: Floats
    seconds: Floats
    loss: Floats

    def over(self, axis: str) -> Floats:
        """Return the abscissa for an axis of :data:`AXES`."""
        return self.steps if axis == "steps" else self.seconds

    def settled(self) -> int:
        """Return the first index from which the curve stays near its last value."""
        room = NEAR * abs(float(self.loss[0] - self.loss[-1])) + 1e-12
        away = np.flatnonzero(np.abs(self.loss - self.loss[-1]) > room)
        return int(away[-1]) + 1 if len(away) else 0


@dataclass(frozen=True, eq=False)
class MethodCurves:
    """The curves of one method, study series or loss.

    Attributes:
        key: the method's id on the page.
        label: name in legends and tables.
        curves: one curve per pair or checkpoint.
    """

    key: str
    label: str
    curves: list[Curve]

    def quartiles(self, axis: str) -> tuple[Floats, Floats]:
        """Return a common grid (POINTS,) and the quartiles of the loss on it (3, POINTS).

        The grid ends at the median of the curves' ends. A shorter curve keeps its last value.
        """
        start = float(np.median([c.over(axis)[0] for c in self.curves]))
        end = float(np.median([c.over(axis)[-1] for c in self.curves]))
        grid = np.linspace(start, max(start, end), POINTS)
        each = [np.interp(grid, c.over(axis), c.loss) for c in self.curves]
        return grid, np.quantile(each, [0.25, 0.5, 0.75], axis=0)


def method_curves(board: Board) -> list[MethodCurves]:
    """Return the loss curves of all methods with traces.

    A study has one entry per series, from the variant in the middle of the series: the
    variants of a series minimise different losses, so their curves cannot be averaged.
    """
    ids = method_ids(board)
    study = study_of(board)
    names = {} if study is None else {v.label: v.series for v in middle_variants(study)}
    omitted = set() if study is None else {v.label for v in study.variants()} - names.keys()
    size = main_size(board)
    done = board.units[(board.units["status"] == Status.DONE) & (board.units["size"] == size)]
    methods = []
    for method, units in done[~done["method"].isin(omitted)].groupby("method", sort=False):
        keys = list(units["key"])
        every = max(1, len(keys) // MAX_READ)
        read = [curve(board.trace(key)) for key in keys[::every][:MAX_READ]]
        curves = [each for each in read if each is not None]
        if curves:
            label = names.get(str(method), str(method))
            methods.append(MethodCurves(ids[str(method)], label, curves))
    return methods


def loss_limit(drawn: Sequence[MethodCurves]) -> float:
    """Return the upper end of the loss axis.

    A line search can increase the loss a thousandfold for one step. The limit keeps such a
    spike from flattening the other curves.
    """
    return max(HEADROOM, *(float(np.median([c.loss[-1] for c in one.curves])) for one in drawn))


def middle_variants(study: Study) -> list[StudyVariant]:
    """Return the middle variant of each series of a study."""
    variants = study.variants()
    series = [[v for v in variants if v.series == label] for label in study.series_labels()]
    return [members[len(members) // 2] for members in series]


def traced_note(board: Board) -> str:
    """Return the traced values at which a study's curves are drawn; empty if there are none."""
    study = study_of(board)
    if study is None or not study.traced:
        return ""
    values = list(dict.fromkeys(shown(v.value) for v in middle_variants(study)))
    more = " (the middle of each curve)" if len(values) > 1 else ""
    return f"{study.traced} = {' or '.join(values)}{more}"


def curve(trace: Iterable[Losses], name: str = "") -> Curve | None:
    """Return one loss of a trace as a curve.

    Args:
        trace: rows with ``step``, ``seconds`` and losses.
        name: the loss; the total if empty.

    Returns:
        ``None`` if there are fewer than two finite values or the first one is not positive.

    Example:
        >>> rows = [{"step": i, "seconds": i / 10, "total": 8.0 / 4**i} for i in (0, 1)]
        >>> curve(rows).loss.tolist()
        [1.0, 0.25]
    """
    rows = [
        (row.get("step"), row.get("seconds"), row.get(name) if name else _total(row))
        for row in trace
    ]
    finite = [r for r in rows if all(isinstance(v, int | float) and math.isfinite(v) for v in r)]
    if len(finite) < 2:
        return None
    steps, seconds, loss = np.asarray(finite, dtype=np.float64).T
    return Curve(steps, seconds, loss / loss[0]) if loss[0] > 0 else None


def _total(row: Losses) -> float | None:
    losses = [v for k, v in row.items() if k not in {"step", "seconds", "total"} and v is not None]
    return row.get("total", sum(losses) if losses else None)
