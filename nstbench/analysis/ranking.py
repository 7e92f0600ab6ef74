"""The leaderboard: averages, 95 % intervals, ranks and tie groups.

A method's number is the mean over styles of the mean over contents of the mean over
seeds, so every style counts alike; intervals and tests treat the style as the unit of
replication (:mod:`nstbench.analysis.stats`, reasons in ``docs/statistics.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis import stats
from nstbench.analysis.score_table import (
    ScoreTable,
    gain_columns,
    pair_columns,
    pair_rows,
    score_tables,
)
from nstbench.core.board import quality_metric
from nstbench.core.cards import MethodCard, MetricCard
from nstbench.core.records import GAIN, Scope, Status

HEAD = ["rank", "rank_low", "rank_high", "method", "plugin", "flexibility", "size"]
COVERAGE = ["coverage", "done", "planned"]
COMPARISON = ["size", "better", "worse", "difference", "low", "high", "styles", "p", "p_holm",
              "p_wilcoxon", "p_wilcoxon_holm"]  # fmt: skip


def build_leaderboard(
    scores: pd.DataFrame,
    units: pd.DataFrame,
    metrics: Mapping[str, MetricCard],
    methods: Mapping[str, MethodCard],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> pd.DataFrame:
    """Average, rank and group all method variants; one board per size, stacked.

    The displayed mean of a method is taken over the units it was scored on, and ``coverage``
    gives their number. The *rank* is computed differently: methods are ordered by means that
    are made comparable on shared units (:func:`nstbench.analysis.stats.comparable_means`), and
    two methods are tested on the units that both have. ``rank`` is the place by point estimate,
    ``rank_low`` is one more than the number of methods that are significantly better, and
    ``rank_high`` is the number of methods minus those that are significantly worse. Methods
    without a score of the ordering metric come last and share the remaining ranks. A size at
    which no method has such a score (it was only timed) has no ranks.

    Args:
        scores: tidy scores as :class:`nstbench.core.board.Board` describes them; rows of units
            that are not ``done`` are ignored, values that are not finite count as missing.
        units: one row per unit with at least ``method, plugin, content, style, size, seed,
            status``.
        metrics: cards of the metrics, in table order; each becomes a column.
        methods: cards of the method variants.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.

    Returns:
        The frame that :class:`nstbench.core.board.Board` documents as ``leaderboard``, sorted
        by size, rank and name. The result does not depend on the order of rows.
    """
    scores = done_scores(scores, units)
    columns = [*pair_columns(metrics), *gain_columns(scores, metrics)]
    tables = {table.size: table for table in score_tables(scores, columns)}
    board = _coverage(scores, units, methods)
    means = _pair_means(tables, metrics, seed, resamples)
    singles = _single_values(scores, metrics)
    board = board.join(means, on=["method", "size"]).join(singles, on=["method", "size"])
    counts = [c for n in metrics for c in (f"{n}_beaten", f"{n}_pairs") if c in board]
    board = _add_coverage(board.astype(dict.fromkeys(counts, "Int64")), metrics)
    board = _add_ranks(board, tables, quality_metric(metrics, _measured(scores)))
    order = HEAD + COVERAGE + _metric_columns(board, metrics)
    board = board.sort_values(["size", "rank", "method"], kind="stable")
    return board.reindex(columns=order).reset_index(drop=True)


def done_scores(scores: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Return the scores without those of units that are not ``done``.

    Args:
        scores: tidy scores as :class:`nstbench.core.board.Board` describes them.
        units: one row per unit with ``method, content, style, size, seed, status``.
    """
    rows = pair_rows(scores)
    good = _unit_index(units[units["status"] == Status.DONE])
    return scores.drop(index=rows.index[~_unit_index(rows).isin(good)])


def _unit_index(frame: pd.DataFrame) -> pd.MultiIndex:
    """Return an index that identifies the unit of each row; a missing seed makes seeds floats."""
    key = frame[["method", "content", "style", "size", "seed"]]
    return pd.MultiIndex.from_frame(key.astype({"size": "float64", "seed": "float64"}))


