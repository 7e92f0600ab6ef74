"""Structural similarity to the content, on luma."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.core.errors import ImageError

# Y' of ITU-R BT.601, the luma of JPEG.
LUMA = (0.299, 0.587, 0.114)
SIGMA = 1.5
RADIUS = 5
DATA_RANGE = 1.0
K1, K2 = 0.01, 0.03


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
        order=70,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the mean SSIM, float64 (B,).

        Raises:
            ImageError: if a side is shorter than the window.
        """
        if min(pair.output.height, pair.output.width) < 2 * RADIUS + 1:
            raise ImageError(
                f"SSIM needs at least {2 * RADIUS + 1} px a side,"
                f" got {pair.output.width} x {pair.output.height}"
            )
        x = _luma(pair.output.pixels)
        y = pair.kept("ssim luma", ("content",), lambda: _luma(pair.content.pixels))
        of_content = pair.kept(
            "ssim windows", ("content",), lambda: _means(_luma(pair.content.pixels))
        )
        (mean_x, xx), (mean_y, yy) = _means(x).unbind(1), of_content.unbind(1)
        covariance = _blur(x * y) - mean_x * mean_y
        c1, c2 = (K1 * DATA_RANGE) ** 2, (K2 * DATA_RANGE) ** 2
        variances = xx - mean_x.square() + yy - mean_y.square()
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity = similarity / ((mean_x.square() + mean_y.square() + c1) * (variances + c2))
        return {"": similarity.mean(dim=(1, 2))}


def _luma(pixels: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(LUMA, dtype=torch.float64, device=pixels.device)
    return torch.einsum("bchw,c->bhw", pixels.double(), weights)


def _means(luma: torch.Tensor) -> torch.Tensor:
    """Return the window means of values and of squares, (B, 2, H', W'), for luma (B, H, W)."""
    return _blur(torch.stack([luma, luma.square()], dim=1))


def _blur(planes: torch.Tensor) -> torch.Tensor:
    """Smooth (..., H, W) with the Gaussian window, at positions where it fits."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-0.5 * (offsets / SIGMA).square())
    window = window / window.sum()
    # torch's convolution in float64 is several times slower than these sums.
    for dimension in (-2, -1):
        length = planes.shape[dimension] - 2 * RADIUS
        total = torch.zeros_like(planes.narrow(dimension, 0, length))
        for offset, weight in enumerate(window.tolist()):
            total.add_(planes.narrow(dimension, offset, length), alpha=weight)
        planes = total
    return planes
