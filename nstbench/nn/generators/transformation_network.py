"""Feed-forward transformation networks: from a photograph to a picture in a style.

Two stride-2 convolutions down, five residual blocks and two up, as in Johnson et al.,
"Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (arXiv 1603.08155,
supplement, table 1). Later methods change four things, which are the fields of :class:`Design`:

====================  ===================  ====================  =========================
                      Johnson et al.       Ulyanov et al.        Dumoulin et al.
====================  ===================  ====================  =========================
normalisation         batch                instance              conditional instance, also
                                                                 of the output
padding               reflect the picture  the same              mirror at every convolution
                      by 40 px, then none
                      in residual blocks
up-sampling           fractional strides   the same              nearest neighbour
output                tanh                 tanh                  sigmoid
====================  ===================  ====================  =========================

Residual blocks follow figure 7 of Johnson's paper: no ReLU after the addition (the variant of
Gross and Wilber). Details from published code are named where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from nstbench.nn.inference.affine import scale_and_shift, transformed
from nstbench.nn.layers.aligned_convolution import AlignedConv2d, AlignedConvTranspose2d
from nstbench.nn.layers.instance_normalisation import EPSILON, normalised_at_once
from nstbench.nn.layers.reflection import with_reflected_border

Normalisation = Literal["batch", "instance", "conditional"]
Padding = Literal["reflect_start", "mirror", "zero"]
Upsampling = Literal["transposed", "nearest"]
Parts = Mapping[int, tuple[torch.Tensor, torch.Tensor]]

_STRIDE = 4
_BLOCKS = 5
# Ten unpadded convolutions at a quarter of the resolution remove this border.
_BORDER = 2 * _BLOCKS * _STRIDE


@dataclass(frozen=True, slots=True)
class Design:
    """The choices by which transformation networks differ.

    Attributes:
        width: factor of all numbers of channels; 1 means 32, 64, 128.
        normalisation: ``"conditional"`` uses scales and shifts that are passed to ``forward``.
        padding: ``"reflect_start"`` as Johnson, ``"mirror"`` as Dumoulin, or ``"zero"``
            at every convolution.
        upsampling: operation that doubles the resolution.
        conditioned: which normalisations are conditional: ``"all"`` (Dumoulin), or
            ``"expanding"``, all but those of the three contracting convolutions, which are
            then batch normalisations (Ghiasi et al., as in the authors' code).
    """

    width: float = 1.0
    normalisation: Normalisation = "batch"
    padding: Padding = "reflect_start"
    upsampling: Upsampling = "transposed"
    conditioned: Literal["all", "expanding"] = "all"


class Fused(Protocol):
    """Another form of a network's layers."""

    def suits(self, pixels: torch.Tensor) -> bool:
        """Return True if it can be used for pictures (B, 3, H, W)."""
        ...

    def __call__(self, bordered: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Return the output before its last non-linearity."""
        ...


class TransformationNetwork(nn.Module):
    """Johnson's network and its later variants; see :class:`Design`.

    Attributes:
        conditioned_values: number of scales and shifts that ``forward`` needs per picture; 0
            unless the normalisation is conditional. They are ordered by normalisation in the
            order of computation, scales before shifts.
        fused: computes all layers up to the last non-linearity in another form, for stylisation
            on a GPU; see :mod:`nstbench.nn.inference.fused_transformation`.
    """

    fused: Fused | None = None

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.conditioned_values = 0
        narrow, middle, wide = (max(4, round(c * design.width)) for c in (32, 64, 128))
        contracting = design.conditioned == "all"
        self.contract = nn.ModuleList(
            [
                self._step(3, narrow, 9, conditioned=contracting),
                self._step(narrow, middle, 3, stride=2, conditioned=contracting),
                self._step(middle, wide, 3, stride=2, conditioned=contracting),
            ]
        )
        self.residual = nn.ModuleList(
            ResidualBlock(
                self._step(wide, wide, 3, inner=True),
                self._step(wide, wide, 3, inner=True, rectified=False),
            )
            for _ in range(_BLOCKS)
        )
        self.expand = nn.ModuleList(
            [self._step(wide, middle, 3, stride=-2), self._step(middle, narrow, 3, stride=-2)]
        )
        # Only conditional networks normalise their output.
        normalised = design.normalisation == "conditional"
        self.output = self._step(narrow, 3, 9, rectified=False, normalised=normalised)

    def forward(self, pixels: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Return the stylised pictures, float RGB (B, 3, H, W) in [0, 1].

        Args:
            pixels: float RGB (B, 3, H, W) in [0, 1]; any size.
            condition: scales and shifts (B or 1, ``conditioned_values``).
        """
        height, width = pixels.shape[-2:]
        h = self._bordered(_centred(pixels))
        if self.fused is not None and self.fused.suits(pixels):
            h = self.fused(h, condition)
        else:
            parts = self._parts(condition)
            for step in (*self.contract, *self.residual, *self.expand):
                h = step(h, parts)
            h = self.output(h, parts).float()
        h = torch.sigmoid(h) if self.design.normalisation == "conditional" else _unit_tanh(h)
        return h[:, :, :height, :width]

    @torch.no_grad()
    def neutral_condition(self, values: torch.Tensor) -> None:
        """Fill conditions (N, ``conditioned_values``) with scales of 1 and shifts of 0."""
        values.zero_()
        for step in self.modules():
            if isinstance(step, ConvolutionStep) and isinstance(step.norm, ConditionalInstanceNorm):
                channels = step.convolution.out_channels
                values[:, step.place : step.place + channels] = 1.0

    def _parts(self, condition: torch.Tensor | None) -> Parts:
        """Return scales and shifts of each conditional step, by its place in the condition.

        Cut in one operation, they have one gradient, not one of the whole condition each.
        """
        if condition is None:
            return {}
        places = [
            (step.place, step.convolution.out_channels)
            for step in self.modules()
            if isinstance(step, ConvolutionStep) and isinstance(step.norm, ConditionalInstanceNorm)
        ]
        sizes = [channels for _, channels in places for _ in range(2)]
        halves = condition.split(sizes, dim=1)
        return {
            place: (gamma, beta)
            for (place, _), gamma, beta in zip(places, halves[::2], halves[1::2], strict=True)
        }

    def _bordered(self, pixels: torch.Tensor) -> torch.Tensor:
        """Reflect the picture at its borders, to sides that are multiples of the stride."""
        border = _BORDER if self.design.padding == "reflect_start" else 0
        height, width = pixels.shape[-2:]
        down, right = height + -height % _STRIDE + border, width + -width % _STRIDE + border
        if (down, right) == (height, width):
            return pixels.contiguous(memory_format=torch.channels_last)
        rows = mirrored(height, -border, down, pixels.device)
        columns = mirrored(width, -border, right, pixels.device)
        bordered = pixels[:, :, rows][:, :, :, columns]
        return bordered.contiguous(memory_format=torch.channels_last)

    def _step(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        inner: bool = False,
        rectified: bool = True,
        normalised: bool = True,
        conditioned: bool = True,
    ) -> ConvolutionStep:
        """Return a convolution; a stride of -2 doubles the resolution."""
        design = self.design
        padding: str = "mirror" if design.padding == "mirror" else "zero"
        if inner and design.padding == "reflect_start":
            padding = ""
        normalisation: Normalisation | None = design.normalisation if normalised else None
        if normalisation == "conditional" and not conditioned:
            normalisation = "batch"
        # A shift after a convolution makes its bias redundant; Johnson's networks have both.
        bias = design.normalisation != "conditional"
        step = ConvolutionStep(
            convolution=_convolution(inputs, outputs, kernel, stride, design.upsampling, bias),
            padding=padding,
            enlarge=stride < 0 and design.upsampling == "nearest",
            norm=_norm(normalisation, outputs),
            rectified=rectified,
            place=self.conditioned_values,
        )
        if normalisation == "conditional":
            self.conditioned_values += 2 * outputs
        return step


class ConvolutionStep(nn.Module):
    """Enlarge, pad, convolve, normalise, rectify; all steps except the convolution are optional.

    Args:
        convolution: a convolution without padding of its own, or a transposed one.
        padding: ``"mirror"``, ``"zero"``, or ``""`` for none.
        enlarge: double the resolution first, by nearest neighbours.
        norm: the normalisation, or ``None``.
        rectified: apply a ReLU at the end.
        place: index of the first scale of this step in the condition.
    """

    def __init__(
        self,
        convolution: nn.Conv2d | nn.ConvTranspose2d,
        padding: str,
        enlarge: bool,
        norm: nn.Module | None,
        rectified: bool,
        place: int,
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.padding = padding
        self.enlarge = enlarge
        self.norm = norm
        self.rectified = rectified
        self.place = place

    def forward(self, x: torch.Tensor, condition: Parts) -> torch.Tensor:
        """Return activations (B, outputs, H', W').

        Args:
            x: activations (B, inputs, H, W).
            condition: scales and shifts (B or 1, outputs) of all conditional steps, by place.

        Raises:
            ValueError: if a conditional network gets no condition.
        """
        if self.enlarge:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if isinstance(self.convolution, nn.Conv2d):
            x = self._padded(x)
        x = self.convolution(x)
        if isinstance(self.norm, ConditionalInstanceNorm):
            if self.place not in condition:
                raise ValueError("a conditional network needs scales and shifts")
            x = self.norm(x, *condition[self.place])
        elif self.norm is not None:
            x = self.norm(x)
        return F.relu_(x) if self.rectified else x

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        amount = self.convolution.kernel_size[0] // 2
        if self.padding == "mirror" and min(x.shape[-2:]) > amount:
            return with_reflected_border(x, amount, amount)
        # Reflection needs more pixels than it adds; the last maps of small pictures have fewer.
        return F.pad(x, (amount,) * 4) if self.padding else x


class ResidualBlock(nn.Module):
    """x + second(first(x)), with x cropped to the size after unpadded convolutions."""

    def __init__(self, first: ConvolutionStep, second: ConvolutionStep) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: torch.Tensor, condition: Parts) -> torch.Tensor:
        """Return the sum, not rectified."""
        shortcut = x if self.first.padding else x[:, :, 2:-2, 2:-2]
        added: torch.Tensor = shortcut + self.second(self.first(x, condition), condition)
        return added


class InstanceNorm(nn.Module):
    """Instance normalisation with learnt scales and shifts, in training and in stylisation.

    Ulyanov et al., arXiv 1607.08022, eq. 4; statistics over H x W of every sample and channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised (B, C, H, W)."""
        return instance_norm(x, self.weight[None], self.bias[None])


class ConditionalInstanceNorm(nn.Module):
    """z = gamma (x - mean) / std + beta with gamma and beta as inputs.

    Dumoulin et al., "A Learned Representation for Artistic Style" (arXiv 1610.07629), eq. 5.
    """

    def forward(self, x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        """Return the normalised (B, C, H, W); ``gamma`` and ``beta`` are (B or 1, C)."""
        return instance_norm(x, gamma, beta)


def instance_norm(x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Return gamma (x - mean) / std + beta, mean and std over H x W of each sample's channels.

    Args:
        x: (B, C, H, W) of any floating-point dtype; the result has the same.
        gamma: scales (B or 1, C).
        beta: shifts (B or 1, C).
    """
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    gamma, beta = (values.to(wide).expand(len(x), -1) for values in (gamma, beta))
    if x.shape[-2:] == (1, 1):
        # A single position equals its mean; torch raises an error for its statistics.
        return (beta[..., None, None] + 0 * x).to(x.dtype)
    if x.is_cuda and (torch.is_grad_enabled() or x.dtype != torch.bfloat16):
        # A call per sample would launch more kernels, and would hand them slices of a condition,
        # whose addresses are multiples of 4 bytes only.
        return normalised_at_once(x, gamma, beta)
    if x.is_cuda:
        laid_out = x.contiguous(memory_format=torch.channels_last)
        return transformed(laid_out, *scale_and_shift(laid_out, gamma, beta))
    # For one sample, batch statistics equal instance statistics. On CPUs this takes a quarter of
    # the time of torch's instance normalisation, which does not keep channels-last order.
    parts = [
        F.batch_norm(one, None, None, gamma[i], beta[i], training=True, eps=EPSILON)
        for i, one in enumerate(x.split(1))
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def mirrored(
    length: int, start: int, stop: int, device: torch.device | None = None
) -> torch.Tensor:
    """Return indices into ``length`` places for positions ``start`` to ``stop`` - 1.

    Positions outside are reflected at the ends as often as needed, without repeating the
    outermost place. (torch's own reflection is limited to one length.)

    Example:
        >>> mirrored(3, -2, 5).tolist()
        [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(1, 2 * (length - 1))
    positions = torch.arange(start, stop, device=device).remainder(period)
    return torch.minimum(positions, period - positions)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int, upsampling: Upsampling, bias: bool
) -> nn.Conv2d | nn.ConvTranspose2d:
    if stride < 0 and upsampling == "transposed":
        return AlignedConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=1, bias=bias)
    return AlignedConv2d(inputs, outputs, kernel, max(1, stride), bias=bias)


def _norm(kind: Normalisation | None, channels: int) -> nn.Module | None:
    if kind is None:
        return None
    if kind == "conditional":
        return ConditionalInstanceNorm()
    return InstanceNorm(channels) if kind == "instance" else nn.BatchNorm2d(channels)


def convolutions(network: nn.Module) -> Iterator[nn.Conv2d | nn.ConvTranspose2d]:
    """Yield all convolutions of a network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            yield module


def _centred(pixels: torch.Tensor) -> torch.Tensor:
    return pixels - 0.5


def _unit_tanh(x: torch.Tensor) -> torch.Tensor:
    # equal to (tanh(x) + 1) / 2, in fewer passes
    return torch.sigmoid(2 * x)
