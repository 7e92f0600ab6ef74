"""Content error: the share of places of the photograph that are not recognised, against chance."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.normalised_errors import CONTENT_FEATURES, content_errors


class ContentError(PairMetric):
    """e_content(x) = (Q(x, c) - Q(c, c)) / (Q(s', c) - Q(c, c)), mean over VGG-16 and AlexNet.

    Q counts how often another place of the photograph fits a place of the output better than the
    right one (:mod:`nstbench.score.maths.place_recognition`).
    """

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Content error",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="How often another place of the photograph fits better than the right one: 0"
        " as seldom as in the photograph itself, 1 as often as in the style picture.",
        version=2,
        features=CONTENT_FEATURES,
        role="content",
        ideal="content",
        presets=("core",),
        order=30,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the error under ``""``, and of each network under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike for an error.
        """
        return content_errors(pair)