def compare_methods(
    scores: pd.DataFrame,
    metrics: Mapping[str, MetricCard],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> pd.DataFrame:
    """Compare every two methods of a size by the metric that orders the board.

    Returns:
        One row per pair of methods that share units: ``size, better, worse`` (by point
        estimate), ``difference`` (how much better, in units of the metric, never
        negative), ``low, high`` (95 % interval of the difference, for this comparison
        alone), ``styles`` (number of styles in it), ``p`` (paired t-test over
        styles), ``p_holm`` (adjusted over all comparisons of the size; at most 0.05
        means "significantly better"), and as further information ``p_wilcoxon`` and
        ``p_wilcoxon_holm``, the same of Wilcoxon's signed-rank test over styles. The ranks do
        not depend on that test (``docs/statistics.md`` gives the reason). Empty if no metric
        orders the board.
    """
    card = quality_metric(metrics, _measured(scores))
    tables = score_tables(scores, [(card.name, "")]) if card else iter(())
    frames = [_compare(table, card, seed, resamples) for table in tables if card]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COMPARISON)


def _compare(table: ScoreTable, card: MetricCard, seed: int, resamples: int) -> pd.DataFrame:
    """Compare all methods of one size."""
    values = table.of((card.name, ""))
    first, second, differences = stats.style_differences(values, table.layout)
    p, p_holm = _test(values, first, second, differences)
    p_wilcoxon = stats.signed_rank(differences, _scale(values, first, second))
    gain = stats.mean(differences) * (1.0 if card.higher_is_better else -1.0)
    low, high = stats.interval(differences, seed=seed, resamples=resamples)
    if not card.higher_is_better:
        low, high = -high, -low
    swapped = gain < 0
    names = np.asarray(table.methods, dtype=object)
    frame = pd.DataFrame(
        {
            "size": table.size,
            "better": np.where(swapped, names[second], names[first]),
            "worse": np.where(swapped, names[first], names[second]),
            "difference": np.abs(gain),
            "low": np.where(swapped, -high, low),
            "high": np.where(swapped, -low, high),
            "styles": np.isfinite(differences).sum(axis=1),
            "p": p,
            "p_holm": p_holm,
            "p_wilcoxon": p_wilcoxon,
            "p_wilcoxon_holm": stats.holm(p_wilcoxon),
        }
    )
    return frame[frame["styles"] > 0]


def _test(
    values: stats.Floats, first: np.ndarray, second: np.ndarray, differences: stats.Floats
) -> tuple[stats.Floats, stats.Floats]:
    """Return raw and Holm-adjusted p-values of the differences."""
    p = stats.paired_t(differences, _scale(values, first, second))
    return p, stats.holm(p)


def _scale(values: stats.Floats, first: np.ndarray, second: np.ndarray) -> stats.Floats:
    """Return the size of the scores of two methods, which makes differences relative."""
    level = np.abs(stats.mean(values))
    return np.fmax(level[first], level[second])


# --- parts of the leaderboard ------------------------------------------------------------


def _coverage(
    scores: pd.DataFrame, units: pd.DataFrame, methods: Mapping[str, MethodCard]
) -> pd.DataFrame:
    """Return one row per method and size with the number of planned and finished units."""
    done = units["status"] == Status.DONE
    counts = units.assign(done=done).groupby(["method", "size"])["done"].agg(["sum", "size"])
    counts.columns = pd.Index(["done", "planned"])
    timed = pd.MultiIndex.from_frame(scores[["method", "size"]].drop_duplicates())
    counts = counts.reindex(counts.index.union(timed), fill_value=0).astype(int)
    board = counts.rename_axis(["method", "size"]).reset_index()
    labels = pd.concat([units[["method", "plugin"]], scores[["method", "plugin"]]])
    plugins = labels.drop_duplicates("method").set_index("method")["plugin"].to_dict()
    board["plugin"] = board["method"].map(
        plugins | {label: card.plugin for label, card in methods.items()}
    )
    board["flexibility"] = [
        methods[label].flexibility if label in methods else "" for label in board["method"]
    ]
    board["size"] = board["size"].astype(int)
    board["coverage"] = [f"{d}/{p}" for d, p in zip(board["done"], board["planned"], strict=True)]
    return board


