"""Seconds of preparing a method for a new style."""

from __future__ import annotations

from statistics import median
from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class PrepareSeconds(TimingMetric):
    """Median wall-clock time of ``prepare``, the work that depends on the style alone."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Per-style cost",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="s",
        citation="nstbench, metric reference: timing",
        description="Time to prepare a new style, needed once per style; without training.",
        order=220,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the median, and the number ``n`` of samples."""
        if not timing.prepare:
            return {}
        return {"": median(timing.prepare), "n": float(len(timing.prepare))}
