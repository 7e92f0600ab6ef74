"""Frechet distance between outputs and styles on VGG-16 features; this is not FID."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import Features, MetricInfo, Scope
from nstbench.score.maths.feature_sets import FrechetMetric


class FrechetVgg16(FrechetMetric):
    """Frechet distance of the means over positions of VGG-16 relu5_3, outputs against styles.

    Every style picture counts once, for any number of outputs. With fewer pictures than the 512
    features the covariances are singular and the value is too large, so only methods with the
    same pairs are comparable. The value is not comparable with published FID.
    """

    network = "vgg16"
    layer = "relu5_3"
    info: ClassVar[MetricInfo] = MetricInfo(
        title="FD (VGG-16)",
        scope=Scope.SET,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Heusel et al., arXiv 1706.08500, eq. 6, on VGG-16 features",
        description="Frechet distance between all outputs and all styles on VGG-16 relu5_3 means;"
        " depends on the number of pictures, never comparable with FID.",
        features=(Features("vgg16", ("relu5_3",), ("output", "style")),),
        ideal="style",
        order=80,
    )
