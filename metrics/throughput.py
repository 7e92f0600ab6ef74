"""Pictures stylised per second."""

from __future__ import annotations

from statistics import median
from typing import ClassVar

from nstbench.contracts import MetricInfo, TimingMetric
from nstbench.records import Scope, Timing


class Throughput(TimingMetric):
    """Inverse of the median latency: pictures per second, one after another."""

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
        """Return pictures per second."""
        return {"": 1.0 / median(timing.latency)} if timing.latency else {}
