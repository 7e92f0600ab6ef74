"""Change of the self-similarity of DINO's keys between output and content."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import normalize

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair

NETWORK = "dino_vit_b8"


class DinoStructure(PairMetric):
    """mean_ij (S_x(i, j) - S_c(i, j))^2, S the cosines of the keys of DINO's last block.

    The network is ViT-B/8; the keys of all heads are joined, and the class token counts as a
    place. Pictures are scaled to a short side of 224 px (bilinear), the long side to at most
    480 px. The metric ``self_similarity`` asks the same of VGG-16.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="DINO structure",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, 4.0),
        citation="Tumanyan et al., CVPR 2022, arXiv 2201.00424, eq. 4; Caron et al., 2104.14294",
        description="Change of which areas are alike, by the keys of a self-supervised network; 0"
        " for equal pictures.",
        features=(Features(NETWORK, ("keys",), ("output", "content")),),
        ideal="content",
        presets=("field",),
        order=123,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the mean squared change, float64 (B,)."""
        output, content = (
            normalize(pair.features(NETWORK, of)["keys"].flatten(2), dim=1, eps=1e-8)
            for of in ("output", "content")
        )
        change = output.mT @ output - content.mT @ content
        return {"": change.square().mean(dim=(1, 2), dtype=torch.float64)}
