"""Rank correlations between metrics over the outputs of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from nstbench.analysis.load_board import load_board
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.robustness import rank_correlation
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError

SAME = 0.9
"""Two metrics with at least this rank correlation are reported as equivalent."""


def run_agreement(root: Path, cards: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Correlate the pair metrics of a run, with signs chosen so that higher is better.

    Args:
        root: run folder, finished or not.
        cards: the metrics to compare; those without a score in the run are left out.

    Returns:
        The frame of :func:`nstbench.analysis.robustness.rank_correlation`.

    Raises:
        UsageError: if the folder holds no run, or too few scores of these metrics.
    """
    board = load_board(root)
    scores = done_scores(board.scores, board.units)
    scored = set(scores["metric"])
    table = rank_correlation(scores, {n: c for n, c in cards.items() if n in scored})
    table = table[table["units"] >= 2]
    if table["metric"].nunique() < 2:
        raise UsageError(
            f"--run {root}: needs scores of two of these metrics on at least two outputs. Score "
            "the run with `nstbench score RUN --metrics all`."
        )
    return table.reset_index(drop=True)


def matrix(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations of one size as a square table, in order of first appearance.

    Correlations are taken within pairs, because a pair on which all methods score badly would
    make unrelated metrics agree. If no pair was done by two methods, they are taken over all
    outputs. :func:`basis` tells which of the two applies.
    """
    column = "within" if agreement["pairs"].max() > 0 else "spearman"
    names = list(dict.fromkeys(agreement["metric"]))
    square = agreement.pivot_table(index="metric", columns="other", values=column, dropna=False)
    return square.reindex(index=names, columns=names)


def basis(agreement: pd.DataFrame) -> str:
    """Return, as text, the data that the correlations of one size are taken over."""
    low, high = int(agreement["pairs"].min()), int(agreement["pairs"].max())
    if high == 0:
        units = int(agreement["units"].max())
        return f"over all {units} outputs, as no pair was done by two methods"
    count = f"{high}" if low == high else f"{low} to {high}"
    return f"of the ranks of methods on each of {count} pairs"


def same(square: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Return the pairs of metrics that correlate by ``SAME`` or more, the highest first."""
    values = square.to_numpy(dtype=np.float64)
    names = [str(name) for name in square.index]
    pairs = [
        (names[i], names[j], float(values[i, j]))
        for i in range(len(names))
        for j in range(i + 1, len(names))
        if values[i, j] >= SAME
    ]
    return sorted(pairs, key=lambda pair: -pair[2])
