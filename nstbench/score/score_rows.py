"""Rows of the table of scores: one per unit, metric and part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from nstbench.core.cards import MetricCard
from nstbench.core.records import Scope, Timing
from nstbench.plugins import registry
from nstbench.store.run_info import SCORE_COLUMNS


def score_row(
    unit: Mapping[str, Any], metric: str, part: str, value: float | None
) -> dict[str, Any]:
    """Return a row of the score table; a missing value is NaN."""
    return {
        "method": unit["method"],
        "plugin": unit["plugin"],
        "content": unit["content"],
        "style": unit["style"],
        "size": unit["size"],
        "seed": unit["seed"],
        "metric": metric,
        "part": part,
        "value": float("nan") if value is None else float(value),
    }


def timing_scores(
    scores: pd.DataFrame, timings: Iterable[Timing], cards: Mapping[str, MetricCard]
) -> pd.DataFrame:
    """Return the scores, and those of timing metrics, which are read from timing records."""
    usable = [n for n, c in cards.items() if c.scope == Scope.TIMING and c.availability.ok]
    metrics = {name: registry.load("metrics", name)() for name in usable}
    rows = [
        score_row(
            {
                "method": timing.method,
                "plugin": timing.plugin,
                "content": "",
                "style": "",
                "size": timing.size,
                "seed": None,
            },
            name,
            part,
            value,
        )
        for timing in timings
        for name, metric in metrics.items()
        for part, value in metric.compute(timing).items()
    ]
    added = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    frames = [frame for frame in (scores, added) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else scores
