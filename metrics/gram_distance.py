"""Distance of Gram matrices on a scale from 0 to 1."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.feature_distances import squared_gram_distance, squared_gram_norm


class GramDistance(PairMetric):
    """mean_l |G(x) - G(s)|^2 / (|G(x)|^2 + |G(s)|^2), Frobenius norms, each G divided by its N.

    Gram matrices are positive semi-definite, so their inner product is never negative and
    each term is in [0, 1]. There is no constant, and wide layers do not dominate.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Gram distance",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, 1.0),
        citation="nstbench, metric reference; statistics of Gatys et al., arXiv 1508.06576",
        description="Relative distance of VGG-16 Gram matrices to the style's: 0 equal,"
        " 1 disjoint.",
        features=(Features("vgg16", GRAM_LAYERS, ("output", "style"), gram=True),),
        # Mean and covariance determine the Gram matrix, and the channels' moments its diagonal.
        home_for=(
            *("vgg16-gram", "vgg16-covariance", "vgg16-moments"),
            *("vgg19-gram", "vgg19-covariance", "vgg19-moments"),
        ),
        ideal="style",
        presets=("core",),
        order=40,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        terms = []
        for layer in GRAM_LAYERS:
            difference = squared_gram_distance(pair, "vgg16", layer, "output", "style")
            output, style = (
                squared_gram_norm(pair, "vgg16", layer, of) for of in ("output", "style")
            )
            total = output + style
            # Two pictures without any activation in a layer are equal there.
            terms.append(torch.where(total > 0, difference / total, 0.0))
        return {"": torch.stack(terms).mean(dim=0)}
