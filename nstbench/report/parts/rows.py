"""The leaderboard as rows: labels, intervals and ranks, for report sections."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nstbench.analysis.robustness import pareto_front
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard, MetricCard
from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers

STRETCH = 1.6
"""A baseline is drawn at the edge of a chart if it would widen the range by this factor."""

ENOUGH = 0.9
"""Share of its pairs that a method needs to be called best; fewer pairs may be the easy ones."""


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; NaN stands for a missing number or end.

    Example:
        >>> Interval(0.532, 0.501, 0.56).text()
        '0.532 [0.501, 0.560]'
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """True if the number was measured."""
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        """True if the interval has both ends."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def over(self, divisor: float) -> Interval:
        """Return the interval in a unit that is larger by the factor ``divisor``."""
        return Interval(self.value / divisor, self.low / divisor, self.high / divisor)

    def narrow(self) -> tuple[str, str]:
        """Return ("0.532", "0.50–0.56") for narrow columns; the second text may be empty."""
        value = numbers.significant(self.value)
        if not self.bounded:
            return value, ""
        low, high = (numbers.significant(end, 2) for end in (self.low, self.high))
        return value, f"{low} to {high}" if self.low < 0 else f"{low}–{high}"

    def text(self, unit: str = "") -> str:
        """Return the number with its interval and unit, such as "12 ms [10 ms, 15 ms]"."""
        value = numbers.quantity(self.value, unit)
        if not self.bounded:
            return value
        ends = [numbers.quantity(end, unit) for end in (self.low, self.high)]
        return f"{value} [{ends[0]}, {ends[1]}]"


@dataclass(frozen=True)
class Row:
    """One row of the leaderboard: a method variant at one size.

    Attributes:
        id: name of the method that is safe in HTML attributes and links.
        method: label of the variant.
        label: text for readers; includes the size if the run has several sizes.
        flexibility: flexibility class.
        size: image size in pixels.
        rank: rank or range of ranks as text.
        ranks: first and last rank that the data allow; NaN without a rank.
        coverage: done and planned units as text, such as ``"8/9"``.
        done: number of done units.
        planned: number of planned units.
        values: metric name -> value with interval.
        covered: metric name -> units with a value and planned units as text, for metrics that
            lack values of done units.
        seeds: metric name -> standard deviation of the value over seeds, if there are several.
        counts: metric name -> pairs that are better than the trivial answers, as "12 of 14", for
            a metric that counts them.
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
    covered: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)

    @property
    def baseline(self) -> bool:
        """True for the trivial methods in the class ``baseline``."""
        return self.flexibility == Flexibility.BASELINE

    @property
    def complete(self) -> bool:
        """True if every planned unit is done."""
        return self.planned > 0 and self.done == self.planned

    def mark(self, limit: int) -> str:
        """Return the label for a chart, shortened to ``limit``, plus the coverage if incomplete."""
        text = shorten(self.label, limit)
        return text if self.complete else f"{text} ({self.coverage})"

    def loss(self, metric: MetricCard) -> float:
        """Return the value of a metric with its sign chosen so that lower is better."""
        value = self.of(metric).value
        return -value if metric.higher_is_better else value

    def share(self, metric: MetricCard | None) -> float:
        """Return the share of the planned units with a value of the metric."""
        text = self.covered.get(metric.name, "") if metric else ""
        count = int(text.partition("/")[0]) if text else self.done
        return count / max(1, self.planned)

    def text(self, metric: MetricCard | None) -> str:
        """Return the value with its interval, such as "12 of 14 pairs (0.86 [0.64, 0.98])"."""
        if metric is None or not self.of(metric).known:
            return numbers.DASH
        divisor, unit = numbers.scaled(metric.unit)
        text = self.of(metric).over(divisor).text(unit)
        count = self.counts.get(metric.name)
        return f"{count} pairs ({text})" if count else text

    def of(self, metric: MetricCard | None) -> Interval:
        """Return the row's value of a metric; NaN if it was not measured."""
        return self.values.get(metric.name, Interval(math.nan)) if metric else Interval(math.nan)


