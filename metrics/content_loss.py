"""Content loss of Gatys et al.: distance of deep activations to those of the content."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_distances import squared_distance

LAYER = "relu4_2"


class ContentLoss(PairMetric):
    """L = 1/2 sum (F(x) - F(c))^2 at relu4_2 of VGG-16, undivided as in the paper.

    A sum over positions grows with the size of the picture. The part ``per_element`` is the same
    divided by the number of activations. The paper uses VGG-19.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Content loss",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 1",
        description="Squared difference of VGG-16 relu4_2 activations to the content's; grows"
        " with picture size.",
        features=(Features("vgg16", (LAYER,), ("output", "content")),),
        home_for=("vgg16-content", "vgg19-content"),
        ideal="content",
        presets=("field",),
        order=120,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the loss and its part ``per_element``, each float64 (B,)."""
        loss = 0.5 * squared_distance(pair, "vgg16", LAYER, "output", "content")
        elements = pair.features("vgg16", "output")[LAYER][0].numel()
        return {"": loss, "per_element": loss / elements}