def _pair_means(
    tables: Mapping[int, ScoreTable],
    metrics: Mapping[str, MetricCard],
    seed: int,
    resamples: int,
) -> pd.DataFrame:
    """Return means and intervals of all pair metrics, indexed by method and size."""
    frames = []
    for size, table in tables.items():
        per_style = stats.style_means(table.values, table.layout)
        columns: dict[str, Any] = {"method": table.methods, "size": size}
        for (metric, part), means in zip(table.columns, per_style, strict=True):
            low, high = stats.interval(means, seed=seed, resamples=resamples)
            if part == GAIN:
                name = metrics[metric].gain.name
                columns |= {name: stats.mean(means), f"{name}_low": low, f"{name}_high": high}
                continue
            name = metric
            # Student's interval can reach beyond the range of a metric.
            low, high = (np.clip(end, *metrics[name].range) for end in (low, high))
            values = table.of((name, ""))
            pairs: dict[str, Any] = {}
            if metrics[name].role == "bar":
                low, high = _share_ends(means, low, high)
                per_pair = stats.pair_means(values, table.layout)
                # a pair counts if it is better with every seed
                pairs[f"{name}_beaten"] = (per_pair == 1).sum(axis=1)
                pairs[f"{name}_pairs"] = np.isfinite(per_pair).sum(axis=1)
            columns |= {name: stats.mean(means), f"{name}_low": low, f"{name}_high": high}
            columns[f"{name}_count"] = np.isfinite(values).sum(axis=1)
            columns[f"{name}_seeds"] = stats.seed_spread(values, table.layout, table.seeds)
            columns |= pairs
        frames.append(pd.DataFrame(columns))
    if not frames:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], []], names=["method", "size"]))
    return pd.concat(frames).set_index(["method", "size"])


def _share_ends(
    means: stats.Floats, low: stats.Floats, high: stats.Floats
) -> tuple[stats.Floats, stats.Floats]:
    """Return the interval of shares; where all styles agree, the exact one of so many styles.

    A bootstrap of equal values has no width. If all n styles have the share 1, the lower end is
    0.025^(1/n) instead (C. Clopper and E. Pearson, Biometrika 26, 1934); for 0 likewise.

    Args:
        means: style means (M, S); NaN where a method has no score in a style.
        low: lower ends (M,).
        high: upper ends (M,).
    """
    count = np.isfinite(means).sum(axis=1)
    least = ((1 - stats.LEVEL) / 2) ** (1 / np.maximum(count, 1))
    known = count > 0
    always = known & ((means == 1) | np.isnan(means)).all(axis=1)
    never = known & ((means == 0) | np.isnan(means)).all(axis=1)
    low = np.where(always, least, np.where(never, 0.0, low))
    return low, np.where(never, 1 - least, np.where(always, 1.0, high))


