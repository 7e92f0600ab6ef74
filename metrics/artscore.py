"""How much an output looks like a painting instead of a photograph, without reference."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair

NETWORK = "artscore"


class ArtScore(PairMetric):
    """Score of a ResNet-50 that was trained to order mixtures of a photograph and a painting.

    It reads neither content nor style. The unit is arbitrary: only differences between pictures
    mean something. Pictures are scaled to a short side of 224 px (bilinear).
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="ArtScore",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(float("-inf"), float("inf")),
        citation="Chen et al., IEEE Trans. Multimedia 26, 2024, arXiv 2305.04923",
        description="How much the output looks like a painting; reads neither content nor style.",
        features=(Features(NETWORK, ("score",), ("output",)),),
        presets=("field",),
        order=124,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the score, float64 (B,)."""
        return {"": pair.features(NETWORK, "output")["score"].flatten(1)[:, 0].double()}
