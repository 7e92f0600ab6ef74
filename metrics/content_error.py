"""Content error in units of the style picture's."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.normalised_errors import CONTENT_FEATURES, content_errors


class ContentError(PairMetric):
    """e_content(x) = |F(x) - F(c)| / |F(s') - F(c)|, mean over VGG-16 relu4_2 and AlexNet conv4."""

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Content error",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="Lost content: 0 for the content picture, 1 for the style picture;"
        " mean of VGG-16 and AlexNet.",
        features=CONTENT_FEATURES,
        role="content",
        ideal="content",
        order=30,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the error under ``""``, and of each network under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike to measure by.
        """
        return content_errors(pair)
