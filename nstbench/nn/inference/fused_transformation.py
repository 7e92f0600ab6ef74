"""A transformation network in few passes over memory, for stylisation on a GPU.

It has the weights and the results of a
:class:`~nstbench.nn.generators.transformation_network.TransformationNetwork` in evaluation mode.
Trained statistics are a scale and a shift (:mod:`nstbench.nn.inference.affine`); biases that a
normalisation removes again are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.nn.generators.transformation_network import (
    ConditionalInstanceNorm,
    ConvolutionStep,
    InstanceNorm,
    TransformationNetwork,
    instance_norm,
)
from nstbench.nn.inference.affine import scale_and_shift, transformed
from nstbench.nn.inference.convolutions import from_few_channels, of_enlarged, to_few_channels

LEAST_SIDE = 32
"""Smaller pictures have maps that are too small for a mirrored border."""

Affine = tuple[torch.Tensor, torch.Tensor]


class FusedTransformation:
    """Computes what a network does, without being a module: the parameters stay where they are.

    Args:
        network: a frozen network in evaluation mode; later changes of it have no effect.
        dtype: number format of the multiplications and of the maps between them.
    """

    def __init__(self, network: TransformationNetwork, dtype: torch.dtype) -> None:
        # in the order of computation, in which they were made
        steps = [step for step in network.modules() if isinstance(step, ConvolutionStep)]
        self._steps = [_Step.of(step, dtype, first=not i) for i, step in enumerate(steps[:-1])]
        for step, following in zip(self._steps, steps[1:], strict=True):
            step.border, step.repeated = _border_before(following)
        self._dtype = dtype
        self._contracting = len(network.contract)
        self._residual_end = self._contracting + 2 * len(network.residual)
        self._mirrored = network.design.padding == "mirror"
        self._cropped = 0 if steps[self._contracting].padding else 2
        self._output = network.output
        last = self._output.convolution
        weight = last.weight.detach().float()
        self._bias = None if last.bias is None else last.bias.detach().float()[:, None, None]
        amount = weight.shape[-1] // 2
        self._last = to_few_channels(weight, dtype, 0 if self._mirrored else amount)
        self._padding = self._steps[0].source.convolution.kernel_size[0] // 2

    def suits(self, pixels: torch.Tensor) -> bool:
        """Return True for pictures that are large enough, unless operations are counted.

        The other form has the operations of the paper; this one has some more.
        """
        return min(pixels.shape[-2:]) >= LEAST_SIDE and not is_in_torch_dispatch_mode()

    def __call__(self, bordered: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Return the output before its last non-linearity, float32 (B, 3, H, W).

        Args:
            bordered: centred pixels with the network's outer border, (B, 3, H, W).
            condition: see :class:`TransformationNetwork`.
        """
        h = bordered.to(self._dtype)
        h = F.pad(h, (self._padding,) * 4, mode="reflect" if self._mirrored else "constant")
        shortcut = h
        for index, step in enumerate(self._steps):
            place = index - self._contracting
            in_block = place >= 0 and index < self._residual_end
            if in_block and place % 2 == 0:
                # the map inside its border, and what unpadded convolutions leave of it
                cut = self._steps[index - 1].border + self._cropped
                shortcut = h[:, :, cut : h.shape[2] - cut, cut : h.shape[3] - cut]
            h = step(h, condition, shortcut if in_block and place % 2 else None)
        made = self._last(h)
        if self._bias is not None:
            made = made + self._bias
        if isinstance(self._output.norm, ConditionalInstanceNorm):
            assert condition is not None
            values = condition[:, self._output.place :][:, : 2 * made.shape[1]]
            made = instance_norm(made, *values.chunk(2, dim=1))
        return made


@dataclass(eq=False)
class _Step:
    """A convolution, its normalisation, and the border of the next convolution."""

    source: ConvolutionStep
    convolve: Callable[[torch.Tensor], torch.Tensor]
    fixed: Affine | None
    phases: int
    border: int = 0
    repeated: bool = False

    @classmethod
    def of(cls, step: ConvolutionStep, dtype: torch.dtype, *, first: bool) -> _Step:
        """Return a step with weights of ``dtype``; the first one takes the padded picture."""
        convolution, weight = step.convolution, step.convolution.weight.detach().float()
        fixed = _fixed(step)
        if first:
            return cls(step, from_few_channels(weight, dtype), fixed, 1)
        stride = convolution.stride[0]
        if isinstance(convolution, nn.ConvTranspose2d):
            kernel = _laid_out(weight, dtype)

            def enlarged(x: torch.Tensor) -> torch.Tensor:
                return F.conv_transpose2d(x, kernel, None, stride, 1, output_padding=1)

            return cls(step, enlarged, fixed, 1)
        phases = 4 if step.enlarge else 1
        kernel = _laid_out(of_enlarged(weight) if step.enlarge else weight, dtype)
        padding = weight.shape[-1] // 2 if step.padding == "zero" else 0

        def convolved(x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, kernel, None, stride, padding)

        return cls(step, convolved, fixed, phases)

    def __call__(
        self, x: torch.Tensor, condition: torch.Tensor | None, added: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the map for the next step, with its border."""
        made = self.convolve(x).contiguous(memory_format=torch.channels_last)
        return transformed(
            made,
            *(self.fixed or self._measured(made, condition)),
            rectified=self.source.rectified,
            added=added,
            phases=self.phases,
            border=self.border,
            repeated=self.repeated,
        )

    def _measured(self, made: torch.Tensor, condition: torch.Tensor | None) -> Affine:
        """Return scale and shift of an instance normalisation."""
        norm = self.source.norm
        if isinstance(norm, InstanceNorm):
            gamma, beta = norm.weight[None], norm.bias[None]
        else:
            if condition is None:
                raise ValueError("a conditional network needs scales and shifts")
            channels = made.shape[1] // self.phases
            start = self.source.place
            gamma, beta = condition[:, start : start + 2 * channels].float().chunk(2, dim=1)
        return scale_and_shift(made, gamma, beta, self.phases)


def _fixed(step: ConvolutionStep) -> Affine | None:
    """Return scale and shift (1, C) of trained statistics and bias, or None for others."""
    bias = step.convolution.bias
    norm = step.norm
    if norm is not None and not isinstance(norm, nn.BatchNorm2d):
        return None
    scale = step.convolution.weight.new_ones(step.convolution.out_channels, dtype=torch.float32)
    shift = torch.zeros_like(scale)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
        shift = norm.bias.float() - norm.running_mean.float() * scale
    if bias is not None:
        shift = shift + scale * bias.float()
    return scale.detach()[None].contiguous(), shift.detach()[None].contiguous()


def _border_before(step: ConvolutionStep) -> tuple[int, bool]:
    """Return the border that a convolution needs before it, and whether it repeats the edge."""
    if step.padding != "mirror" or isinstance(step.convolution, nn.ConvTranspose2d):
        return 0, False
    return step.convolution.kernel_size[0] // 2, step.enlarge


def _laid_out(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)
