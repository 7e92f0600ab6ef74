"""Number of parameters of a method's networks."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class ParameterCount(TimingMetric):
    """Number of parameters, trained and frozen, held after ``load``."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Parameters",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: timing",
        description="Network parameters that must be loaded to stylise a picture.",
        order=260,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the number, or ``{}`` for methods that do not report it."""
        return {} if timing.parameters is None else {"": float(timing.parameters)}
