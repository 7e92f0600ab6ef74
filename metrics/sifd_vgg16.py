"""Frechet distance between the activations of one output and one style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.frechet import covariance_distance, symmetric_root
from nstbench.score.maths.layer_moments import MOMENT_TAGS, covariance

LAYER = "relu3_1"


class SifdVgg16(PairMetric):
    """|m_x - m_s|^2 + tr(S_x + S_s - 2 (S_x S_s)^(1/2)) over the places of VGG-16 relu3_1.

    m and S are mean and covariance (divided by N) of the 256 channels over the places of one
    picture. SIFID is the same formula on 192 channels of Inception, and has another scale. Below
    64 px a side a covariance is singular, and the value too large.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Frechet (1 picture)",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Shaham, Dekel, Michaeli, ICCV 2019, arXiv 1905.01164, on VGG-16 features",
        description="Frechet distance between the VGG-16 activations of output and style; not"
        " comparable with SIFID.",
        features=(Features("vgg16", (LAYER,), ("output", "style"), gram=True),),
        home_for=MOMENT_TAGS,
        ideal="style",
        order=47,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        means = [pair.mean("vgg16", of, LAYER) for of in ("style", "output")]
        style, output = (covariance(pair, "vgg16", of, LAYER) for of in ("style", "output"))
        root = pair.kept(
            "sifd_vgg16 root",
            ("style",),
            lambda: symmetric_root(covariance(pair, "vgg16", "style", LAYER)),
        )
        distance = (means[0] - means[1]).square().sum(dim=1)
        distance = distance + covariance_distance(style, output, root)
        # The difference of nearly equal numbers may round to just below zero.
        return {"": distance.clamp_min(0)}
