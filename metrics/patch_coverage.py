"""Share of the style's patches that the output uses."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.core.errors import ImageError

LAYER = "relu4_1"
SIDE = 3
MOST = 32


class PatchCoverage(PairMetric):
    """Number of distinct style patches that are the nearest one of an output patch, as a share.

    Patches are 3 x 3 places of VGG-16 relu4_1, averaged to at most 32 x 32 places. The nearest
    style patch has the greatest cosine. The count is divided by that of the style with itself
    (equal patches count once), or by the number of output patches if that is smaller. It says how
    much of the style's variety is used, and not whether the output looks like the style: random
    patches cover much.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Patch coverage",
        scope=Scope.PAIR,
        higher_is_better=True,
        range=(0.0, 1.0),
        citation="Wang et al., CVIU 207, 2021, StyleEval, local patterns, on VGG-16 relu4_1",
        description="Share of the style's patches that are the nearest one of some patch of the"
        " output: variety, not likeness.",
        features=(Features("vgg16", (LAYER,), ("output", "style")),),
        home_for=("vgg16-patches", "vgg19-patches"),
        ideal="style",
        order=48,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the share, float64 (B,).

        Raises:
            ImageError: if a picture has no patch of 3 x 3 places.
        """
        output = _grid(pair.features("vgg16", "output")[LAYER])
        style = _grid(pair.features("vgg16", "style")[LAYER])
        own = pair.kept("patch_coverage", ("style",), lambda: _own(pair))
        count = (output.shape[2] - SIDE + 1) * (output.shape[3] - SIDE + 1)
        used = torch.stack([_used(x, s) for x, s in zip(output, style, strict=True)])
        return {"": (used / own.clamp_max(count)).clamp_max(1)}


def _own(pair: ScoringPair) -> torch.Tensor:
    """Return the number of distinct patches of the style, float64 (B,)."""
    style = _grid(pair.features("vgg16", "style")[LAYER])
    return torch.stack([_used(s, s) for s in style])


def _grid(features: torch.Tensor) -> torch.Tensor:
    height, width = (min(side, MOST) for side in features.shape[2:])
    if min(height, width) < SIDE:
        raise ImageError(
            f"patches of {SIDE} x {SIDE} do not fit into {width} x {height} places of {LAYER}:"
            " use pictures of at least 24 px a side"
        )
    return adaptive_avg_pool2d(features, (height, width))


def _used(output: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return the number of style patches that are nearest to a patch of the output, float64.

    Args:
        output: activations (C, H, W).
        style: activations (C, h, w).
    """
    alike = (output.flatten(1).T @ style.flatten(1)).unflatten(1, style.shape[1:])
    alike = alike.unflatten(0, output.shape[1:])
    # The product of two patches is the sum of the products of their places: first along both
    # horizontal axes, then along both vertical ones.
    total = _shifted_sum(_shifted_sum(alike, 1), 0)
    length = avg_pool2d(style.square().sum(dim=0)[None], SIDE, stride=1)[0].sqrt()
    nearest = (total / length.clamp_min(1e-12)).flatten(2).argmax(dim=2)
    return torch.tensor(nearest.unique().numel(), dtype=torch.float64, device=output.device)


def _shifted_sum(products: torch.Tensor, axis: int) -> torch.Tensor:
    """Sum ``SIDE`` places of the axes ``axis`` and ``axis + 2`` that move together."""
    lengths = [products.shape[a] - SIDE + 1 for a in (axis, axis + 2)]
    first, *rest = (
        products.narrow(axis, k, lengths[0]).narrow(axis + 2, k, lengths[1]) for k in range(SIDE)
    )
    total = first.clone()
    for part in rest:
        total += part
    return total
