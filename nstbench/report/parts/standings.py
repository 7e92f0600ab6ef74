"""Standings of methods besides their rank: Borda points, Pareto fronts and pairwise tests."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nstbench.analysis import robustness
from nstbench.analysis.ranking import compare_methods, done_scores
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts.rows import (
    by_size,
    leaderboard_rows,
    pareto_rows,
)

ALPHA = 0.05
"""A difference is significant if its Holm-adjusted p-value is at most this."""


def fronts(board: Board) -> dict[str, tuple[MetricCard, MetricCard]]:
    """Return the trade-offs that the run measured: column name -> the two metrics."""
    content, style = board.metric_with_role("content"), board.metric_with_role("style")
    speed = board.metric_with_role("speed")
    axes = {"front_content_style": (content, style), "front_quality_speed": (board.quality, speed)}
    measured = board.measured
    return {
        name: (first, second)
        for name, (first, second) in axes.items()
        if first is not None and second is not None
        if {first.name, second.name} <= measured
    }


def standings(board: Board) -> pd.DataFrame:
    """Return Borda points and Pareto fronts of all rows of the leaderboard.

    Returns:
        One row per row of the leaderboard, in the same order. Columns are ``size``, ``method``,
        ``borda`` (points, see :func:`nstbench.analysis.robustness.borda`), ``borda_rank``, and
        one boolean column per trade-off of :func:`fronts`: True on its Pareto front. It is False
        for baselines and for methods with few of their pairs, and missing if the method lacks
        one of the two metrics.
    """
    points = robustness.borda(done_scores(board.scores, board.units), board.metrics)
    # an empty table has columns without a numeric type
    points = points.astype({"size": int}).rename(columns={"points": "borda", "rank": "borda_rank"})
    table = board.leaderboard[["size", "method"]].merge(points, on=["size", "method"], how="left")
    groups = by_size(leaderboard_rows(board))
    for name, (first, second) in fronts(board).items():
        members = {
            (row.size, row.method): False
            for group in groups
            for row in group
            if row.of(first).known and row.of(second).known
        }
        members |= {
            (row.size, row.method): True
            for group in groups
            for row in pareto_rows(group, first, second)
        }
        keys = zip(table["size"], table["method"], strict=True)
        table[name] = pd.array([members.get(key) for key in keys], dtype="boolean")
    return table


def comparisons(board: Board) -> pd.DataFrame:
    """Return the tests of every two methods of a size, as from ``compare_methods``."""
    table = compare_methods(done_scores(board.scores, board.units), board.metrics)
    return table.sort_values(["size", "p", "better", "worse"], ignore_index=True)


def against_first(board: Board, size: int) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Return the comparisons of the best-ranked method with the other methods of a size.

    Returns:
        One record per other method, in the order of the board, and all comparisons of the size
        as a table. A record has the columns of :func:`comparisons`, ``method``, and ``gap``:
        how much better the best-ranked method is, in units of the metric. A negative gap
        contradicts the order of the board.
    """
    table = comparisons(board)
    table = table[table["size"] == size]
    order = board.leaderboard.loc[board.leaderboard["size"] == size, "method"].tolist()
    rows = []
    for name in order[1:]:
        as_ordered = table[table["better"].isin(order[:1]) & (table["worse"] == name)]
        contradicting = table[table["worse"].isin(order[:1]) & (table["better"] == name)]
        for record in as_ordered.to_dict("records"):
            rows.append({**record, "method": name, "gap": record["difference"]})
        for record in contradicting.to_dict("records"):
            limits = {"low": -record["high"], "high": -record["low"]}
            rows.append({**record, **limits, "method": name, "gap": -record["difference"]})
    return rows, table
