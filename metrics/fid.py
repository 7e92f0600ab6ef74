"""Frechet Inception distance between outputs and styles."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import Features, MetricInfo, Scope
from nstbench.score.maths.feature_sets import FrechetMetric


class Fid(FrechetMetric):
    """FID on the TensorFlow port of Inception v3, outputs of a method against all styles.

    Pictures are quantised to 8 bits and resized to 299 x 299 as TensorFlow 1 does it, without
    antialiasing and whatever their proportions; another resize gives another FID. With fewer
    than 2049 pictures the covariances are singular; the bias falls with the number of outputs
    and depends on the method, so read ``n``, ``kid`` and ``fid_inf`` beside it.
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
        order=81,
    )
