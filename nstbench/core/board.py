"""The result of a run as tables, for the Python API and the report."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from nstbench.core.cards import MethodCard, MetricCard, PictureCard
from nstbench.core.records import Scope, Timing


def quality_metric(
    metrics: Mapping[str, MetricCard], measured: Container[str]
) -> MetricCard | None:
    """Return the metric that orders a board.

    It is the metric with the role ``"quality"``. If it has no value in this run (missing
    weights, for example), the first pair metric in table order with a value takes its place.
    Without any value the board is not ordered.

    Args:
        metrics: cards of the run's metrics, in table order.
        measured: names of the metrics with at least one finite value.
    """
    pair = [c for c in metrics.values() if c.scope == Scope.PAIR and c.name in measured]
    return next((card for card in pair if card.role == "quality"), pair[0] if pair else None)


@dataclass(frozen=True, eq=False)
class Board:
    """A run: its facts, units, scores and leaderboard.

    Attributes:
        root: run folder; paths in the tables are relative to it.
        info: ``run.json``: ``name``, ``command``, ``config``, ``suite``, ``environment``,
            ``started``, ``finished`` (ISO 8601, UTC), ``version``.
        units: one row per unit: ``key, method, plugin, content, style, size, seed, status,
            message, traceback, seconds, output`` (``output`` is a path or an empty string).
        scores: tidy, one row per value: ``method, plugin, content, style, size, seed, metric,
            part, value``. ``method`` is the variant's label, ``plugin`` its registry name.
            ``part`` is ``""`` for a metric's own value. Set and timing metrics leave
            ``content`` and ``style`` empty and ``seed`` missing.
        leaderboard: one row per method variant and size, best first: ``rank, rank_low,
            rank_high, method, plugin, flexibility, size, coverage`` (``"15/16"``), ``done,
            planned``, then each metric under its registry name, with ``<metric>_low`` and
            ``<metric>_high`` (95 % interval) where there is one. Missing numbers are NaN.
            ``<metric>_coverage`` (``"4/6"``) is there if a method has fewer values of the metric
            than done units, and empty for the other methods. ``<metric>_seeds`` is the standard
            deviation of the value over the seeds of a run with several seeds. For the metric with
            the role ``"bar"``, ``<metric>_beaten`` (``Int64``) is the number of pairs that are
            better than every trivial answer with every seed, of ``<metric>_pairs`` with a value.
            Baselines are ranked together with the methods and have flexibility ``"baseline"``.
            Ranks (``Int64``) are missing at sizes without a value of the ordering metric.
        timings: raw timing records.
        methods: variant label -> card, in the order of the configuration.
        metrics: metric name -> card, in table order.
        pictures: cards of all contents and styles.
        missing: one row per value that a metric does not have: ``method, content, style, size,
            seed, metric, reason``. Set metrics leave ``content`` and ``style`` empty.
    """

    root: Path
    info: Mapping[str, Any]
    units: pd.DataFrame
    scores: pd.DataFrame
    leaderboard: pd.DataFrame
    timings: tuple[Timing, ...]
    methods: Mapping[str, MethodCard]
    metrics: Mapping[str, MetricCard]
    pictures: tuple[PictureCard, ...]
    missing: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["method", "metric", "reason"])
    )

    @property
    def measured(self) -> frozenset[str]:
        """Names of the metrics that have a number on the leaderboard."""
        columns = self.leaderboard.columns
        return frozenset(
            name
            for name in self.metrics
            if name in columns and self.leaderboard[name].notna().any()
        )

    @property
    def quality(self) -> MetricCard | None:
        """Metric that orders the leaderboard, or ``None`` (see :func:`quality_metric`)."""
        return quality_metric(self.metrics, self.measured)

    def metric_with_role(self, role: str) -> MetricCard | None:
        """Return the metric with a role (see MetricInfo), or ``None`` if the run has none."""
        return next((m for m in self.metrics.values() if m.role == role), None)

    def trace(self, key: str) -> list[dict[str, float]]:
        """Return the loss trace of a unit: rows of step, seconds and losses; may be empty."""
        path = self.root / "traces" / f"{key}.json"
        return list(json.loads(path.read_text())["steps"]) if path.exists() else []
