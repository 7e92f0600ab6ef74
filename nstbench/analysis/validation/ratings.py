"""Rates metrics by their scores on sweeps: what each one measures, and how well.

A metric of fidelity to the content must get worse along a blend from content to style, and
when the content picture is degraded. A metric of fidelity to the style must get better along
the blend, and worse when the style picture is degraded. The values show which of the two a
metric measures: it gives its best possible value to one of the two copies. A metric that gives
it to neither measures both. Such a metric should get worse when either copy is degraded, but
that order is not certain, because a degraded content picture can be closer to the style; the
metric is therefore rated without a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis import stats
from nstbench.analysis.robustness import tau
from nstbench.analysis.validation.picture_series import BLEND, CONTENT, FOLDER, STYLE
from nstbench.core.cards import MetricCard
from nstbench.core.records import BAR, CONTENT_OF, STYLE_OF, Scope

BOTH = "both"
NOTHING = "nothing"

TRUSTED_TAU = 0.8
"""A metric with a smaller tau on any kind of sweep is not trusted."""

PERFECT = 0.05
"""A copy is perfect if its distance to the best value is at most this share of the other's."""

RUN = ["content", "style", "seed", "steps"]
BY_KIND = ["metric", "part", "measures", "kind", "base", "sweeps", "tau", "low", "high",
           "sensitivity", "seed_spread"]  # fmt: skip
SUMMARY = ["metric", "part", "measures", "tau", "low", "high", "worst", "worst_tau",
           "sensitivity", "seed_spread", "ms", "trusted"]  # fmt: skip


def measured(scores: pd.DataFrame, card: MetricCard, part: str = "") -> str:
    """Return what a metric measures: the copy to which it gives its best possible value.

    Returns:
        ``"content"``, ``"style"``, ``"both"`` if neither copy is perfect (or no value is, in
        an open range), ``"nothing"`` if both are or there is no score.
    """
    rows = scores[(scores["metric"] == card.name) & (scores["part"] == part)]
    blend = rows[rows["kind"] == BLEND]
    if blend.empty:
        return NOTHING
    best = card.range[1] if card.higher_is_better else card.range[0]
    if not np.isfinite(best):
        return BOTH
    last = blend["level"].max()
    content, style = (
        float((blend.loc[blend["level"] == level, "value"] - best).abs().mean())
        for level in (0, last)
    )
    perfect = (content <= PERFECT * style, style <= PERFECT * content)
    return {(True, False): CONTENT, (False, True): STYLE, (False, False): BOTH}.get(
        perfect, NOTHING
    )


def expected_sign(measures: str, kind: str, base: str) -> int:
    """Return +1 if a metric must get worse along a sweep, -1 if better, 0 if neither."""
    if kind in (BLEND, FOLDER):
        return {CONTENT: 1, STYLE: -1}.get(measures, 0)
    return int(measures in (base, BOTH))


def rate(scores: pd.DataFrame, cards: Mapping[str, MetricCard]) -> pd.DataFrame:
    """Rate each metric and part on each kind of sweep that it has to order.

    Returns:
        ``Validation.by_kind`` with a further column ``styles``: style -> mean tau.
    """
    rows = [row for key, card in _parts(scores, cards) for row in _rate_metric(scores, card, key)]
    return pd.DataFrame(rows, columns=[*BY_KIND, "styles"])


def _parts(
    scores: pd.DataFrame, cards: Mapping[str, MetricCard]
) -> Iterator[tuple[str, MetricCard]]:
    for name, card in cards.items():
        parts = set(scores.loc[scores["metric"] == name, "part"])
        # The parts of a set metric are counts, not values, and some parts of a metric
        # describe the pair: what is relative to trivial answers gives their errors.
        facts = {part for part in parts if part.startswith((CONTENT_OF, STYLE_OF))} | {BAR}
        for part in sorted(parts - facts) if card.scope == Scope.PAIR else sorted(parts & {""}):
            yield part, card


