"""The multi-scale generator of texture networks.

Ulyanov, Lebedev, Vedaldi and Lempitsky, "Texture Networks: Feed-forward Synthesis of Textures
and Stylized Images" (arXiv 1603.03417, section 3.2 and figure 2). The photograph is reduced to
several scales, and noise is concatenated to each. From the coarsest scale on, maps are enlarged by
nearest neighbours and concatenated to the next finer ones, with 8 more channels each time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.generators.transformation_network import InstanceNorm
from nstbench.nn.layers.aligned_convolution import AlignedConv2d
from nstbench.nn.layers.reflection import with_reflected_border

_STEP = 8
_NOISE = 3
_SIDE_BEFORE_REFLECTION = 2


class TextureNetwork(nn.Module):
    """Network from reduced photographs and noise to a stylised picture.

    Args:
        scales: number of scales K; 6 for stylisation, 118,211 parameters.
    """

    def __init__(self, scales: int = 6) -> None:
        super().__init__()
        self.scales = scales
        branches: list[nn.Module] = []
        joins: list[nn.Module] = []
        for index in range(scales):
            branches.append(_block(3 + _NOISE, _STEP))
            if index:
                width = _STEP * (index + 1)
                joins.append(_block(width, width))
        self.branches = nn.ModuleList(branches)
        self.joins = nn.ModuleList(joins)
        self.enlarged = nn.ModuleList(InstanceNorm(_STEP * (i + 1)) for i in range(scales - 1))
        self.joined = nn.ModuleList(InstanceNorm(_STEP) for _ in range(scales - 1))
        self.output = AlignedConv2d(_STEP * scales, 3, 1)

    def forward(self, pixels: torch.Tensor, *noise: torch.Tensor) -> torch.Tensor:
        """Return stylised pictures, float RGB (B, 3, H, W) in [0, 1].

        Args:
            pixels: float RGB (B, 3, H, W) in [0, 1], any size.
            noise: ``noise_for(pixels.shape, generator)``, on the device of ``pixels``.
        """
        height, width = pixels.shape[-2:]
        full = (_next(height, 2 ** (self.scales - 1)), _next(width, 2 ** (self.scales - 1)))
        pixels = F.interpolate(pixels, full, mode="bilinear") if full != (height, width) else pixels
        maps: torch.Tensor | None = None
        for index, branch in enumerate(self.branches):
            reduced = self._reduced(pixels, index)
            new = branch(torch.cat([reduced, noise[index]], dim=1) - 0.5)
            if maps is None:
                maps = new
                continue
            maps = F.interpolate(maps, scale_factor=2.0, mode="nearest")
            # Both are normalised before they are joined, so that they have equal strength.
            parts = [self.enlarged[index - 1](maps), self.joined[index - 1](new)]
            maps = self.joins[index - 1](torch.cat(parts, dim=1))
        assert maps is not None
        made = torch.sigmoid(self.output(maps).float())
        if full == (height, width):
            return made
        return F.interpolate(made, (height, width), mode="bilinear")

    def noise_for(
        self, shape: Sequence[int], generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Return uniform noise for every scale, the coarsest first, on the CPU.

        Args:
            shape: shape of the pixels, (B, 3, H, W).
            generator: CPU generator.
        """
        batch, _, height, width = shape
        largest = 2 ** (self.scales - 1)
        sides = (_next(height, largest), _next(width, largest))
        drawn = []
        for index in range(self.scales):
            factor = 2 ** (self.scales - 1 - index)
            reduced = (batch, _NOISE, sides[0] // factor, sides[1] // factor)
            drawn.append(torch.rand(reduced, generator=generator))
        return tuple(drawn)

    def _reduced(self, pixels: torch.Tensor, index: int) -> torch.Tensor:
        factor = 2 ** (self.scales - 1 - index)
        return pixels if factor == 1 else F.avg_pool2d(pixels, factor)


class _Reflected(AlignedConv2d):
    """A 3x3 convolution with a reflected border, or a border of zeros if the map is too small."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        reflects = min(x.shape[-2:]) >= _SIDE_BEFORE_REFLECTION
        bordered = with_reflected_border(x, 1, 1) if reflects else F.pad(x, (1, 1, 1, 1))
        return super().forward(bordered)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Return three convolutions, 3x3, 3x3 and 1x1, each normalised and rectified."""
    steps: list[nn.Module] = []
    for convolution in (
        _Reflected(inputs, outputs, 3),
        _Reflected(outputs, outputs, 3),
        AlignedConv2d(outputs, outputs, 1),
    ):
        steps += [convolution, InstanceNorm(outputs), nn.ReLU()]
    return nn.Sequential(*steps)


def _next(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
