"""Multi-scale structural similarity to the content, on luma."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import avg_pool2d

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.core.errors import ImageError
from nstbench.score.maths.structural_similarity import (
    WINDOW,
    content_luma,
    output_luma,
    pair_terms,
    terms,
    window_means,
)

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class MsSsim(PairMetric):
    """Product over five scales of SSIM's terms, each to the power of its published weight.

    Contrast and structure count at every scale, luminance at the coarsest only. Each scale has
    half the sides of the one before (means of 2 x 2 pixels). Terms below 0 count as 0. A picture
    with a side below 176 px has fewer scales than five, because the window of 11 px has to fit;
    the weights of its scales are then divided by their sum.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="MS-SSIM (luma)",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(0.0, 1.0),
        citation="Wang, Simoncelli, Bovik, Asilomar 2003, eq. 7",
        description="Structural similarity to the content in brightness at five scales; 1 for"
        " equal pictures.",
        ideal="content",
        presets=("field",),
        order=71,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the similarity and the number of ``scales``, float64 (B,) each.

        Raises:
            ImageError: if a side is shorter than the window.
        """
        scales = _scales(pair.output.height, pair.output.width)
        found = [pair_terms(pair)]
        x, y = output_luma(pair), content_luma(pair)
        for _ in range(1, scales):
            x, y = (avg_pool2d(luma[:, None], 2)[:, 0] for luma in (x, y))
            found.append(terms(x, y, window_means(y)))
        weights = torch.tensor(WEIGHTS[:scales], dtype=torch.float64, device=x.device)
        similarity = torch.ones_like(found[0][:, 0])
        for k, (values, weight) in enumerate(zip(found, weights / weights.sum(), strict=True), 1):
            last = k == scales
            similarity = similarity * values[:, 0 if last else 1].clamp_min(0) ** weight
        return {"": similarity, "scales": torch.full_like(similarity, scales)}


def _scales(height: int, width: int) -> int:
    """Return the number of scales at which the window fits, at most five."""
    side = min(height, width)
    if side < WINDOW:
        raise ImageError(f"MS-SSIM needs at least {WINDOW} px a side, got {width} x {height}")
    return min(len(WEIGHTS), (side // WINDOW).bit_length())
