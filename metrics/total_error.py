"""Content and style error together."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.universal_factor import FEATURES, total_errors


class TotalError(PairMetric):
    """T(x) = e_content(x) + e_style(x): 0 for the ideal, 1 for copies of content and style.

    It is a sum: the Euclidean norm of two errors is below 1 for every mixture of the copies.
    On dark styles of little contrast, blends have T = 0.4. The universal error factor therefore
    divides T by the best trivial answer of the pair.
    """

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Total error",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="T = content error + style error: 0 for the ideal, 1 for the content copy and"
        " for the style copy.",
        features=FEATURES,
        role="total",
        presets=("core",),
        order=15,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the sum under ``""``, and of each network under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike for an error.
        """
        return total_errors(pair)
