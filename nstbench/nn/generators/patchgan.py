"""The discriminator that scores patches (Isola et al., arXiv 1611.07004, section 6.1.2).

CycleGAN uses its 70 x 70 version (Zhu et al., arXiv 1703.10593, section 7.2):
C64-C128-C256-C512 and a last convolution to one number per patch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from nstbench.nn.generators.residual_generator import PlainInstanceNorm
from nstbench.nn.layers.aligned_convolution import AlignedConv2d

_SLOPE = 0.2
_KERNEL = 4
# The first three halve the picture; each of the last two shrinks it by one pixel.
_STRIDES = (2, 2, 2, 1, 1)


class PatchGan(nn.Sequential):
    """Five 4 x 4 convolutions with instance normalisation and leaky rectifiers between.

    The first convolution is not normalised. With ``width`` 64 it has 2,764,737 parameters.

    Args:
        width: channels after the first convolution.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(*_steps(width))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return one unbounded score per patch, (B, 1, H / 8 - 2, W / 8 - 2).

        Args:
            pixels: pictures (B, 3, H, W) with values in [-1, 1] and sides of at least 32.
        """
        return super().forward(pixels)


def _steps(width: int) -> Iterator[nn.Module]:
    outputs = (width, 2 * width, 4 * width, 8 * width, 1)
    inputs = 3
    for place, (channels, stride) in enumerate(zip(outputs, _STRIDES, strict=True)):
        yield AlignedConv2d(inputs, channels, _KERNEL, stride, padding=1)
        if place < len(outputs) - 1:
            if place > 0:
                yield PlainInstanceNorm()
            yield nn.LeakyReLU(_SLOPE)
        inputs = channels
