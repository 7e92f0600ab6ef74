"""Seconds of loading a method."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class LoadSeconds(TimingMetric):
    """Wall-clock time of ``load``: reading weights, building and compiling networks."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Load",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="s",
        citation="nstbench, metric reference: timing",
        description="Time to load weights and networks, needed once per process.",
        order=230,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the seconds of ``load``, which is called once."""
        return {"": timing.load}
