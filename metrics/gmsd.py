"""Gradient magnitude similarity deviation between output and content."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import avg_pool2d, pad

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.core.errors import ImageError
from nstbench.score.maths.structural_similarity import content_luma, output_luma

CONSTANT = 170 / 255**2
"""The authors' 170 for values up to 255, for values up to 1."""

LEAST = 4


class Gmsd(PairMetric):
    """Deviation over positions of (2 g_x g_c + k) / (g_x^2 + g_c^2 + k), g gradient magnitudes.

    Gradients are Prewitt's, on BT.601 luma averaged over 2 x 2 pixels. Zeros surround the
    picture, as in the authors' code. The deviation is small if edges are kept, or lost, everywhere
    alike: a uniformly faded picture scores better than one that is damaged in one place.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="GMSD",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, 1.0),
        citation="Xue, Zhang, Mou, Bovik, IEEE Trans. Image Processing 23(2), 2014, eq. 4-6",
        description="How unevenly the edges of the content are kept; 0 for equal pictures.",
        ideal="content",
        presets=("field",),
        order=72,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the deviation, float64 (B,).

        Raises:
            ImageError: if a side is shorter than 4 px.
        """
        if min(pair.output.height, pair.output.width) < LEAST:
            raise ImageError(
                f"GMSD needs at least {LEAST} px a side,"
                f" got {pair.output.width} x {pair.output.height}"
            )
        x = _gradients(output_luma(pair))
        y = pair.kept("gmsd", ("content",), lambda: _gradients(content_luma(pair)))
        similarity = (2 * x * y + CONSTANT) / (x.square() + y.square() + CONSTANT)
        return {"": similarity.flatten(1).std(dim=1)}


def _gradients(luma: torch.Tensor) -> torch.Tensor:
    """Return gradient magnitudes (B, H // 2, W // 2) of luma (B, H, W)."""
    small = pad(avg_pool2d(luma[:, None], 2)[:, 0], (1, 1, 1, 1))
    rows = small[:, :-2] + small[:, 1:-1] + small[:, 2:]
    columns = small[:, :, :-2] + small[:, :, 1:-1] + small[:, :, 2:]
    across = (rows[:, :, :-2] - rows[:, :, 2:]) / 3
    down = (columns[:, :-2] - columns[:, 2:]) / 3
    return (across.square() + down.square()).sqrt()
