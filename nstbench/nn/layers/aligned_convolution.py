"""Convolutions on a GPU whose numbers of channels and addresses suit its matrix units.

Kernels for 16-bit channels-last tensors read eight channels at a time. A layer of 3 channels
depends on cuDNN to pad them, in the forward pass and in both gradients, and cuDNN's choice of a
kernel depends on the shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.layers.reflection import with_reflected_border

_MULTIPLE = 8

Convolution = nn.Conv2d | nn.ConvTranspose2d


class AlignedConv2d(nn.Conv2d):
    """A convolution without groups; trained on a GPU, with numbers of channels it is made for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, outputs, H', W') of activations (B, inputs, H, W)."""
        return padded_convolution(self, x) if _trains_on_gpu(x) else super().forward(x)


class AlignedConvTranspose2d(nn.ConvTranspose2d):
    """The same for transposed convolutions."""

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """Return (B, outputs, H', W') of activations (B, inputs, H, W)."""
        if output_size is None and _trains_on_gpu(x):
            return padded_convolution(self, x)
        return super().forward(x, output_size)


def _trains_on_gpu(x: torch.Tensor) -> bool:
    return x.is_cuda and torch.is_grad_enabled()


def padded_convolution(convolution: Convolution, x: torch.Tensor) -> torch.Tensor:
    """Return ``convolution(x)``, computed on channels-last tensors of 8 n channels.

    Zeros are added to input and kernel, and the surplus channels of the result are cut off, so
    values and gradients are the same.
    """
    inputs, outputs = (
        -count % _MULTIPLE for count in (convolution.in_channels, convolution.out_channels)
    )
    strides, padding = convolution.stride, convolution.padding
    assert not isinstance(padding, str)
    if convolution.padding_mode != "zeros":
        rows, columns = padding
        if convolution.padding_mode == "reflect":
            x = with_reflected_border(x, rows, columns)
        else:
            x = F.pad(x, (columns, columns, rows, rows), mode=convolution.padding_mode)
        padding = (0, 0)
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    first, second = (inputs, outputs) if transposed else (outputs, inputs)
    kernel, bias = convolution.weight, convolution.bias
    if inputs or outputs:
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, second, 0, first))
    if inputs:
        x = F.pad(x, (0, 0, 0, 0, 0, inputs))
    if outputs and bias is not None:
        bias = F.pad(bias, (0, outputs))
    x = x.contiguous(memory_format=torch.channels_last)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    if isinstance(convolution, nn.ConvTranspose2d):
        result = F.conv_transpose2d(x, kernel, bias, strides, padding, convolution.output_padding)
    else:
        result = F.conv2d(x, kernel, bias, strides, padding)
    if outputs:
        result = result[:, : convolution.out_channels]
    return result.contiguous(memory_format=torch.channels_last)
