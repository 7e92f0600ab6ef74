"""Seconds per stylised picture."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nstbench.contracts import MetricInfo, Scope, Timing, TimingMetric


class Latency(TimingMetric):
    """Median wall-clock time of one ``stylize`` call, after one untimed call."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Latency",
        scope=Scope.TIMING,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="s",
        citation="nstbench, metric reference: timing",
        description="Median time to stylise one picture after loading and preparing.",
        role="speed",
        order=200,
    )

    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the median, quartiles ``q25`` and ``q75``, ``min`` and the number ``n``.

        On a GPU, ``on_device`` is the median by the GPU's own clock.
        """
        if not timing.latency:
            return {}
        on_device = timing.latency_on_device
        q25, median, q75 = np.percentile(timing.latency, [25, 50, 75])
        return {
            "": float(median),
            "q25": float(q25),
            "q75": float(q75),
            "min": min(timing.latency),
            "n": float(len(timing.latency)),
        } | ({"on_device": float(np.median(on_device))} if on_device else {})
