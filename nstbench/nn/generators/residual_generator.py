"""CycleGAN's generator (Zhu et al., arXiv 1703.10593, section 7.2, after Johnson et al.).

c7s1-64, d128, d256, nine (or six) R256, u128, u64, c7s1-3: reflected borders at stride one,
instance normalisation without scale and shift after every convolution but the last, two
transposed convolutions, tanh. Authors' code: https://github.com/junyanz/CycleGAN
(models/architectures.lua).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.generators.transformation_network import instance_norm
from nstbench.nn.layers.aligned_convolution import AlignedConv2d, AlignedConvTranspose2d
from nstbench.nn.layers.instance_normalisation import normalised_at_once

# junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, init_weights.
_INITIAL_STD = 0.02


class PlainInstanceNorm(nn.Module):
    """Instance normalisation without scale and shift (Ulyanov et al., arXiv 1607.08022)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, C, H, W) with mean 0 and variance 1 per sample and channel."""
        # For one sample, batch statistics equal instance statistics. Unlike torch's instance
        # normalisation, this keeps the channels-last order.
        if x.is_cuda and torch.is_grad_enabled():
            return normalised_at_once(x)
        if x.is_cuda:
            ones = torch.ones(x.shape[:2], device=x.device)
            return instance_norm(x, ones, torch.zeros_like(ones))
        parts = [F.batch_norm(one, None, None, training=True) for one in x.split(1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class ResidualBlock(nn.Sequential):
    """Two reflected 3 x 3 convolutions with instance normalisation, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            *_convolution(channels, channels, 3), nn.ReLU(), *_convolution(channels, channels, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + F(x), of the shape of x: (B, C, H, W)."""
        return x + super().forward(x)


class ResidualGenerator(nn.Sequential):
    """Maps pictures to pictures through a bottleneck of a quarter of the resolution.

    With ``width`` 64 it has 11,378,179 parameters for nine blocks and 7,837,699 for six.

    Args:
        blocks: residual blocks: 9 for pictures of 256 px and more, 6 for 128 px (the paper's).
        width: channels after the first convolution.
    """

    stride = 4

    def __init__(self, blocks: int = 9, width: int = 64) -> None:
        super().__init__(*_steps(blocks, width))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pictures (B, 3, H, W) with values in [-1, 1].

        Args:
            pixels: pictures (B, 3, H, W) in [-1, 1]; H and W are multiples of 4.
        """
        return super().forward(pixels)


def initialise(network: nn.Module) -> None:
    """Draw all convolutions from N(0, 0.02^2) and set biases to zero (paper, section 4)."""
    for step in network.modules():
        if isinstance(step, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(step.weight, 0.0, _INITIAL_STD)
            if step.bias is not None:
                nn.init.zeros_(step.bias)


def _steps(blocks: int, width: int) -> Iterator[nn.Module]:
    yield from (*_convolution(3, width, 7), nn.ReLU())
    for factor in (1, 2):
        yield AlignedConv2d(factor * width, 2 * factor * width, 3, stride=2, padding=1)
        yield from (PlainInstanceNorm(), nn.ReLU())
    for _ in range(blocks):
        yield ResidualBlock(4 * width)
    for factor in (4, 2):
        yield AlignedConvTranspose2d(
            factor * width, factor * width // 2, 3, stride=2, padding=1, output_padding=1
        )
        yield from (PlainInstanceNorm(), nn.ReLU())
    yield from (_reflected(width, 3, 7), nn.Tanh())


def _convolution(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    return _reflected(inputs, outputs, kernel), PlainInstanceNorm()


def _reflected(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return AlignedConv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")
