"""Difference of the means and deviations of activations between output and style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.layer_moments import MOMENT_TAGS, deviation


class StyleMoments(PairMetric):
    """mean_l [ mean_k (m_x - m_s)^2 + mean_k (d_x - d_s)^2 ], l VGG-16 relu1_1 to relu5_1.

    m and d are mean and deviation of channel k over the places of one picture, d =
    sqrt(variance + 1e-5). It is the style loss that AdaIN trains with, averaged over layers as in
    MicroAST's evaluation, on torchvision's VGG-16 instead of the normalised VGG-19.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Style moments",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Huang and Belongie, ICCV 2017, arXiv 1703.06868, eq. 13, on VGG-16",
        description="Squared difference of the means and deviations of VGG-16 activations to the"
        " style's.",
        features=(Features("vgg16", GRAM_LAYERS, ("output", "style"), gram=True),),
        home_for=MOMENT_TAGS,
        ideal="style",
        presets=("field",),
        order=111,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the difference, and the terms of means and deviations, float64 (B,) each."""
        means, deviations = [], []
        for layer in GRAM_LAYERS:
            output, style = (pair.mean("vgg16", of, layer) for of in ("output", "style"))
            means.append((output - style).square().mean(dim=1))
            output, style = (deviation(pair, "vgg16", of, layer) for of in ("output", "style"))
            deviations.append((output - style).square().mean(dim=1))
        mean, spread = (torch.stack(terms).mean(dim=0) for terms in (means, deviations))
        return {"": mean + spread, "mean": mean, "deviation": spread}
