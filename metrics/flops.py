"""Floating-point operations of stylising one picture."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class Flops(TimingMetric):
    """Floating-point operations of one ``stylize`` call at the timed size; approximate.

    Matrix products, convolutions and attention are counted, including backward passes, with two
    operations per multiply-add. Element-wise arithmetic, pooling, normalisation and sorting are
    not counted. Loading and the per-style cost are left out, as in the latency. Methods that
    compute outside torch have no value. The number does not determine the speed: the times of two
    methods of equal count may differ by a factor of ten.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="FLOPs",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="FLOP",
        citation="torch.utils.flop_counter; nstbench, metric reference: timing",
        description="Approximate floating-point operations of stylising one picture:"
        " convolutions and matrix products only.",
        order=255,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the count, or ``{}`` if it could not be measured."""
        return {} if timing.flops is None else {"": float(timing.flops)}
