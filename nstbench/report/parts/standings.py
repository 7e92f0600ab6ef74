"""Where methods stand beside their rank: Borda points, Pareto fronts, tests against each other."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nstbench.analysis import robustness
from nstbench.analysis.ranking import compare_methods, done_scores
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import rows as tables

SURE = 0.05
"""Holm-adjusted p-value up to which a difference counts as shown."""


def fronts(board: Board) -> dict[str, tuple[MetricCard, MetricCard]]:
    """Return the trade-offs that the run measured: name of a column -> its two metrics."""
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
    """Return what else than the rank says where a method stands.

    Returns:
        One row per row of the leaderboard, in its order: ``size, method, borda`` (points, see
        :func:`nstbench.analysis.robustness.borda`), ``borda_rank``, and for each trade-off of
        :func:`fronts` whether the method is on its Pareto front. Baselines and methods with few
        of their pairs are on no front, as in the charts; missing where the run has no such
        number of a method.
    """
    points = robustness.borda(done_scores(board.scores, board.units), board.metrics)
    # without any score the table has no column that knows its type
    points = points.astype({"size": int}).rename(columns={"points": "borda", "rank": "borda_rank"})
    found = board.leaderboard[["size", "method"]].merge(points, on=["size", "method"], how="left")
    groups = tables.by_size(tables.rows(board))
    for name, (first, second) in fronts(board).items():
        known = {
            (row.size, row.method): False
            for group in groups
            for row in group
            if row.of(first).known and row.of(second).known
        }
        known |= {
            (row.size, row.method): True
            for group in groups
            for row in tables.front(group, first, second)
        }
        keys = zip(found["size"], found["method"], strict=True)
        found[name] = pd.array([known.get(key) for key in keys], dtype="boolean")
    return found


def comparisons(board: Board) -> pd.DataFrame:
    """Return every two methods of a size against each other (see ranking.compare_methods)."""
    found = compare_methods(done_scores(board.scores, board.units), board.metrics)
    return found.sort_values(["size", "p", "better", "worse"], ignore_index=True)


def against_first(board: Board, size: int) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Return the comparisons of a size that say whether the first is the first.

    Returns:
        One record per method that was compared with the first of the board, in the board's
        order, with ``method`` and ``gap`` (how much the first is better, in units of the
        metric; negative where the direct comparison contradicts the order) beside the columns
        of :func:`comparisons`; and all comparisons of the size.
    """
    whole = comparisons(board)
    whole = whole[whole["size"] == size]
    order = board.leaderboard.loc[board.leaderboard["size"] == size, "method"].tolist()
    rows = []
    for name in order[1:]:
        pair = whole[whole["better"].isin(order[:1]) & (whole["worse"] == name)]
        turned = whole[whole["worse"].isin(order[:1]) & (whole["better"] == name)]
        for record in pair.to_dict("records"):
            rows.append({**record, "method": name, "gap": record["difference"]})
        for record in turned.to_dict("records"):
            limits = {"low": -record["high"], "high": -record["low"]}
            rows.append({**record, **limits, "method": name, "gap": -record["difference"]})
    return rows, whole