def method_ids(board: Board) -> dict[str, str]:
    """Return variant label -> "m0", "m1", ...: short ids that need no escaping."""
    labels = list(board.methods)
    extra = [m for m in board.leaderboard["method"].unique() if m not in board.methods]
    return {name: f"m{i}" for i, name in enumerate([*labels, *extra])}


def shorten(label: str, limit: int = 28) -> str:
    """Return a label with its middle replaced by "…" if it is longer than ``limit``.

    Both ends stay, because long labels usually differ at the ends.

    Example:
        >>> shorten("gatys_2015:iterations=500", 16)
        'gatys_2015…s=500'
    """
    if len(label) <= limit:
        return label
    head = (limit - 1) * 2 // 3
    return f"{label[:head]}…{label[-(limit - 1 - head) :]}"


def measured_metrics(board: Board) -> list[MetricCard]:
    """Return the metrics with at least one number on the board, in table order."""
    columns = board.leaderboard.columns
    return [
        card
        for card in board.metrics.values()
        if card.name in columns and board.leaderboard[card.name].notna().any()
    ]


def measured_gains(board: Board) -> list[MetricCard]:
    """Return the cards of the gains over trivial answers that the board has, in table order."""
    columns = board.leaderboard.columns
    gains = (card.gain for card in board.metrics.values() if card.ideal)
    return [
        card
        for card in gains
        if card.name in columns and board.leaderboard[card.name].notna().any()
    ]


def leaderboard_rows(board: Board) -> list[Row]:
    """Return the rows of the leaderboard, best first."""
    ids = method_ids(board)
    several = board.leaderboard["size"].nunique() > 1
    metrics = [*measured_metrics(board), *measured_gains(board)]
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
        covered={m.name: text for m in metrics if (text := coverage_of(record, m.name))},
        seeds={m.name: spread_of(record, m.name) for m in metrics if f"{m.name}_seeds" in record},
        counts={m.name: text for m in metrics if (text := count_of(record, m.name))},
    )


def interval_of(record: Mapping[Any, Any], name: str) -> Interval:
    """Return the value and interval of a metric from a record of the leaderboard."""
    return Interval(*(_float(record.get(f"{name}{end}")) for end in ("", "_low", "_high")))


def coverage_of(record: Mapping[Any, Any], name: str) -> str:
    """Return the units with a value of a metric, as "4/6", if done units lack it; else empty."""
    value = record.get(f"{name}_coverage")
    return value if isinstance(value, str) else ""


def count_of(record: Mapping[Any, Any], name: str) -> str:
    """Return the pairs better than the trivial answers, as "12 of 14"; empty if not counted."""
    beaten, pairs = (_float(record.get(f"{name}_{end}")) for end in ("beaten", "pairs"))
    return f"{beaten:.0f} of {pairs:.0f}" if pairs > 0 else ""


def spread_of(record: Mapping[Any, Any], name: str) -> float:
    """Return the standard deviation of a metric over seeds; NaN with a single seed."""
    return _float(record.get(f"{name}_seeds"))


def rank_text(record: Mapping[Any, Any]) -> str:
    """Return "2", or "1–3" if the data allow several ranks, or a dash without a rank.

    Example:
        >>> rank_text({"rank": 2, "rank_low": 1, "rank_high": 3})
        '1–3'
    """
    rank, low, high = (_float(record.get(k)) for k in ("rank", "rank_low", "rank_high"))
    if math.isnan(low) or math.isnan(high):
        return numbers.DASH if math.isnan(rank) else f"{rank:.0f}"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def middle_half(board: Board, row: Row, speed: MetricCard | None) -> Interval | None:
    """Return a row's latency with the quartiles of its timed calls.

    Returns:
        ``None`` if the speed is not the median of the calls, or with fewer than three calls.
    """
    value = row.of(speed).value
    for timing in board.timings:
        if (timing.method, timing.size) == (row.method, row.size) and len(timing.latency) > 2:
            low, median, high = statistics.quantiles(timing.latency, n=4, method="inclusive")
            if math.isclose(median, value):
                return Interval(value, low, high)
    return None


