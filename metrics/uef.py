"""The universal error factor: is an output better than the trivial answers of its pair?"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.universal_factor import FEATURES, universal_factors


class UniversalErrorFactor(PairMetric):
    """UEF(x) = T(x) / bar(c, s) with T = e_content + e_style, bar the least T of trivial answers.

    The trivial answers are the content copy, Reinhard's colour transfer and blends with 30, 50 and
    70 % of the style. Below 1 an output beats all of them, and the style copy, on its pair. It does
    not say that people like the output.
    """

    # No home: half of the number is on AlexNet, and the parts show each network alone.
    info: ClassVar[MetricInfo] = MetricInfo(
        title="UEF",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="nstbench, metric reference: universal error factor",
        description="Content error + style error, in units of the pair's best trivial answer:"
        " below 1 beats both copies, a colour transfer and the tested blends. It does not say that"
        " people like the picture.",
        version=2,
        features=FEATURES,
        role="quality",
        presets=("core", "field"),
        order=10,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the factor under ``""`` and its parts, float64 (B,) each.

        Parts: each network's under its name; ``bar``, the least T of the trivial answers; and
        ``content of A`` and ``style of A``, the errors of each trivial answer A.

        Raises:
            DegeneratePair: if content and style are too alike for an error.
        """
        return universal_factors(pair)
