"""Is an output better than every trivial answer of its pair?"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.universal_factor import FEATURES, universal_factors

MARGIN = 1e-3
"""How far below 1 the factor must be. Saving a trivial answer as a picture may move it by less."""


class BeatsBar(PairMetric):
    """1 where UEF < 0.999, else 0: a method's mean is the share of pairs on which it is better.

    The trivial answers are the content copy, Reinhard's colour transfer and blends with 30, 50 and
    70 % of the style. A value of 1 does not say that people like the output.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Beats the bar",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(0.0, 1.0),
        citation="nstbench, metric reference: universal error factor",
        description="Share of pairs on which the output beats both copies, a colour transfer and"
        " the tested blends.",
        features=FEATURES,
        role="bar",
        presets=("core",),
        order=12,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return 1 or 0 under ``""``, and of each network alone under its name, float64 (B,).

        Raises:
            DegeneratePair: if content and style are too alike for an error.
        """
        factors = universal_factors(pair)
        parts = {"", *(need.network for need in FEATURES)}
        return {part: (factors[part] < 1 - MARGIN).double() for part in sorted(parts)}
