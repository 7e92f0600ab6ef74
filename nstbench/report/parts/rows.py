"""The leaderboard as report sections read it: rows with labels, prices and ranks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nstbench.analysis.robustness import pareto_front
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard, MetricCard
from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers

STRETCH = 1.6
"""A baseline that makes a chart's range so many times larger is drawn at its edge."""


ENOUGH = 0.9
"""Share of its pairs that a method must have done to be called best: few may be easy ones."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """True if the number itself is there."""
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        """True if both ends of the interval are there."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def over(self, divisor: float) -> Interval:
        """Return the interval in a unit that is ``divisor`` times as large."""
        return Interval(self.value / divisor, self.low / divisor, self.high / divisor)

    def narrow(self) -> tuple[str, str]:
        """Return ("0.532", "0.50–0.56") for narrow columns; no second text without an interval."""
        value = numbers.significant(self.value)
        if not self.bounded:
            return value, ""
        low, high = (numbers.significant(end, 2) for end in (self.low, self.high))
        return value, f"{low} to {high}" if self.low < 0 else f"{low}–{high}"

    def text(self, unit: str = "") -> str:
        """Return "0.532 [0.501, 0.560]" with the unit where it has one."""
        value = numbers.quantity(self.value, unit)
        if not self.bounded:
            return value
        ends = [numbers.quantity(end, unit) for end in (self.low, self.high)]
        return f"{value} [{ends[0]}, {ends[1]}]"


@dataclass(frozen=True)
class Row:
    """One row of the leaderboard: a method variant at one size.

    ``id`` is safe in HTML attributes and links; ``label`` is what people read and
    carries the size only if the run has more than one; ``ranks`` are the first and the last
    that the data allow, NaN without a rank.
    """

    id: str
    method: str
    label: str
    flexibility: str
    size: int
    rank: str
    ranks: tuple[float, float]
    coverage: str
    done: int
    planned: int
    values: dict[str, Interval]

    @property
    def baseline(self) -> bool:
        """True for trivial answers that every board carries."""
        return self.flexibility == Flexibility.BASELINE

    @property
    def complete(self) -> bool:
        """True if every planned unit was done."""
        return self.planned > 0 and self.done == self.planned

    def mark(self, limit: int) -> str:
        """Return the label for a mark in a chart, with the coverage if it is not whole."""
        text = short(self.label, limit)
        return text if self.complete else f"{text} ({self.coverage})"

    def loss(self, metric: MetricCard) -> float:
        """Return the value of a metric turned so that small is good."""
        value = self.of(metric).value
        return -value if metric.higher_is_better else value

    def of(self, metric: MetricCard | None) -> Interval:
        """Return the row's value of a metric, NaN if it was not measured."""
        return self.values.get(metric.name, Interval(math.nan)) if metric else Interval(math.nan)


def method_ids(board: Board) -> dict[str, str]:
    """Return variant label -> "m0", "m1", ...: short names that need no escaping."""
    known = list(board.methods)
    extra = [m for m in board.leaderboard["method"].unique() if m not in board.methods]
    return {name: f"m{i}" for i, name in enumerate([*known, *extra])}


def short(label: str, limit: int = 28) -> str:
    """Return a label cut in the middle, where the differing ends of long names survive."""
    if len(label) <= limit:
        return label
    head = (limit - 1) * 2 // 3
    return f"{label[:head]}…{label[-(limit - 1 - head) :]}"


def measured_metrics(board: Board) -> list[MetricCard]:
    """Return the metrics that have at least one number on the board, in table order."""
    columns = board.leaderboard.columns
    return [
        card
        for card in board.metrics.values()
        if card.name in columns and board.leaderboard[card.name].notna().any()
    ]


def rows(board: Board) -> list[Row]:
    """Return the rows of the leaderboard, best first."""
    ids = method_ids(board)
    several = board.leaderboard["size"].nunique() > 1
    metrics = measured_metrics(board)
    return [_row(record, ids, metrics, several) for record in board.leaderboard.to_dict("records")]


def _row(record: dict, ids: dict[str, str], metrics: list[MetricCard], several: bool) -> Row:
    values = {m.name: interval_of(record, m.name) for m in metrics}
    method, size = str(record["method"]), int(record["size"])
    return Row(
        id=ids[method],
        method=method,
        label=f"{method} · {size} px" if several else method,
        flexibility=str(record["flexibility"]),
        size=size,
        rank=rank_text(record),
        ranks=(_float(record.get("rank_low")), _float(record.get("rank_high"))),
        coverage=str(record["coverage"]),
        done=int(record["done"]),
        planned=int(record["planned"]),
        values=values,
    )


def interval_of(record: Mapping[Any, Any], name: str) -> Interval:
    """Return the number of a metric with its limits from a record of the leaderboard."""
    return Interval(*(_float(record.get(f"{name}{end}")) for end in ("", "_low", "_high")))


