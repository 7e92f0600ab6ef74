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
                  "low", "high"]  # fmt: skip
WITHIN_COLUMNS = ["metric", "part", "within", "groups", "pictures", "rho", "low", "high"]
"""What :mod:`nstbench.analysis.validation.people` returns."""

PROGRAM_COLUMNS = ["metric", "part", "pairs", "couples", "within", "between", "closer", "low",
                   "high"]  # fmt: skip
"""What :mod:`nstbench.analysis.validation.programs` returns."""

PAIR = ["content", "style"]
OUTPUT = ["method", *PAIR]

FEWEST_STYLES = 5
"""Styles below which no interval is given."""

_RESAMPLES = 2000
_CORRELATIONS = 500
"""Resamples of a correlation, which has to be ranked anew each time."""


def rate_cases(scores: pd.DataFrame, cards: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Rate each pair metric, and each of its networks alone.

    Args:
        scores: tidy: ``test, method, content, style, other, strength, metric, part, value``.
        cards: metric name -> card.

    Returns:
        Columns ``KNOWN_COLUMNS``: ``test`` is T1, T2, T3 or T6, ``what`` says which number it is,
        ``value`` a share of right answers, an AUC or a correlation, and ``low``, ``high`` its
        95 % interval over styles; NaN with fewer than ``FEWEST_STYLES`` styles.
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
    yield _auc(real, trivial)


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
            found = _number("T6", f"Spearman, {first} and {second}", len(known), value)
            yield {**found, **_spearman_interval(known)}


def _won(own: pd.Series, other: pd.Series) -> pd.Series:
    """Return 1 where ``own`` is less, 1/2 where equal, 0 where more, NaN where unknown."""
    return pd.Series(0.5 * (1 + np.sign(other - own)), index=own.index, dtype=float)


def _auc(real: pd.DataFrame, trivial: pd.DataFrame) -> dict[str, Any]:
    """Return how often a real output has less than a trivial answer, over all pairs of them.

    The interval draws styles, with all their real outputs and trivial answers.
    """
    real, trivial = real.dropna(subset=["value"]), trivial.dropna(subset=["value"])
    own, other = (table["value"].to_numpy(dtype=np.float64) for table in (real, trivial))
    styles = sorted({*real["style"], *trivial["style"]})
    place = {style: i for i, style in enumerate(styles)}
    rows, columns = (table["style"].map(place).to_numpy() for table in (real, trivial))
    wins = np.zeros((len(styles), len(styles)))
    won = 0.5 * (1 + np.sign(other[None] - own[:, None]))
    np.add.at(wins, (rows[:, None], columns[None]), won)
    counts = [np.bincount(codes, minlength=len(styles)) for codes in (rows, columns)]
    found = _number("T1", "AUC over all pairs", len(own), float(won.mean()) if won.size else np.nan)
    if not won.size or np.count_nonzero(counts[0]) < FEWEST_STYLES:
        return found
    draws = _draws(len(styles))
    totals = (draws @ counts[0]) * (draws @ counts[1])
    values = np.einsum("bi,ij,bj->b", draws, wins, draws, optimize=True)
    return {**found, **_limits(values[totals > 0] / totals[totals > 0])}


def _spearman_interval(known: pd.DataFrame) -> dict[str, float]:
    """Return the 95 % interval of Spearman's correlation of two columns over styles."""
    styles = known.index.get_level_values("style")
    names = styles.unique()
    if len(names) < FEWEST_STYLES:
        return {}
    values = known.to_numpy(dtype=np.float64)
    members = [np.flatnonzero(styles == name) for name in names]
    found = []
    for draw in np.random.default_rng(0).integers(0, len(names), (_CORRELATIONS, len(names))):
        rows = np.concatenate([members[i] for i in draw])
        ranks = rankdata(values[rows], axis=0)
        if (ranks.std(axis=0) > 0).all():
            found.append(float(np.corrcoef(ranks, rowvar=False)[0, 1]))
    return _limits(np.array(found)) if found else {}


def _draws(styles: int) -> np.ndarray:
    """Return how often each style is drawn in each resample, (resamples, styles)."""
    chances = np.full(styles, 1 / styles)
    return np.random.default_rng(0).multinomial(styles, chances, size=_RESAMPLES).astype(float)


def _limits(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return {"low": float(low), "high": float(high)}


def _share(test: str, what: str, of_outputs: pd.Series) -> dict[str, Any]:
    """Return the mean over outputs, with its interval from a bootstrap that draws whole styles."""
    known = of_outputs.dropna()
    styles = known.groupby(level="style").agg(["sum", "count"]).to_numpy(dtype=np.float64)
    found = _number(test, what, len(known), float(known.mean()))
    if len(styles) < FEWEST_STYLES:
        return found
    sums = _draws(len(styles)) @ styles
    return {**found, **_limits(sums[:, 0] / sums[:, 1])}


def _number(test: str, what: str, outputs: int, value: float) -> dict[str, Any]:
    nothing = float("nan")
    return {
        "test": test, "what": what, "outputs": outputs, "value": value, "low": nothing,
        "high": nothing,
    }  # fmt: skip
