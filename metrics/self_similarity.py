"""Change of the self-similarity of the content: which areas are alike, and which are not."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.nn.losses.gram import self_products

LAYER = "relu4_1"
MOST = 32


class SelfSimilarity(PairMetric):
    """Difference of the row-normalised self-similarity matrices of output and content.

    D(i, j) is the cosine distance between the VGG-16 relu4_1 activations at positions i and
    j, averaged to at most 32 x 32 positions, and P(i, .) = D(i, .) / sum_j D(i, j). The value is
    the mean over i of 1/2 sum_j |P_x(i, j) - P_c(i, j)|: the changed share of each row, from 0
    to 1 for any size. STROTSS uses the plain mean of the same differences, which is 2/n times
    this value for n positions.

    The value is small if similar areas are painted alike and different areas differently, in any
    colours; these are the two criteria of Novak and Nikulin, arXiv 1605.04603.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Self-similarity",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, 1.0),
        citation="Kolkin, Salavon, Shakhnarovich, CVPR 2019, arXiv 1904.12785",
        description="Change of the pattern of similar and different areas of the content;"
        " ignores colour.",
        features=(Features("vgg16", (LAYER,), ("output", "content")),),
        ideal="content",
        presets=("core",),
        order=65,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the difference, float64 (B,)."""
        output = _rows(pair.features("vgg16", "output")[LAYER])
        content = pair.kept(
            "self_similarity",
            ("content",),
            lambda: _rows(pair.features("vgg16", "content")[LAYER]),
        )
        moved = (output - content).abs_().sum(dim=2)
        return {"": 0.5 * moved.mean(dim=1, dtype=torch.float64)}


def _rows(features: torch.Tensor) -> torch.Tensor:
    """Return P (B, n, n) of activations (B, C, H, W)."""
    height, width = (min(side, MOST) for side in features.shape[2:])
    units = normalize(adaptive_avg_pool2d(features, (height, width)).flatten(2), dim=1)
    distances = self_products(units[:, None], units.dtype).neg_().add_(1).clamp_(min=0)
    total = distances.sum(dim=2, keepdim=True)
    # In a flat picture all positions are equal and all distances are rounding errors.
    flat = total < 1e-4 * distances.shape[2]
    return distances.div_(total).masked_fill_(flat, 1 / distances.shape[2])
