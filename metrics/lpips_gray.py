"""LPIPS on grey pictures: perceptual distance to the content without colour."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Picture, Scope, ScoringPair
from nstbench.nn.backbones.lpips import LPIPS_ALEX, LPIPS_ALEX_LAYERS, lpips_distance
from nstbench.nn.weights import cache

# Pillow's conversion of 8-bit RGB to grey: BT.601 in units of 1 / 65536, rounded.
GREY = (19595, 38470, 7471)
HALF = 32768

NEEDS = (Features("alexnet", LPIPS_ALEX_LAYERS, ("output",)),)


class LpipsGray(PairMetric):
    """LPIPS v0.1 on AlexNet between output and content, both converted to 8-bit grey first.

    The grey values are those of Pillow's conversion, in all three channels. So the transfer of
    colour costs nothing, and that of brightness and texture does.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="LPIPS (grey)",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Chung, Hyun, Heo, CVPR 2024, arXiv 2312.09008; Zhang et al., arXiv 1801.03924",
        description="Learned perceptual distance to the content, on AlexNet, without colour; 0"
        " for equal pictures.",
        # The features are those of other pictures, but with the code of the same network.
        features=NEEDS,
        weights=(LPIPS_ALEX,),
        ideal="content",
        presets=("field",),
        order=55,
    )

    def load(self, device: torch.device) -> None:
        """Load the linear heads onto ``device``."""
        self._heads = {k: v.to(device) for k, v in cache.load(LPIPS_ALEX).items()}

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        output, content = (
            pair.with_output(Picture(grey(picture.pixels), f"grey {picture.name}"), NEEDS)
            for picture in (pair.output, pair.content)
        )
        of_content = {
            layer: pair.kept(f"lpips_gray {layer}", ("content",), partial(_layer, content, layer))
            for layer in LPIPS_ALEX_LAYERS
        }
        return {"": lpips_distance(output.features("alexnet", "output"), of_content, self._heads)}


def _layer(pair: ScoringPair, layer: str) -> torch.Tensor:
    return pair.features("alexnet", "output")[layer]


def grey(pixels: torch.Tensor) -> torch.Tensor:
    """Return RGB (B, 3, H, W) in [0, 1] with three equal channels in steps of 1 / 255."""
    levels = (pixels * 255).round().int()
    weights = torch.tensor(GREY, dtype=torch.int32, device=pixels.device).view(1, 3, 1, 1)
    value = ((levels * weights).sum(dim=1, keepdim=True) + HALF) // 65536
    return (value.float() / 255).expand(-1, 3, -1, -1)
