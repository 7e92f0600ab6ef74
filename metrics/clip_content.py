"""Similarity of the CLIP embeddings of output and content."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_distances import embedding_cosine

NETWORK = "clip_vit_b32"


class ClipContent(PairMetric):
    """Cosine of the embeddings of output and content by CLIP ViT-B/32's picture encoder.

    Pictures are scaled to a short side of 224 px, bicubically, and cropped to the central square.
    The embedding names what is in the picture, and hardly where.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="CLIP (content)",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(-1.0, 1.0),
        citation="Radford et al., ICML 2021, arXiv 2103.00020",
        description="Similarity of the CLIP embeddings of output and content.",
        features=(Features(NETWORK, ("embedding",), ("output", "content")),),
        ideal="content",
        presets=("field",),
        order=122,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the cosine, float64 (B,)."""
        return {"": embedding_cosine(pair, NETWORK, "content")}
