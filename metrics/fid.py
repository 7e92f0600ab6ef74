"""Frechet Inception distance between outputs and styles."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import Features, MetricInfo, Scope
from nstbench.score.maths.feature_sets import FrechetMetric


class Fid(FrechetMetric):
    """FID on the TensorFlow port of Inception v3, outputs of a method against all styles.

    Pictures are quantised to 8 bits and resized to 299 x 299 as in TensorFlow 1, without
    antialiasing and without keeping proportions; other resizing gives other values. With fewer
    than 2049 pictures the covariances are singular. The bias decreases with the number of
    outputs and depends on the method, so read ``n``, ``kid`` and ``fid_inf`` as well.
    """

    network = "inception"
    layer = "pool3"
    info: ClassVar[MetricInfo] = MetricInfo(
        title="FID",
        scope=Scope.SET,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Heusel et al., arXiv 1706.08500, eq. 6; Inception of torch-fidelity",
        description="Frechet Inception distance between all outputs and all styles; biased for"
        " fewer than some thousand pictures.",
        features=(Features("inception", ("pool3",), ("output", "style")),),
        requires=("torch_fidelity",),
        ideal="style",
        presets=("field",),
        order=81,
    )
