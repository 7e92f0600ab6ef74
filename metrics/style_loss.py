"""Style loss of Gatys et al.: distance of Gram matrices to those of the style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.feature_distances import squared_gram_distance


class StyleLoss(PairMetric):
    """L = sum_l 1/5 E_l with E_l = 1 / (4 C^2 N^2) sum (G(x) - G(s))^2 on VGG-16.

    The Gram matrices of the paper are not divided. Output and style may differ in size here, so
    each matrix is divided by its own N first, which gives the same result for equal sizes.
    Johnson's paper and pystiche have 4 times these numbers. Codes that divide by another C^2
    (neural-style and programs based on it) are not comparable.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Style loss",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 4 and 5",
        description="Weighted squared difference of VGG-16 Gram matrices to the style's.",
        features=(Features("vgg16", GRAM_LAYERS, ("output", "style"), gram=True),),
        # Mean and covariance determine the Gram matrix, and the channels' moments its diagonal.
        home_for=(
            *("vgg16-gram", "vgg16-covariance", "vgg16-moments"),
            *("vgg19-gram", "vgg19-covariance", "vgg19-moments"),
        ),
        ideal="style",
        presets=("field",),
        order=110,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the loss, and E_l under each layer's name, float64 (B,)."""
        energies = {}
        for layer in GRAM_LAYERS:
            squares = squared_gram_distance(pair, "vgg16", layer, "output", "style")
            channels = pair.gram("vgg16", "output", layer).shape[1]
            energies[layer] = squares / (4 * channels**2)
        return {"": torch.stack(list(energies.values())).mean(dim=0), **energies}
