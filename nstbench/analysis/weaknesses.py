"""Where a method loses: content or style, on which styles, and on which pairs.

Both halves of the error are on one scale, on which 0 is the ideal and 1 the error of the worse
copy, so they can be compared. The style is the unit of replication, as on the board
(:mod:`nstbench.analysis.stats`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis import stats
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.score_table import ScoreTable, score_tables
from nstbench.core.board import Board
from nstbench.core.records import Flexibility

COLUMNS = [
    "size", "method", "baseline", "styles", "pairs", "content", "style", "difference", "low",
    "high", "loses", "content_gap", "content_gap_low", "content_gap_high", "style_gap",
    "style_gap_low", "style_gap_high", "worst_style", "worst_style_value", "worst_style_others",
    "second_style", "second_style_value", "second_style_others", "best_pair_content",
    "best_pair_style", "best_pair_value", "worst_pair_content", "worst_pair_style",
    "worst_pair_value",
]  # fmt: skip

HALVES = ("content", "style")


def weaknesses(board: Board, *, seed: int = 0, resamples: int = 2000) -> pd.DataFrame:
    """Return one row per method and size, in the order of the leaderboard.

    Args:
        board: the result of a run.
        seed: of the bootstrap.
        resamples: number of bootstrap resamples.

    Returns:
        ``COLUMNS``. ``content`` and ``style`` are the mean errors, ``difference`` is style less
        content error with its 95 % interval over styles (``low``, ``high``; NaN with one style).
        ``loses`` is the half with the larger error, and empty if the interval contains 0. The gaps
        are an error less that of the mean other method, baselines left out, on the same
        outputs. ``worst_style`` and ``second_style`` have the worst mean of the quality metric
        (``..._value``); ``..._others`` is that of the mean other method. Styles are missing if the
        method did too few: the worst needs two, the second three. Empty if the
        board has no quality metric, or not both halves as errors.
    """
    cards = {half: board.metric_with_role(half) for half in HALVES}
    content, style, quality = cards["content"], cards["style"], board.quality
    if content is None or style is None or quality is None:
        return pd.DataFrame(columns=COLUMNS)
    if content.higher_is_better or style.higher_is_better:
        return pd.DataFrame(columns=COLUMNS)
    scores = done_scores(board.scores, board.units)
    names = [(content.name, ""), (style.name, ""), (quality.name, "")]
    sign = -1.0 if quality.higher_is_better else 1.0
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    baselines = {
        label for label, card in board.methods.items() if card.flexibility == Flexibility.BASELINE
    }
    for table in score_tables(scores, names):
        values = np.stack([table.of(name) for name in names])
        # an output counts if it has all three numbers
        values[:, ~np.isfinite(values).all(axis=0)] = np.nan
        for place, label in enumerate(table.methods):
            if np.isfinite(values[0, place]).any():
                found = _row(table, values, place, baselines, sign, (seed, resamples))
                rows[table.size, label] = {"baseline": label in baselines, **found}
    order = zip(board.leaderboard["size"], board.leaderboard["method"], strict=True)
    keys = [(int(size), str(method)) for size, method in order if (int(size), method) in rows]
    return pd.DataFrame(
        [{"size": size, "method": method, **rows[size, method]} for size, method in keys],
        columns=COLUMNS,
    )


def _row(
    table: ScoreTable,
    values: stats.Floats,
    place: int,
    baselines: set[str],
    sign: float,
    bootstrap: tuple[int, int],
) -> dict[str, Any]:
    """Return the numbers of one method.

    Args:
        table: layout and labels.
        values: content error, style error and quality, (3, M, U).
        place: the method's place on the second axis.
        baselines: labels that are no other methods.
        sign: 1 if a low quality is good, else -1.
        bootstrap: seed and number of resamples.
    """
    own = values[:, place]
    others = [i for i, m in enumerate(table.methods) if i != place and m not in baselines]
    other = _mean_of(values[:, others])
    per_style = stats.style_means(own, table.layout)
    other_per_style = stats.style_means(np.where(np.isfinite(own), other, np.nan), table.layout)
    difference, low, high = _with_interval(per_style[1] - per_style[0], bootstrap)
    means = stats.mean(per_style)
    row: dict[str, Any] = {
        "styles": int(np.isfinite(per_style[0]).sum()),
        "pairs": int(np.isfinite(stats.pair_means(own[0], table.layout)).sum()),
        "content": float(means[0]), "style": float(means[1]),
        "difference": difference, "low": low, "high": high,
        "loses": "style" if low > 0 else "content" if high < 0 else "",
    }  # fmt: skip
    for half, mine, rest in zip(HALVES, per_style[:2], other_per_style[:2], strict=True):
        ends = zip(("", "_low", "_high"), _with_interval(mine - rest, bootstrap), strict=True)
        row |= {f"{half}_gap{end}": value for end, value in ends}
    return (
        row | _styles(table, per_style[2], other_per_style[2], sign) | _pairs(table, own[2], sign)
    )


def _mean_of(values: stats.Floats) -> stats.Floats:
    """Average the second axis over its finite entries; NaN where there is none."""
    return (
        stats.mean(np.moveaxis(values, 1, -1))
        if values.shape[1]
        else np.full_like(values[:, :1].sum(axis=1), np.nan)
    )


def _with_interval(means: stats.Floats, bootstrap: tuple[int, int]) -> tuple[float, float, float]:
    """Return the mean over styles (S,) with its 95 % interval."""
    seed, resamples = bootstrap
    low, high = stats.interval(means[None], seed=seed, resamples=resamples)
    return float(stats.mean(means)), float(low[0]), float(high[0])


def _styles(
    table: ScoreTable, means: stats.Floats, others: stats.Floats, sign: float
) -> dict[str, Any]:
    """Return the one or two styles with the worst means."""
    layout = table.layout
    names = layout.styles[layout.pair_starts][layout.style_starts]
    known = np.flatnonzero(np.isfinite(means))
    worst = known[np.argsort(-sign * means[known], kind="stable")]
    row: dict[str, Any] = {}
    for rank, key in enumerate(("worst_style", "second_style")):
        named = len(worst) >= rank + 2
        row[key] = str(names[worst[rank]]) if named else ""
        row[f"{key}_value"] = float(means[worst[rank]]) if named else np.nan
        row[f"{key}_others"] = float(others[worst[rank]]) if named else np.nan
    return row


def _pairs(table: ScoreTable, quality: stats.Floats, sign: float) -> dict[str, Any]:
    """Return the pairs with the best and the worst value."""
    layout = table.layout
    means = stats.pair_means(quality, layout)
    places = {"best": np.nanargmin(sign * means), "worst": np.nanargmax(sign * means)}
    return {
        f"{name}_pair_{key}": value
        for name, place in places.items()
        for key, value in (
            ("content", str(layout.contents[layout.pair_starts][place])),
            ("style", str(layout.styles[layout.pair_starts][place])),
            ("value", float(means[place])),
        )
    }
