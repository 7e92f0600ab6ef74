"""From scores of known cases to shares of right answers; see the tests in ``known_cases``.

T1: a stylisation beats the trivial answers of its pair. T2: it fits its own content and style
better than others. T3: damage makes it worse. T6: a metric gives the same order on each network.
Every share has a 95 % percentile interval of a bootstrap over styles. A tie counts one half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from nstbench.analysis.validation.known_cases import (
    DAMAGE,
    OTHER_CONTENT,
    OTHER_STYLE,
    REAL,
    TRIVIAL,
)
from nstbench.core.cards import MetricCard
from nstbench.core.records import Scope

KNOWN_COLUMNS = ["metric", "part", "test", "what", "outputs", "value", "low", "high"]
PEOPLE_COLUMNS = ["metric", "part", "methods", "tau", "p", "least_tau", "votes", "accuracy",
                  "within_style", "within_content"]  # fmt: skip
"""What :mod:`nstbench.analysis.validation.people` returns."""

PAIR = ["content", "style"]
OUTPUT = ["method", *PAIR]

FEWEST_STYLES = 5
"""Styles below which no interval is given."""

_RESAMPLES = 2000


def rate_cases(scores: pd.DataFrame, cards: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Rate each pair metric, and each of its networks alone.

    Args:
        scores: tidy: ``test, method, content, style, other, strength, metric, part, value``.
        cards: metric name -> card.

    Returns:
        Columns ``KNOWN_COLUMNS``: ``test`` is T1, T2, T3 or T6, ``what`` says which number it is,
        ``value`` a share of right answers or a correlation, and ``low``, ``high`` its 95 % interval
        over styles where it is a mean over outputs.
    """
    rows: list[dict[str, Any]] = []
    for name, card in cards.items():
        if card.scope != Scope.PAIR:
            continue
        mine = scores[scores["metric"] == name]
        sign = -1.0 if card.higher_is_better else 1.0
        mine = mine.assign(value=sign * mine["value"].astype(float))
        networks = [part for part in card.networks if part in set(mine["part"])]
        for part in ["", *networks]:
            table = mine[mine["part"] == part]
            found = [*_trivial(table), *_matched(table), *_damaged(table)]
            rows += [{"metric": name, "part": part, **row} for row in found]
        rows += [{"metric": name, "part": "", **row} for row in _networks(mine, networks)]
    return pd.DataFrame(rows, columns=KNOWN_COLUMNS)


def _trivial(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """T1: the share of trivial answers beaten, AUC, and the share that beats all of them."""
    real, trivial = table[table["test"] == REAL], table[table["test"] == TRIVIAL]
    both = real.merge(trivial[[*PAIR, "value"]], on=PAIR, suffixes=("", "_other"))
    if both.empty:
        return
    both["won"] = _won(both["value"], both["value_other"])
    groups = both.groupby(OUTPUT)
    yield _share("T1", "trivial answers beaten", groups["won"].mean())
    least = groups["value_other"].min()
    own = groups["value"].first()
    yield _share("T1", "beats all trivial answers", (own < least).astype(float))
    auc = _auc(real["value"].to_numpy(), trivial["value"].to_numpy())
    yield _number("T1", "AUC over all pairs", len(real), auc)


def _matched(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """T2: the share of other contents, and of other styles, that the own one beats."""
    real = table[table["test"] == REAL]
    for test in (OTHER_CONTENT, OTHER_STYLE):
        other = table[table["test"] == test]
        both = real.merge(other[[*OUTPUT, "value"]], on=OUTPUT, suffixes=("", "_other"))
        if len(both):
            both["won"] = _won(both["value"], both["value_other"])
            yield _share("T2", f"own {test} fits better", both.groupby(OUTPUT)["won"].mean())


def _damaged(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """T3: damage makes the score worse, and more damage makes it worse still."""
    real, harmed = table[table["test"] == REAL], table[table["test"] == DAMAGE]
    both = harmed.merge(real[[*OUTPUT, "value"]], on=OUTPUT, suffixes=("", "_before"))
    if both.empty:
        return
    both["worse"] = _won(both["value_before"], both["value"])
    yield _share("T3", "damage makes worse", both.groupby(OUTPUT)["worse"].mean())
    steps = both.pivot_table(index=[*OUTPUT, "other"], columns="strength", values="value")
    if {1, 2} <= set(steps.columns):
        more = pd.Series(_won(steps[1], steps[2]), index=steps.index).dropna()
        yield _share("T3", "more damage is worse", more.groupby(OUTPUT).mean())


def _networks(table: pd.DataFrame, networks: list[str]) -> Iterator[dict[str, Any]]:
    """T6: rank correlation of a metric on two networks, over the outputs."""
    real = table[table["test"] == REAL]
    wide = real.pivot_table(index=OUTPUT, columns="part", values="value")
    for first, second in combinations(networks, 2):
        known = wide[[first, second]].dropna()
        if len(known) > 2:
            value = float(spearmanr(known[first], known[second]).statistic)
            yield _number("T6", f"Spearman, {first} and {second}", len(known), value)


def _won(own: pd.Series, other: pd.Series) -> pd.Series:
    """Return 1 where ``own`` is less, 1/2 where equal, 0 where more, NaN where unknown."""
    return pd.Series(0.5 * (1 + np.sign(other - own)), index=own.index, dtype=float)


def _auc(real: np.ndarray, trivial: np.ndarray) -> float:
    """Return how often a real output has less than a trivial answer, over all pairs of them."""
    real, trivial = real[np.isfinite(real)], trivial[np.isfinite(trivial)]
    if not len(real) or not len(trivial):
        return float("nan")
    ranks = rankdata(np.concatenate([trivial, real]))[: len(trivial)]
    least = len(trivial) * (len(trivial) + 1) / 2
    return float((ranks.sum() - least) / (len(trivial) * len(real)))


def _share(test: str, what: str, of_outputs: pd.Series) -> dict[str, Any]:
    """Return the mean over outputs, with its interval from a bootstrap that draws whole styles."""
    known = of_outputs.dropna()
    styles = known.groupby(level="style").agg(["sum", "count"]).to_numpy(dtype=np.float64)
    found = _number(test, what, len(known), float(known.mean()))
    if len(styles) < FEWEST_STYLES:
        return found
    chances = np.full(len(styles), 1 / len(styles))
    draws = np.random.default_rng(0).multinomial(len(styles), chances, size=_RESAMPLES)
    sums = draws @ styles
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    return {**found, "low": float(low), "high": float(high)}


def _number(test: str, what: str, outputs: int, value: float) -> dict[str, Any]:
    nothing = float("nan")
    return {
        "test": test, "what": what, "outputs": outputs, "value": value, "low": nothing,
        "high": nothing,
    }  # fmt: skip