def _rate_metric(scores: pd.DataFrame, card: MetricCard, part: str) -> Iterator[dict[str, Any]]:
    measures = measured(scores, card, part)
    rows = scores[(scores["metric"] == card.name) & (scores["part"] == part)]
    for (kind, base), group in rows.groupby(["kind", "base"], sort=True):
        sign = expected_sign(measures, str(kind), str(base))
        if sign == 0:
            continue
        worse = sign * (-1 if card.higher_is_better else 1)
        series = worse * group.pivot(index=RUN, columns="level", values="value")
        levels = series.columns.to_numpy(dtype=np.float64)
        numbers = series.to_numpy(dtype=np.float64)
        taus = pd.Series([_order_tau(levels, row) for row in numbers], index=series.index)
        styles = taus.groupby(level="style").mean()
        low, high = _tau_interval(styles.to_numpy())
        yield {
            "metric": card.name,
            "part": part,
            "measures": measures,
            "kind": kind,
            "base": base,
            "sweeps": len(series),
            "tau": float(styles.mean()),
            "low": low,
            "high": high,
            "sensitivity": _sensitivity(series),
            "seed_spread": _seed_spread(series),
            "styles": styles.to_dict(),
        }


def _order_tau(levels: np.ndarray, values: np.ndarray) -> float:
    """Return Kendall's tau-b of values with their order; constant values give 0."""
    correlation = tau(levels, values)
    constant = np.isnan(correlation) and np.isfinite(values).sum() >= 2
    return 0.0 if constant else correlation


def _tau_interval(styles: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean tau over styles."""
    low, high = stats.interval(styles[None].astype(np.float64), seed=0, resamples=2000)
    return float(np.clip(low[0], -1, 1)), float(np.clip(high[0], -1, 1))


def _sensitivity(series: pd.DataFrame) -> float:
    """Return the median over steps of mean step / deviation over pairs; NaN for a single pair."""
    pairs = series.groupby(level=["content", "style"]).mean()
    steps = np.diff(pairs.to_numpy(dtype=np.float64), axis=1)
    if len(steps) < 2:
        return float("nan")
    spread = steps.std(axis=0, ddof=1)
    varied = spread > 0
    if not varied.any():
        return float("nan")
    return float(np.median(steps.mean(axis=0)[varied] / spread[varied]))


def _seed_spread(series: pd.DataFrame) -> float:
    """Return the deviation over seeds as a share of the sweep's range; NaN for a single seed."""
    pairs = series.groupby(level=["content", "style", "steps"])
    if pairs.size().min() < 2:
        return float("nan")
    middle = pairs.mean().to_numpy(dtype=np.float64)
    reach = np.abs(middle[:, -1] - middle[:, 0])
    spread = pairs.std().to_numpy(dtype=np.float64)[:, 1:].mean(axis=1)
    return float(np.mean(spread[reach > 0] / reach[reach > 0])) if (reach > 0).any() else np.nan


def summarise(
    by_kind: pd.DataFrame, cards: Mapping[str, MetricCard], costs: Mapping[str, float]
) -> pd.DataFrame:
    """Return ``Validation.summary`` from the ratings of :func:`rate`, in table order."""
    rows = []
    for (name, part), group in by_kind.groupby(["metric", "part"], sort=False):
        worst = group.sort_values("tau", kind="stable").iloc[0]
        styles = pd.DataFrame(group["styles"].tolist()).mean().to_numpy(dtype=np.float64)
        low, high = _tau_interval(styles)
        rows.append(
            {
                "metric": name,
                "part": part,
                "measures": worst["measures"],
                "tau": group["tau"].mean(),
                "low": low,
                "high": high,
                "worst": f"{worst['kind']} {worst['base']}".strip(),
                "worst_tau": worst["tau"],
                "sensitivity": group["sensitivity"].mean(),
                "seed_spread": group["seed_spread"].mean(),
                "ms": costs.get(str(name), np.nan),
                "trusted": _verdict(group),
            }
        )
    return pd.DataFrame(rows, columns=SUMMARY).astype({"trusted": "boolean"})


def _verdict(ratings: pd.DataFrame) -> bool | None:
    """Return whether a metric orders every kind of sweep; None if its order is not certain."""
    if (ratings["measures"] == BOTH).any():
        return None
    return bool((ratings["tau"] >= TRUSTED_TAU).all())
