"""Distance between the log-chroma histograms of output and style."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import interpolate

from nstbench.contracts import MetricInfo, PairMetric, Scope, ScoringPair

BINS = 64
EDGE = 3.0
WIDTH = 0.02
EPSILON = 1e-6
MOST = 256

# Pixels at a time: the three kernels of 4096 pixels stay in the cache of a processor core.
_CHUNK = 4096


class HistoganColor(PairMetric):
    """Hellinger distance of HistoGAN's colour histograms of output and style, from 0 to 1.

    For each channel k and the other two l, u = log(I_k + e) - log(I_l + e) with e = 1e-6 is spread
    over 64 bins from -3 to 3 by the kernel 1 / (1 + (d / 0.02)^2); a pixel counts
    sqrt(R^2 + G^2 + B^2 + e). The three histograms of 64 x 64 bins are divided by their common
    sum. Positions do not count. Pictures with a side above 256 px are resized to 256 x 256 px,
    bilinearly and without antialiasing, as in the authors' code.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="HistoGAN colour",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, 1.0),
        citation="Afifi, Brubaker, Brown, CVPR 2021, arXiv 2011.11731, eq. 2-6",
        description="Distance between the histograms of hue and saturation of output and style; 0"
        " equal, 1 disjoint.",
        ideal="style",
        presets=("field",),
        order=91,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        style = pair.kept("histogan", ("style",), lambda: histograms(pair.style.pixels))
        difference = histograms(pair.output.pixels).sqrt() - style.sqrt()
        return {"": (difference.square().sum(dim=(1, 2, 3)) / 2).sqrt()}


def histograms(pixels: torch.Tensor) -> torch.Tensor:
    """Return the histograms (B, 3, 64, 64), float64 with sum 1, of RGB (B, 3, H, W)."""
    if max(pixels.shape[2:]) > MOST:
        pixels = interpolate(pixels, size=(MOST, MOST), mode="bilinear", align_corners=False)
    return torch.stack([_histogram(picture) for picture in pixels.clamp(0, 1).flatten(2)])


def _histogram(pixels: torch.Tensor) -> torch.Tensor:
    """Return the histogram (3, 64, 64) of pixels (3, N)."""
    bins = torch.linspace(-EDGE, EDGE, BINS, dtype=pixels.dtype, device=pixels.device) / WIDTH
    total = torch.zeros(3, BINS, BINS, dtype=torch.float64, device=pixels.device)
    for chunk in pixels.split(_CHUNK, dim=1):
        r, g, b = (chunk + EPSILON).log().div_(WIDTH)
        weight = (chunk.square().sum(dim=0) + EPSILON).sqrt()
        red_green, red_blue, green_blue = (_kernel(u, bins) for u in (r - g, r - b, g - b))
        weighted = red_green * weight
        # The bins are symmetric, so the kernel of -u is that of u in reverse order.
        total[0] += weighted @ red_blue.T
        total[1] += (weighted @ green_blue.T).flip(0)
        total[2] += ((red_blue * weight) @ green_blue.T).flip(0, 1)
    return total / (total.sum() + EPSILON)


def _kernel(u: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Return the share (64, N) of each pixel in each bin; ``u`` (N,) in units of the width."""
    return (bins[:, None] - u).square_().add_(1).reciprocal_()
