"""Is an output nearest to its own content among all contents of the run?"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from nstbench.contracts import Features, MetricInfo, Scope, ScoringPair
from nstbench.score.maths.feature_sets import RetrievalMetric
from nstbench.score.maths.place_recognition import places

LAYER = "relu4_1"
GRID = 4


class ContentRetrieval(RetrievalMetric):
    """Mean share of the other contents that are farther from an output than its own one.

    A picture is described by VGG-16 relu4_1 without each channel's mean and deviation, as unit
    vectors of all places that are averaged to 4 x 4 areas. The distance is one minus the cosine.
    Chance is 0.5. Nearly every method scores 1 if the contents are unlike each other.
    """

    of = "content"
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Content retrieval",
        scope=Scope.SET,
        higher_is_better=True,
        range=(0.0, 1.0),
        citation="nstbench, metric reference; retrieval as in Somepalli et al., arXiv 2404.01292",
        description="How often an output is nearer to its own content than to another content of"
        " the run; 1 always, 0.5 by chance.",
        features=(Features("vgg16", (LAYER,), ("output", "content")),),
        ideal="content",
        presets=("core",),
        order=86,
    )

    def describe(self, pair: ScoringPair, of: str) -> torch.Tensor:
        """Return unit vectors (B, 8192)."""

        def make() -> torch.Tensor:
            features = pair.features("vgg16", of)[LAYER]
            at_places = places(features).transpose(1, 2).unflatten(2, features.shape[2:])
            return normalize(adaptive_avg_pool2d(at_places, GRID).flatten(1), dim=1)

        return pair.kept("content_retrieval", (of,), make)

    def distances(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return one minus the cosine, (n, m)."""
        return (1 - first.double() @ second.double().T).clamp_min(0)
