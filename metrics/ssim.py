"""Structural similarity to the content, on luma."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.core.errors import ImageError
from nstbench.score.maths.structural_similarity import WINDOW, pair_terms


class Ssim(PairMetric):
    """Mean SSIM of output and content on luma in [0, 1]: Gaussian window, sigma 1.5, 11 px.

    On RGB it would penalise the transfer of colours, which is intended. The data range is fixed
    and not inferred from the pictures. Arithmetic is float64, and only positions whose window is
    inside the picture count.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="SSIM (luma)",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(-1.0, 1.0),
        citation="Wang et al., IEEE Trans. Image Processing 13(4), 2004, eq. 13",
        description="Structural similarity to the content in brightness; 1 for equal pictures.",
        ideal="content",
        presets=("core", "field"),
        order=70,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the mean SSIM, float64 (B,).

        Raises:
            ImageError: if a side is shorter than the window.
        """
        if min(pair.output.height, pair.output.width) < WINDOW:
            raise ImageError(
                f"SSIM needs at least {WINDOW} px a side,"
                f" got {pair.output.width} x {pair.output.height}"
            )
        return {"": pair_terms(pair)[:, 0]}