def is_home(method: MethodCard | None, metric: MetricCard) -> bool:
    """Return True if the method optimises features that the metric measures."""
    return method is not None and bool(set(method.trained_on) & set(metric.home_for))


def main_size(board: Board) -> int:
    """Return the image size with the most done units, the larger one if equal; 0 without rows.

    Statements without a size refer to it.
    """
    done = board.leaderboard.groupby("size")["done"].sum()
    return int(max(done.index, key=lambda size: (done[size], size))) if len(done) else 0


def shown_range(rows: Sequence[Row], metric: MetricCard) -> tuple[float, float]:
    """Return the range of a metric that a chart shows.

    The range contains the methods with their intervals, and the values of the baselines. It
    omits a baseline that would widen it by more than :data:`STRETCH`; charts draw such a
    baseline at their edge.
    """
    cells = [(row.baseline, row.of(metric)) for row in rows if row.of(metric).known]
    methods = [
        end
        for baseline, i in cells
        for end in ((i.low, i.value, i.high) if i.bounded else (i.value,))
        if not baseline
    ]
    baselines = [interval.value for baseline, interval in cells if baseline]
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


def contenders(rows: Iterable[Row], *metrics: MetricCard | None) -> list[Row]:
    """Return the rows that can be called best: methods with all the metrics, no baselines.

    Rows with values of less than :data:`ENOUGH` of their pairs are omitted, unless that omits
    all rows.
    """
    measured = [r for r in rows if not r.baseline and all(r.of(m).known for m in metrics)]
    return [
        r for r in measured if min((r.share(m) for m in (None, *metrics)), default=1) >= ENOUGH
    ] or measured


def by_size(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows grouped by size, small sizes first; each size has its own ranking."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.size, []).append(row)
    return [groups[size] for size in sorted(groups)]


def ordered_by(board: Board) -> str:
    """Return a sentence on the metric that orders the board instead of the quality metric.

    It is empty if the quality metric orders the board.
    """
    quality, wanted = board.quality, board.metric_with_role("quality")
    if quality is None or wanted is None or quality == wanted:
        return ""
    reason = wanted.availability.reason or "no output was scored with it"
    return f"Ordered by {quality.title}, because {wanted.title} has no value here: {reason}."


def pareto_rows(rows: Sequence[Row], first: MetricCard, second: MetricCard) -> list[Row]:
    """Return the Pareto front of the contenders of one size, ordered by the metric ``first``."""
    methods = contenders(rows, first, second)
    frame = pd.DataFrame(
        [(r.of(first).value, r.of(second).value) for r in methods], columns=["first", "second"]
    )
    axes = {"first": first.higher_is_better, "second": second.higher_is_better}
    members = pareto_front(frame, axes)
    kept = [row for row, member in zip(methods, members, strict=True) if member]
    return sorted(kept, key=lambda row: row.loss(first))


def pair_values(board: Board, metric: MetricCard | None) -> pd.DataFrame:
    """Return the scores of a pair metric without its parts, one row per unit."""
    if metric is None:
        return board.scores.iloc[:0]
    scores = board.scores
    return scores[(scores["metric"] == metric.name) & (scores["part"] == "")]


def classes_present(rows: Iterable[Row]) -> list[str]:
    """Return the flexibility classes of the rows, baselines last."""
    present = {row.flexibility for row in rows}
    order = sorted(Flexibility, key=lambda f: f == Flexibility.BASELINE)
    return [f.value for f in order if f.value in present]


def _float(value: object) -> float:
    return math.nan if value is None or value is pd.NA else float(value)  # type: ignore[arg-type]
