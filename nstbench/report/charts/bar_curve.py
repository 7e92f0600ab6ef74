"""The curve of the trivial answers in the chart of content against style."""

from __future__ import annotations

import math

import pandas as pd

from nstbench.analysis.ranking import done_scores
from nstbench.analysis.robustness import trivial_answers
from nstbench.core.board import Board
from nstbench.core.records import BAR, CONTENT_OF, STYLE_OF
from nstbench.report.parts.rows import main_size


def bar_curve(board: Board) -> list[tuple[float, float]]:
    """Return the errors of the trivial answers, each a mean over the pairs of the main size.

    Returns:
        (content error, style error) of the content copy, of each trivial answer that the quality
        metric compares with, and of the style copy, by rising content error; empty if the board's
        quality metric has no trivial answers.
    """
    quality = board.quality
    if quality is None:
        return []
    means = _means(board, quality.name)
    points = [
        (float(means[CONTENT_OF + name]), float(means[STYLE_OF + name]))
        for name in trivial_answers(board.scores, quality.name)
        if CONTENT_OF + name in means
    ]
    return sorted([(0.0, 1.0), *points, (1.0, 0.0)]) if points else []


def mean_bar(board: Board) -> float:
    """Return the mean over the pairs of the main size of the bar, the least sum of both errors.

    The bar is the least sum of each pair, so its mean is at most the least sum on the curve. NaN if
    the board's quality metric has no bar.
    """
    quality = board.quality
    return math.nan if quality is None else float(_means(board, quality.name).get(BAR, math.nan))


def _means(board: Board, metric: str) -> pd.Series:
    """Return the mean over the pairs of the main size of each part of a metric."""
    scores = done_scores(board.scores, board.units)
    scores = scores[(scores["metric"] == metric) & (scores["size"] == main_size(board))]
    pairs = scores.drop_duplicates(["content", "style", "part"])
    return pairs.groupby("part")["value"].mean()