def _add_coverage(board: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Add the coverage of each metric to the rows where it differs from that of the outputs.

    A metric without any value at a size is not covered there by any method, so it gets no text.
    """
    added = {}
    for name in metrics:
        if f"{name}_count" not in board:
            continue
        count = board[f"{name}_count"].fillna(0).astype(int)
        measured = count.groupby(board["size"]).transform("max") > 0
        text = count.astype(str) + "/" + board["planned"].astype(str)
        added[f"{name}_coverage"] = text.where(measured & (count < board["done"]), "")
    # one step, because a frame with very many single columns is slow
    return pd.concat([board, pd.DataFrame(added, index=board.index)], axis=1)


def _single_values(scores: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Return the values of set and timing metrics, and of their parts "low" and "high"."""
    suffix = {"": "", "low": "_low", "high": "_high"}
    names = [name for name, card in metrics.items() if card.scope != Scope.PAIR]
    rows = scores[scores["metric"].isin(names) & scores["part"].isin(list(suffix))]
    column = rows["metric"].astype(str) + rows["part"].map(suffix).astype(str)
    value = rows["value"].astype(float).where(np.isfinite(rows["value"].astype(float)))
    keyed = rows[["method", "size"]].assign(column=column, value=value)
    return keyed.set_index(["method", "size", "column"])["value"].unstack("column")


def _measured(scores: pd.DataFrame) -> set[str]:
    """Return the names of the pair metrics that have a finite value."""
    rows = pair_rows(scores)
    values = rows[(rows["part"] == "") & np.isfinite(rows["value"].astype(float))]
    return set(values["metric"])


def _add_ranks(
    board: pd.DataFrame, tables: Mapping[int, ScoreTable], card: MetricCard | None
) -> pd.DataFrame:
    """Add rank, rank_low and rank_high within each size; missing where no metric orders it."""
    ranks = pd.DataFrame(
        [row for size, table in tables.items() if card for row in _rank_rows(size, table, card)],
        columns=["method", "size", "rank", "rank_low", "rank_high"],
    )
    board = board.merge(ranks.astype({"size": int}), on=["method", "size"], how="left")
    scored = board["rank"].notna().groupby(board["size"]).transform("sum")
    total = board.groupby("size")["method"].transform("size")
    for column, fallback in (("rank", scored + 1), ("rank_low", scored + 1), ("rank_high", total)):
        board[column] = board[column].fillna(fallback).where(scored > 0).astype("Int64")
    return board


def _rank_rows(
    size: int, table: ScoreTable, card: MetricCard
) -> list[tuple[str, int, int, int, int]]:
    """Rank the methods of one size that have a score."""
    values = table.of((card.name, ""))
    scored = np.flatnonzero(np.isfinite(values).any(axis=1))
    values, names = values[scored], [table.methods[i] for i in scored]
    means = stats.comparable_means(values, table.layout)
    keys = -means if card.higher_is_better else means
    rank = np.empty(len(names), dtype=int)
    rank[np.lexsort((np.arange(len(names)), keys))] = np.arange(1, len(names) + 1)
    better, worse = _significant_counts(values, table, card.higher_is_better)
    # With missing units the direct comparison may contradict the order by point estimate.
    low = np.minimum(1 + better, rank)
    high = np.maximum(len(names) - worse, rank)
    columns = (names, rank.tolist(), low.tolist(), high.tolist())
    return [(name, size, r, a, b) for name, r, a, b in zip(*columns, strict=True)]


def _significant_counts(
    values: stats.Floats, table: ScoreTable, higher_is_better: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Count, for each method, how many others are significantly better and worse."""
    first, second, differences = stats.style_differences(values, table.layout)
    _, p_holm = _test(values, first, second, differences)
    significant = p_holm <= 1 - stats.LEVEL + 1e-12
    first_wins = (stats.mean(differences) > 0) == higher_is_better
    winner = np.where(first_wins, first, second)[significant]
    loser = np.where(first_wins, second, first)[significant]
    count = len(values)
    return np.bincount(loser, minlength=count), np.bincount(winner, minlength=count)


def _metric_columns(board: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> list[str]:
    """Return the metric columns in table order, without further columns that are empty."""
    columns = []
    for name in metrics:
        further = [f"{name}_low", f"{name}_high", f"{name}_seeds"]
        columns.append(name)
        counts = [f"{name}_beaten", f"{name}_pairs"]
        columns += [c for c in [*further, *counts] if c in board and board[c].notna().any()]
        covered = f"{name}_coverage"
        columns += [covered] if covered in board and (board[covered] != "").any() else []
    for card in metrics.values():
        gain = card.gain.name
        columns += [c for c in (gain, f"{gain}_low", f"{gain}_high") if c in board]
    return columns
