"""Pictures stylised per second."""

from __future__ import annotations

from statistics import median
from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class Throughput(TimingMetric):
    """Pictures per second, one after another; with a part for batches if they were timed."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Throughput",
        scope=Scope.TIMING,
        higher_is_better=True,
        range=(0.0, float("inf")),
        unit="1/s",
        citation="nstbench, metric reference: timing",
        description="Pictures per second when they are stylised one after another.",
        order=210,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return pictures per second, and ``batch``: in batches of ``batch_size`` pictures."""
        if not timing.latency:
            return {}
        values = {"": 1.0 / median(timing.latency)}
        if timing.batch_seconds:
            values["batch"] = timing.batch / median(timing.batch_seconds)
            values["batch_size"] = float(timing.batch)
        return values
