"""Content feature structural distance, as its authors compute it."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_similarity import row_divergences

LAYER = "relu3_1"


class Cfsd(PairMetric):
    """Sum over places of KL(P_i(c) | P_i(x)), P_i the softmax over j of f_i . f_j / C^2.

    f are VGG-19 relu3_1 activations. The sum grows with the number of pixels: at 512 px it is
    about four times that at 256 px. The part ``mean`` is the mean over places.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="CFSD",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Chung, Hyun, Heo, CVPR 2024, arXiv 2312.09008",
        description="Change of how alike the places of the content are to each other, on VGG-19;"
        " grows with the number of pixels.",
        features=(Features("vgg19", (LAYER,), ("output", "content")),),
        ideal="content",
        presets=("field",),
        order=125,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the sum over places, and their ``mean``, float64 (B,) each."""
        total = row_divergences(pair, "vgg19", LAYER)
        places = pair.features("vgg19", "output")[LAYER][0, 0].numel()
        return {"": total, "mean": total / places}