def rank_text(record: Mapping[Any, Any]) -> str:
    """Return "2", or "1–3" for methods that cannot be separated, or a dash without a rank."""
    rank, low, high = (_float(record.get(k)) for k in ("rank", "rank_low", "rank_high"))
    if math.isnan(low) or math.isnan(high):
        return numbers.DASH if math.isnan(rank) else f"{rank:.0f}"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def middle_half(board: Board, row: Row, speed: MetricCard | None) -> Interval | None:
    """Return a row's latency with the quartiles of its timed calls.

    Returns ``None`` where the board's speed is not the median of the calls, or where there
    are too few of them for quartiles.
    """
    value = row.of(speed).value
    for timing in board.timings:
        if (timing.variant, timing.size) == (row.method, row.size) and len(timing.latency) > 2:
            low, median, high = statistics.quantiles(timing.latency, n=4, method="inclusive")
            if math.isclose(median, value):
                return Interval(value, low, high)
    return None


def is_home(method: MethodCard | None, metric: MetricCard) -> bool:
    """Return True if the method optimises what the metric measures."""
    return method is not None and bool(set(method.trained_on) & set(metric.home_for))


def main_size(board: Board) -> int:
    """Return the image size that answers in words refer to: most work done, then largest."""
    done = board.leaderboard.groupby("size")["done"].sum()
    return int(max(done.index, key=lambda size: (done[size], size))) if len(done) else 0


def span(rows: Sequence[Row], metric: MetricCard) -> tuple[float, float]:
    """Return the range of a metric that a chart should show.

    It holds the methods with their intervals and the baselines without theirs, except
    baselines so far off that they would press everything else into a corner
    (:data:`STRETCH`): those are drawn at the edge.
    """
    known = [(row.baseline, row.of(metric)) for row in rows if row.of(metric).known]
    methods = [
        end
        for baseline, i in known
        for end in ((i.low, i.value, i.high) if i.bounded else (i.value,))
        if not baseline
    ]
    baselines = [interval.value for baseline, interval in known if baseline]
    shown = [*methods, *baselines]
    if not methods:
        return (min(shown), max(shown)) if shown else (0.0, 0.0)
    for far in sorted(baselines, key=lambda v: -max(min(methods) - v, v - max(methods))):
        rest = list(shown)
        rest.remove(far)
        width, without = max(shown) - min(shown), max(rest) - min(rest)
        if len(rest) < 3 or width <= STRETCH * without:
            break
        shown = rest
    return min(shown), max(shown)


def contest(rows: Iterable[Row], *metrics: MetricCard | None) -> list[Row]:
    """Return the rows among which one is best: methods with all these numbers, baselines apart.

    Those that did less than :data:`ENOUGH` of their pairs take no part, unless all did.
    """
    known = [r for r in rows if not r.baseline and all(r.of(m).known for m in metrics)]
    return [r for r in known if r.done >= ENOUGH * r.planned] or known


def by_size(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each size, small sizes first: a board ranks each size apart."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.size, []).append(row)
    return [groups[size] for size in sorted(groups)]


def ordered_by(board: Board) -> str:
    """Say in a sentence what orders the board instead of its quality metric; empty if it does."""
    quality, wanted = board.quality, board.metric_with_role("quality")
    if quality is None or wanted is None or quality == wanted:
        return ""
    reason = wanted.availability.reason or "nothing was scored with it"
    return f"Ordered by {quality.title}, because {wanted.title} has no value here: {reason}."


def front(rows: Sequence[Row], first: MetricCard, second: MetricCard) -> list[Row]:
    """Return the methods of a size's contest that no other beats, best ``first`` first."""
    rivals = contest(rows, first, second)
    frame = pd.DataFrame(
        [(r.of(first).value, r.of(second).value) for r in rivals], columns=["first", "second"]
    )
    axes = {"first": first.higher_is_better, "second": second.higher_is_better}
    members = pareto_front(frame, axes)
    kept = [row for row, member in zip(rivals, members, strict=True) if member]
    return sorted(kept, key=lambda row: row.loss(first))


def pair_values(board: Board, metric: MetricCard | None) -> pd.DataFrame:
    """Return the whole values of a pair metric: method, content, style, size, seed, value."""
    if metric is None:
        return board.scores.iloc[:0]
    scores = board.scores
    return scores[(scores["metric"] == metric.name) & (scores["part"] == "")]


def classes_present(rows: Iterable[Row]) -> list[str]:
    """Return the flexibility classes among the rows, baselines last."""
    present = {row.flexibility for row in rows}
    order = sorted(Flexibility, key=lambda f: f == Flexibility.BASELINE)
    return [f.value for f in order if f.value in present]


def _float(value: object) -> float:
    return math.nan if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]
