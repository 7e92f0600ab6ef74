"""Tests how a ranking changes with other norms, other metrics and other backbones.

Every function takes the tidy scores of :class:`nstbench.core.board.Board` in any row order,
ranks methods within each image size by means over shared units
(:func:`nstbench.analysis.stats.comparable_means`), and returns a tidy frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from nstbench.analysis import stats
from nstbench.analysis.score_table import Column, ScoreTable, pair_columns, score_tables
from nstbench.core.cards import MethodCard, MetricCard
from nstbench.core.records import CONTENT_OF, STYLE_OF

NORMS = (1.0, 2.0, 4.0, np.inf)
"""Exponents p of the norm that combines content and style error."""

DEFAULT_NORM = 1.0
"""The exponent of the universal error factor: the sum of both errors."""

WEIGHT_RATIOS = (0.5, 2 / 3, 1.0, 1.5, 2.0)
"""Weight of the content error over that of the style error; 1 is the default."""


def ranks(values: stats.Floats, higher_is_better: bool) -> stats.Floats:
    """Rank values (M,) from 1 = best; equal values share the mean of their ranks, NaN stays NaN.

    Example:
        >>> ranks(np.array([0.5, 0.1, np.nan, 0.5]), higher_is_better=True)
        array([1.5, 3. , nan, 1.5])
    """
    result = np.full(len(values), np.nan)
    finite = np.isfinite(values)
    result[finite] = stats.average_ranks(-values[finite] if higher_is_better else values[finite])
    return result


def tau(first: stats.Floats, second: stats.Floats) -> float:
    """Return Kendall's tau-b of two columns (n,) over common finite entries; NaN if undefined."""
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 2:
        return float("nan")
    from scipy.stats import kendalltau  # takes a second to import

    # SciPy's square roots make a perfect order one bit less than 1.
    return round(float(kendalltau(first[both], second[both]).statistic), 12)


