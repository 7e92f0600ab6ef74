"""LPIPS v0.1 on AlexNet: perceptual distance to the content."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.nn.backbones.lpips import LPIPS_ALEX, LPIPS_ALEX_LAYERS, lpips_distance
from nstbench.nn.weights import cache


class LpipsAlex(PairMetric):
    """LPIPS v0.1 with the linear heads for AlexNet between output and content."""

    info: ClassVar[MetricInfo] = MetricInfo(
        title="LPIPS (AlexNet)",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Zhang et al., CVPR 2018, arXiv 1801.03924; version 0.1",
        description="Learned perceptual distance to the content, on AlexNet; 0 for equal pictures.",
        features=(Features("alexnet", LPIPS_ALEX_LAYERS, ("output", "content")),),
        weights=(LPIPS_ALEX,),
        ideal="content",
        presets=("core", "field"),
        order=50,
    )

    def load(self, device: torch.device) -> None:
        """Load the linear heads onto ``device``."""
        self._heads = {k: v.to(device) for k, v in cache.load(LPIPS_ALEX).items()}

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        output, content = (pair.features("alexnet", of) for of in ("output", "content"))
        return {"": lpips_distance(output, content, self._heads)}
