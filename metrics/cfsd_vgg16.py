"""Content feature structural distance on VGG-16."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_similarity import row_divergences

LAYER = "relu3_1"


class CfsdVgg16(PairMetric):
    """Mean over places of KL(P_i(c) | P_i(x)), P_i the softmax over j of f_i . f_j / C^2.

    f are VGG-16 relu3_1 activations. It is CFSD with two stated differences: the authors use
    VGG-19, and sum over places. The part ``sum`` is their sum, which grows with the number of
    pixels. The logits are small, so the value is decided by the strongest activations.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="CFSD (VGG-16)",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Chung, Hyun, Heo, CVPR 2024, arXiv 2312.09008, on VGG-16, mean over places",
        description="Change of how alike the places of the content are to each other, on VGG-16;"
        " 0 for equal pictures.",
        features=(Features("vgg16", (LAYER,), ("output", "content")),),
        ideal="content",
        presets=("field",),
        order=66,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the mean over places, and their ``sum``, float64 (B,) each."""
        total = row_divergences(pair, "vgg16", LAYER)
        places = pair.features("vgg16", "output")[LAYER][0, 0].numel()
        return {"": total / places, "sum": total}
