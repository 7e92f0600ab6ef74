"""The universal error factor: distance to the unreachable ideal."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.normalised_errors import (
    CONTENT_FEATURES,
    STYLE_FEATURES,
    universal_errors,
)


class UniversalErrorFactor(PairMetric):
    """UEF(x) = sqrt(e_content^2 + e_style^2), see :mod:`nstbench.score.maths.normalised_errors`.

    Below 1 beats both trivial answers, returning the content and returning the style.
    """

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="UEF",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="Distance to the ideal without content and style error; returning the content"
        " picture scores 1, and so does returning the style picture.",
        features=(*CONTENT_FEATURES, *STYLE_FEATURES),
        role="quality",
        order=10,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the factor under ``""``, and of each network under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike to measure by.
        """
        return universal_errors(pair)