def borda(scores: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Rank methods by how many others they beat, averaged over all pair metrics.

    A method's points on a metric are the share of the other methods that it beats. A tie
    counts one half, and a method without a score is beaten by all methods with a score. The
    Borda count is the mean of the points over the metrics (J.-C. de Borda, 1781, divided
    by its maximum). It needs no common unit. A property that several metrics measure counts
    several times; pass a selection of ``metrics`` for other weights.

    Returns:
        Columns ``size, method, points`` (in [0, 1], 1 is best; NaN for a single method)
        and ``rank`` (1 is best, ties share the mean rank), best first.
    """
    columns = pair_columns(metrics)
    frames = []
    for table in score_tables(scores, columns):
        points = [
            _points(stats.comparable_means(values, table.layout), metrics[name].higher_is_better)
            for (name, _), values in zip(columns, table.values, strict=True)
            if np.isfinite(values).any()
        ]
        if points:
            frames.append(_ranked(table, "points", np.mean(points, axis=0), True))
    return _stack(frames, ["size", "method", "points", "rank"])


def _points(means: stats.Floats, higher_is_better: bool) -> stats.Floats:
    """Return the share of the other methods that each method (M,) beats."""
    worst = -np.inf if higher_is_better else np.inf
    sign = -1 if higher_is_better else 1
    place = stats.average_ranks(sign * np.where(np.isfinite(means), means, worst))
    if len(means) < 2:
        return np.full(len(means), np.nan)
    return np.asarray((len(means) - place) / (len(means) - 1))


def pareto_front(frame: pd.DataFrame, axes: Mapping[str, bool]) -> pd.Series[bool]:
    """Return which rows are on the Pareto front: no row is as good on all axes and better on one.

    Args:
        frame: one row per candidate, for example the leaderboard of one size.
        axes: column -> whether higher is better.

    Returns:
        One bool per row of ``frame``, on its index. Rows that lack a number are not on the
        front; of rows with equal numbers, all or none are.

    Example:
        >>> frame = pd.DataFrame({"quality": [1.0, 2.0, 0.5], "seconds": [1.0, 3.0, 2.0]})
        >>> pareto_front(frame, {"quality": True, "seconds": False}).tolist()
        [True, True, False]
    """
    signs = np.array([-1.0 if higher else 1.0 for higher in axes.values()])
    costs = frame[list(axes)].to_numpy(dtype=np.float64, na_value=np.nan) * signs
    complete = np.isfinite(costs).all(axis=1)
    rivals = costs[complete]
    member = np.zeros(len(frame), dtype=bool)
    for row in np.flatnonzero(complete):
        no_worse = (rivals <= costs[row]).all(axis=1)
        better = (rivals < costs[row]).any(axis=1)
        member[row] = not (no_worse & better).any()
    return pd.Series(member, index=frame.index, dtype=bool)


def sensitivity(
    scores: pd.DataFrame, content_metric: str, style_metric: str, quality_metric: str = ""
) -> pd.DataFrame:
    """Rank methods under other ways to combine content and style error than their sum.

    Each unit's errors are combined as ((w_c c)^p + (w_s s)^p)^(1/p), w_c + w_s = 2, for p
    in :data:`NORMS` and w_c / w_s in :data:`WEIGHT_RATIOS`, and then averaged like any
    score. If the quality metric gives the errors of trivial answers
    (:data:`nstbench.core.records.CONTENT_OF`), each unit is divided by the least of its pair's
    answers under the same combination, the content copy with errors 0 and 1 among them.

    Returns:
        Columns ``size, p, ratio`` (w_c / w_s), ``method, value, rank`` and
        ``kendall_tau`` of the ranking with that of p = 1, ratio = 1 (the same for all
        methods of a setting; NaN for a single method).
    """
    answers = trivial_answers(scores, quality_metric)
    columns: list[Column] = [(content_metric, ""), (style_metric, "")]
    for answer in answers:
        columns += [(quality_metric, CONTENT_OF + answer), (quality_metric, STYLE_OF + answer)]
    frames = []
    for table in score_tables(scores, columns):
        default = _combined(table, DEFAULT_NORM, 1.0)
        for p, ratio in itertools.product(NORMS, WEIGHT_RATIOS):
            value = _combined(table, p, ratio)
            frame = _ranked(table, "value", value, False).assign(p=p, ratio=ratio)
            frames.append(frame.assign(kendall_tau=tau(default, value)))
    names = ["size", "p", "ratio", "method", "value", "rank", "kendall_tau"]
    return _stack(frames, names)


def trivial_answers(scores: pd.DataFrame, metric: str) -> list[str]:
    """Return the names of the trivial answers whose errors a metric gives as parts, sorted."""
    parts = set(scores.loc[scores["metric"] == metric, "part"])
    names = {part.removeprefix(CONTENT_OF) for part in parts if part.startswith(CONTENT_OF)}
    return sorted(name for name in names if STYLE_OF + name in parts)


def _combined(table: ScoreTable, p: float, ratio: float) -> stats.Floats:
    """Return means (M,) of the weighted p-norm of the two errors, over that of the best answer.

    The table's columns are content and style error of the outputs, then those of each answer.
    """
    weights = np.array([ratio, 1.0]) * 2 / (1 + ratio)
    halves = table.values.reshape(-1, 2, *table.values.shape[1:])
    norms = _norm(np.abs(halves) * weights[:, None, None], p)
    if len(norms) == 1:
        return stats.comparable_means(norms[0], table.layout)
    # The content copy's content error is 0, so its norm is its weighted style error.
    bar = np.fmin(norms[1:].min(axis=0), weights[1])
    return stats.comparable_means(norms[0] / bar, table.layout)


def _norm(halves: stats.Floats, p: float) -> stats.Floats:
    """Return the p-norm over the second axis."""
    return np.asarray(halves.max(axis=1) if np.isinf(p) else (halves**p).sum(axis=1) ** (1 / p))


def rank_correlation(scores: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Return rank correlations of pair metrics over all outputs of a run.

    Signs are chosen so that higher is better for every metric: +1 means that two metrics
    order outputs equally, -1 that they order them in reverse.

    Returns:
        One row per ordered pair of metrics and size, the diagonal included: ``size,
        metric, other, units`` (outputs with both scores), ``pairs`` (of content and style, with
        both scores of two methods or more), ``spearman`` and ``kendall`` (tau-b) over all
        outputs, and ``within``: Spearman's correlation of the ranks that the methods take on
        each of these pairs, which removes the difference in difficulty between pairs. Methods
        that lack a pair have no rank on it, and every rank is relative to the mean rank on its
        pair. Undefined correlations are NaN. ``pivot(index="metric", columns="other",
        values="spearman")`` is the matrix.
    """
    columns = pair_columns(metrics)
    rows = [
        row
        for table in score_tables(scores, columns)
        for row in _correlations(table, [metrics[name].higher_is_better for name, _ in columns])
    ]
    names = ["size", "metric", "other", "units", "pairs", "spearman", "kendall", "within"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.sort_values(["size", "metric", "other"], ignore_index=True)


def _correlations(
    table: ScoreTable, higher_is_better: list[bool]
) -> Iterator[tuple[int, str, str, int, int, float, float, float]]:
    """Yield the rows of one size, both orders of each pair of metrics."""
    signs = np.where(higher_is_better, 1.0, -1.0)[:, None, None]
    values = table.values * signs
    for i, j in itertools.combinations_with_replacement(range(len(values)), 2):
        both = np.isfinite(values[i]) & np.isfinite(values[j])
        x, y = values[i][both], values[j][both]
        spearman = _correlation(stats.average_ranks(x), stats.average_ranks(y))
        pairs, within = _within(values[i], values[j], both, table.layout)
        row = (int(both.sum()), pairs, spearman, tau(x, y), within)
        first, second = table.columns[i][0], table.columns[j][0]
        yield (table.size, first, second, *row)
        if i != j:
            yield (table.size, second, first, *row)


def _within(
    x: stats.Floats, y: stats.Floats, both: np.ndarray, layout: stats.Layout
) -> tuple[int, float]:
    """Correlate the ranks of methods within each unit for which two or more have both scores.

    Returns:
        The number of pairs with such a unit, and the correlation.
    """
    contested = both.sum(axis=0) >= 2
    if not contested.any():
        return 0, float("nan")
    pair = np.repeat(np.arange(len(layout.pair_starts)), layout.seeds())
    present = both[:, contested]
    first, second = (_centred_ranks(v[:, contested], present)[present] for v in (x, y))
    return len(np.unique(pair[contested])), _correlation(first, second)


def _centred_ranks(values: stats.Floats, present: np.ndarray) -> stats.Floats:
    """Return the ranks of the present rows of each column (M, U) minus the column's mean rank."""
    # Missing rows get infinity, so they rank after all present ones.
    filled = np.where(present, values, np.inf)
    place = np.apply_along_axis(stats.average_ranks, 0, filled)
    return np.asarray(place - (present.sum(axis=0) + 1) / 2)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation of two arrays; NaN if one of them is constant."""
    if x.size < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / norm) if norm > 0 else float("nan")


def home_away(
    scores: pd.DataFrame, metric: MetricCard, methods: Mapping[str, MethodCard]
) -> pd.DataFrame:
    """Rank methods by a metric on each backbone alone, and by the combined value.

    Most methods minimise statistics of one network and score better on it. A part of the
    metric that has the name of a network is *home* for the methods that were trained on that
    network (``trained_on`` tags are ``network-statistic``).

    Returns:
        Columns ``size, method, part`` (``""`` is the combined value), ``value, rank, change``
        (rank minus that by the combined value; negative is better) and ``home``.
    """
    rows = scores[scores["metric"] == metric.name]
    parts = {"", *rows["part"]} & {"", *metric.networks}
    columns: list[Column] = [(metric.name, part) for part in sorted(parts)]
    frames = []
    for table in score_tables(rows, columns):
        combined = stats.comparable_means(table.of((metric.name, "")), table.layout)
        order = ranks(combined, metric.higher_is_better)
        for (_, part), values in zip(columns, table.values, strict=True):
            value = stats.comparable_means(values, table.layout)
            frame = _ranked(table, "value", value, metric.higher_is_better, sort=False)
            frame["part"], frame["change"] = part, frame["rank"] - order
            frame["home"] = [part in _home_networks(methods.get(m)) for m in table.methods]
            frames.append(frame)
    names = ["size", "method", "part", "value", "rank", "change", "home"]
    return _stack(frames, names).sort_values(["size", "part", "rank"], ignore_index=True)


def _home_networks(card: MethodCard | None) -> set[str]:
    """Return the networks that a method was trained on."""
    return {tag.split("-", 1)[0] for tag in card.trained_on} if card else set()


def _ranked(
    table: ScoreTable, column: str, values: stats.Floats, higher_is_better: bool, sort: bool = True
) -> pd.DataFrame:
    """Return a frame with size, method, a value and its rank."""
    place = ranks(values, higher_is_better)
    frame = pd.DataFrame(
        {"size": table.size, "method": table.methods, column: values, "rank": place}
    )
    return frame.sort_values(["rank", "method"]) if sort else frame


def _stack(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Stack frames in the given column order."""
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)[columns]
