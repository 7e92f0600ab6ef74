"""Peak memory of stylising one picture."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class PeakMemory(TimingMetric):
    """Peak memory above the level after loading.

    On CUDA it is the peak of the allocator, on Linux CPUs the peak resident set of the worker;
    the two are not comparable.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Peak memory",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="B",
        citation="nstbench, metric reference: timing",
        description="Peak memory of stylising one picture above the level after loading.",
        role="memory",
        order=250,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the bytes, or ``{}`` if they could not be measured."""
        return {} if timing.peak_memory is None else {"": float(timing.peak_memory)}
