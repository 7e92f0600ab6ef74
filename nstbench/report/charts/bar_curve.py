"""The curve of the trivial answers in the chart of content against style."""

from __future__ import annotations

from nstbench.analysis.ranking import done_scores
from nstbench.analysis.robustness import trivial_answers
from nstbench.core.board import Board
from nstbench.core.records import CONTENT_OF, STYLE_OF
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
    scores = done_scores(board.scores, board.units)
    scores = scores[(scores["metric"] == quality.name) & (scores["size"] == main_size(board))]
    pairs = scores.drop_duplicates(["content", "style", "part"])
    means = pairs.groupby("part")["value"].mean()
    points = [
        (float(means[CONTENT_OF + name]), float(means[STYLE_OF + name]))
        for name in trivial_answers(scores, quality.name)
    ]
    return sorted([(0.0, 1.0), *points, (1.0, 0.0)]) if points else []
