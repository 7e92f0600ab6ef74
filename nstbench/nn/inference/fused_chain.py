"""Chains of convolutions, rectifiers, poolings and enlargements in few passes over memory.

Encoders (VGG) and their mirrored decoders are such chains. On a GPU, the bias, the rectifier, the
enlargement and the border of the next convolution take one pass together
(:mod:`nstbench.nn.inference.affine`). torch's mirrored borders would also change the order of
the map in memory twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.nn.inference.affine import transformed
from nstbench.nn.inference.convolutions import from_few_channels, of_enlarged, to_few_channels

_FEW = 4


@dataclass(eq=False)
class _Stage:
    """A convolution with what comes before it and its rectifier.

    Attributes:
        name: name of the rectifier, or of the convolution without one.
        convolve: the convolution of a map with its border, without bias.
        scale: ones, float32 (1, C).
        bias: float32 (1, C).
        unchanged: scale and shift, float32 (1, inputs), that change nothing.
        border: rows and columns that the convolution needs on each side; 0 if it pads itself.
        pooled: the maps are reduced by maximum before.
        enlarged: they are enlarged before; ``convolve`` does it, in four phases.
        rectified: a ReLU follows.
        few: ``convolve`` returns float32 maps of few channels.
    """

    name: str
    convolve: Callable[[torch.Tensor], torch.Tensor]
    scale: torch.Tensor
    bias: torch.Tensor
    unchanged: tuple[torch.Tensor, torch.Tensor]
    border: int
    pooled: bool
    enlarged: bool
    few: bool
    rectified: bool = False


class FusedChain:
    """Computes what a chain of modules does; later changes of their weights have no effect.

    Args:
        steps: names and modules: 3 x 3 convolutions of stride 1, each followed by a ReLU or not,
            poolings by maximum and enlargements by nearest neighbours, both of factor 2.
        dtype: number format of the multiplications and of the maps between them.

    Raises:
        ValueError: if a step is of another kind.
    """

    def __init__(self, steps: Iterable[tuple[str, nn.Module]], dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._stages: list[_Stage] = []
        before = ""
        for name, module in steps:
            if isinstance(module, nn.ReLU) and not before and self._stages:
                self._stages[-1].rectified, self._stages[-1].name = True, name
            elif isinstance(module, nn.Conv2d) and _is_simple(module):
                self._stages.append(_stage(name, module, before, dtype))
                before = ""
            elif isinstance(module, nn.MaxPool2d) and module.kernel_size == module.stride == 2:
                before = "pool"
            elif isinstance(module, nn.Upsample) and module.scale_factor == 2:
                before = "enlarge"
            else:
                raise ValueError(f"{name} ({type(module).__name__}) cannot be part of a chain")

    def suits(self, x: torch.Tensor) -> bool:
        """Return True if no map gets too small for a border, and operations are not counted."""
        pooled = sum(stage.pooled for stage in self._stages)
        return min(x.shape[-2:]) >= 2 * 2**pooled and not is_in_torch_dispatch_mode()

    def __call__(self, x: torch.Tensor, last: str | None = None) -> torch.Tensor:
        """Return the maps after the step ``last``, or after all of them.

        Args:
            x: maps (B, C, H, W) of any format.
            last: name of a rectifier.

        Returns:
            Maps of ``dtype``, channels last; float32 after a convolution to at most four channels.
        """
        stages = self._stages
        h = _bordered(x.to(self._dtype), stages[0])
        for stage, following in zip(stages, [*stages[1:], None], strict=True):
            made = stage.convolve(h)
            ends = following is None or stage.name == last
            if stage.few:
                h = made + stage.bias[..., None, None]
                h = F.relu(h) if stage.rectified else h
            else:
                next_border = following is not None and not ends and not following.pooled
                h = transformed(
                    made.contiguous(memory_format=torch.channels_last),
                    stage.scale,
                    stage.bias,
                    rectified=stage.rectified,
                    phases=4 if stage.enlarged else 1,
                    border=following.border if following is not None and next_border else 0,
                    repeated=following is not None and following.enlarged,
                )
            if following is None or ends:
                return h
            if following.pooled:
                h = _bordered(F.max_pool2d(h, 2), following)
        return h


def _bordered(x: torch.Tensor, stage: _Stage) -> torch.Tensor:
    """Return a map with the border that a stage needs, channels last."""
    x = x.contiguous(memory_format=torch.channels_last)
    if not stage.border:
        return x
    return transformed(x, *stage.unchanged, border=stage.border, repeated=stage.enlarged)


def _is_simple(module: nn.Conv2d) -> bool:
    plain = module.groups == 1 and module.stride == (1, 1) and module.dilation == (1, 1)
    known = module.padding_mode in ("zeros", "reflect")
    return plain and known and module.kernel_size == (3, 3) and module.padding == (1, 1)


def _stage(name: str, module: nn.Conv2d, before: str, dtype: torch.dtype) -> _Stage:
    weight = module.weight.detach().float()
    bias = weight.new_zeros(module.out_channels) if module.bias is None else module.bias.detach()
    mirrored, enlarged = module.padding_mode == "reflect", before == "enlarge"
    padding = 0 if mirrored else 1
    few = module.out_channels <= _FEW and not enlarged
    convolve: Callable[[torch.Tensor], torch.Tensor]
    if module.in_channels <= _FEW and not enlarged:
        of_bordered = from_few_channels(weight, dtype)

        def convolve(x: torch.Tensor) -> torch.Tensor:
            return of_bordered(F.pad(x, (padding,) * 4) if padding else x)

    elif few:
        convolve = to_few_channels(weight, dtype, padding)
    else:
        kernel = (of_enlarged(weight) if enlarged else weight).to(dtype)
        kernel = kernel.contiguous(memory_format=torch.channels_last)

        def convolve(x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, kernel, padding=padding)

    return _Stage(
        name=name,
        convolve=convolve,
        scale=weight.new_ones((1, module.out_channels)),
        bias=bias.float()[None].contiguous(),
        unchanged=(
            weight.new_ones((1, module.in_channels)),
            weight.new_zeros((1, module.in_channels)),
        ),
        border=1 - padding,
        pooled=before == "pool",
        enlarged=enlarged,
        few=few and module.in_channels > _FEW,
    )
