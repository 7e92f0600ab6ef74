"""Similarity of the CLIP embeddings of output and style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.feature_distances import embedding_cosine

NETWORK = "clip_vit_b32"


class ClipStyle(PairMetric):
    """Cosine of the embeddings of output and style by CLIP ViT-B/32's picture encoder.

    Pictures are scaled to a short side of 224 px, bicubically, and cropped to the central square.
    Read the gain over the content copy, not the value: an unchanged photograph has a high cosine
    with any painting of the same subject, and some published methods are below it.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="CLIP (style)",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(-1.0, 1.0),
        citation="Radford et al., ICML 2021, arXiv 2103.00020",
        description="Similarity of the CLIP embeddings of output and style; read its gain over"
        " the content copy.",
        features=(Features(NETWORK, ("embedding",), ("output", "style")),),
        ideal="style",
        presets=("field",),
        order=121,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the cosine, float64 (B,)."""
        return {"": embedding_cosine(pair, NETWORK, "style")}
