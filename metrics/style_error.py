"""Style error in units of the content picture's."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.normalised_errors import STYLE_FEATURES, style_errors


class StyleError(PairMetric):
    """e_style(x) = mean_l |G(x) - G(s)| / |G(c) - G(s)|, mean over VGG-16 and AlexNet."""

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Style error",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="Distance to the style: 0 for the style picture, 1 for the content picture;"
        " mean of VGG-16 and AlexNet.",
        features=STYLE_FEATURES,
        role="style",
        ideal="style",
        presets=("core",),
        order=20,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the error under ``""``, and of each network under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike to measure by.
        """
        return style_errors(pair)
