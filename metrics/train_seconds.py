"""Seconds of training of a method's checkpoint."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class TrainSeconds(TimingMetric):
    """Training time from the checkpoint's card, on the machine that trained it."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Training",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="s",
        citation="nstbench, metric reference: timing",
        description="Training time of the model, from its card; 0 for methods without training,"
        " missing for published weights.",
        order=240,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the seconds, or ``{}`` if they are unknown."""
        return {} if timing.training is None else {"": timing.training}
