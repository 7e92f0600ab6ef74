"""Similarity of style descriptors of output and style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_distances import embedding_cosine

NETWORK = "csd_vit_l14"


class Csd(PairMetric):
    """Cosine of CSD's style descriptors of output and style.

    The network is CLIP ViT-L/14, trained further to tell artists apart. Pictures are scaled to a
    short side of 224 px, bicubically, and cropped to the central square, so the borders of an
    oblong picture do not count. Read the gain over the content copy, not the value: the
    descriptors of all pictures are alike. The authors state that the published weights do not give
    the numbers of the paper.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="CSD",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(-1.0, 1.0),
        citation="Somepalli et al., ECCV 2024, arXiv 2404.01292",
        description="Similarity of the style descriptors of output and style; read its gain over"
        " the content copy.",
        features=(Features(NETWORK, ("embedding",), ("output", "style")),),
        ideal="style",
        presets=("field",),
        order=120,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the cosine, float64 (B,)."""
        return {"": embedding_cosine(pair, NETWORK, "style")}
