"""SSIM of two pictures on luma: its terms at every window, shared by SSIM and MS-SSIM.

Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE
Trans. Image Processing 13(4), 2004, eq. 13. Arithmetic is float64.
"""

from __future__ import annotations

import torch

from nstbench.contracts import ScoringPair

LUMA = (0.299, 0.587, 0.114)
"""Y' of ITU-R BT.601, the luma of JPEG."""

WINDOW = 11
"""Side of the Gaussian window in pixels; its deviation is ``SIGMA``."""

SIGMA = 1.5
DATA_RANGE = 1.0
K1, K2 = 0.01, 0.03

_RADIUS = WINDOW // 2


def luma(pixels: torch.Tensor) -> torch.Tensor:
    """Return Y' of RGB (B, 3, H, W) as float64 (B, H, W)."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=pixels.device)
    return torch.einsum("bchw,c->bhw", pixels.double(), weights)


def content_luma(pair: ScoringPair) -> torch.Tensor:
    """Return Y' of the content, kept for all metrics and outputs."""
    return pair.kept("luma", ("content",), lambda: luma(pair.content.pixels))


def output_luma(pair: ScoringPair) -> torch.Tensor:
    """Return Y' of the output, kept for all metrics of this pair."""
    return pair.kept("luma", ("output",), lambda: luma(pair.output.pixels))


def pair_terms(pair: ScoringPair) -> torch.Tensor:
    """Return :func:`terms` of output and content at full size, kept for all metrics."""

    def make() -> torch.Tensor:
        content = content_luma(pair)
        windows = pair.kept("luma windows", ("content",), lambda: window_means(content))
        return terms(output_luma(pair), content, windows)

    return pair.kept("SSIM terms", ("output", "content"), make)


def terms(x: torch.Tensor, y: torch.Tensor, windows_of_y: torch.Tensor) -> torch.Tensor:
    """Return the two factors of SSIM: luminance, and contrast times structure.

    Args:
        x: float64 luma (B, H, W) in [0, 1].
        y: the same of the other picture.
        windows_of_y: :func:`window_means` of ``y``.

    Returns:
        Means over all windows inside the picture, float64 (B, 2): of SSIM, and of the second
        factor alone.
    """
    (mean_x, xx), (mean_y, yy) = window_means(x).unbind(1), windows_of_y.unbind(1)
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (K1 * DATA_RANGE) ** 2, (K2 * DATA_RANGE) ** 2
    variances = xx - mean_x.square() + yy - mean_y.square()
    structure = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return torch.stack([(luminance * structure).mean(dim=(1, 2)), structure.mean(dim=(1, 2))], 1)


def window_means(values: torch.Tensor) -> torch.Tensor:
    """Return the window means of values and of squares, (B, 2, H', W'), for luma (B, H, W)."""
    return _blur(torch.stack([values, values.square()], dim=1))


def _blur(planes: torch.Tensor) -> torch.Tensor:
    """Smooth (..., H, W) with the Gaussian window, at positions where it fits."""
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-0.5 * (offsets / SIGMA).square())
    window = window / window.sum()
    # torch's convolution in float64 is several times slower than these sums.
    for dimension in (-2, -1):
        length = planes.shape[dimension] - 2 * _RADIUS
        total = torch.zeros_like(planes.narrow(dimension, 0, length))
        for offset, weight in enumerate(window.tolist()):
            total.add_(planes.narrow(dimension, offset, length), alpha=weight)
        planes = total
    return planes
