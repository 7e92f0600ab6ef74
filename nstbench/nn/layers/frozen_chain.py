"""A chain of frozen convolutions, rectifiers and poolings with a hand-written gradient.

For autograd the whole chain is one step. Weights can then be packed for both directions (see
:mod:`nstbench.nn.layers.frozen_convolution`), and Python is called once per chain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.gpu_kernels import gradient_of_rectified

Steps = Sequence[tuple[str, nn.Module]]

_aten: Any = torch.ops.aten

# Numbers of stripes that a picture may be cut into for poolings, the best one first; 16 is
# enough for the processors of a large machine.
_STRIPES = (16, 8, 4, 2)


def is_chain(x: torch.Tensor, steps: Steps) -> bool:
    """Return True if :func:`run_chain` supports these steps for a picture; never under autocast."""
    return not torch.is_autocast_enabled(x.device.type) and all(
        (isinstance(step, FrozenConvolution) and step.chains(x) and _is_simple(step))
        or isinstance(step, nn.ReLU | nn.MaxPool2d | nn.AvgPool2d)
        for _, step in steps
    )


def run_chain(x: torch.Tensor, steps: Steps, wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """Return the activations of ``wanted`` layers and of the last one; differentiable once.

    Args:
        x: (B, C, H, W), of the same dtype as the weights.
        steps: names and modules, in order; see :func:`is_chain`.
        wanted: names of layers to read.
    """
    names = [name for name, _ in steps if name in wanted or name == steps[-1][0]]
    outputs: tuple[torch.Tensor, ...] = _Chain.apply(x, steps, names)
    return dict(zip(names, outputs, strict=True))


class _Chain(torch.autograd.Function):
    """Steps in order; the tensors that their gradients need are saved in one flat list."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, steps: Steps, names: Sequence[str]
    ) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.names = names
        ctx.steps, ctx.kept = fused(steps, names), []
        outputs: dict[str, torch.Tensor] = {}
        saved: list[torch.Tensor] = []
        for name, step, rectified in ctx.steps:
            before = x
            kept: tuple[torch.Tensor, ...] = ()
            if isinstance(step, FrozenConvolution):
                x = step.convolve_packed(x, rectified)
                # autograd then detects weights that change before the backward pass
                kept = (step.weight, x) if rectified else (step.weight,)
            elif isinstance(step, nn.ReLU):
                x = torch.relu(x)
                kept = (x,)
            elif isinstance(step, nn.MaxPool2d):
                x, places = _aten.max_pool2d_with_indices(_stripes(x, step), *_window(step))
                x = _cut(x, len(before))
                kept = (before, places)
            else:
                x = step(x)
                kept = (before,)
            ctx.kept.append(len(kept))
            saved += kept
            outputs[name] = x
        ctx.save_for_backward(*saved)
        return tuple(outputs[name] for name in names)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        of_outputs = dict(zip(ctx.names, gradients, strict=True))
        saved = list(ctx.saved_tensors)
        g: torch.Tensor | None = None
        # The gradient has a single name, so that each earlier one is freed immediately.
        for (name, step, rectified), count in zip(
            reversed(ctx.steps), reversed(ctx.kept), strict=True
        ):
            kept = [saved.pop() for _ in range(count)][::-1]
            of_output = of_outputs.pop(name, None)
            if g is not None and of_output is not None and rectified and g.is_cuda:
                g = gradient_of_rectified(g, of_output, kept[-1])
                of_output, rectified = None, False
            elif g is None:
                g = of_output
            elif of_output is not None:
                # The in-place operation takes twice as long for large maps; so does rectifying.
                g = g + of_output
            if g is None:
                continue
            if isinstance(step, nn.MaxPool2d | nn.AvgPool2d):
                g = _pooling_gradient(step, g, *kept)
            elif rectified or isinstance(step, nn.ReLU):
                g = _aten.threshold_backward(g, kept[-1], 0)
            if isinstance(step, FrozenConvolution):
                g = step.gradient_packed(g)
        return g, None, None


def fused(steps: Steps, wanted: Collection[str]) -> list[tuple[str, nn.Module, bool]]:
    """Return names, steps, and whether a step is a convolution that also rectifies.

    This saves a copy of every activation. A convolution whose own output is wanted is not fused.
    """
    merged: list[tuple[str, nn.Module, bool]] = []
    for name, step in steps:
        before = merged[-1] if merged else None
        if (
            isinstance(step, nn.ReLU)
            and before is not None
            and isinstance(before[1], FrozenConvolution)
            and before[0] not in wanted
        ):
            merged[-1] = (name, before[1], True)
        else:
            merged.append((name, step, False))
    return merged


def _is_simple(step: FrozenConvolution) -> bool:
    inside = all(p < k for p, k in zip(step.borders(), step.kernel_size, strict=True))
    return step.stride == (1, 1) and step.padding_mode == "zeros" and inside


def _pooling_gradient(
    step: nn.MaxPool2d | nn.AvgPool2d,
    gradient: torch.Tensor,
    before: torch.Tensor,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the gradient of the input ``before``; max pooling took it from ``places``."""
    stripes = _stripes(before, step)
    gradient = _cut(gradient, len(stripes))
    if isinstance(step, nn.MaxPool2d):
        window = _window(step)
        result = _aten.max_pool2d_with_indices_backward(gradient, stripes, *window, places)
    else:
        result = _aten.avg_pool2d_backward(gradient, stripes, *_averaged(step))
    return _cut(result, len(before))


def _window(step: nn.MaxPool2d) -> tuple[Any, ...]:
    sizes = (step.kernel_size, step.stride, step.padding, step.dilation)
    return (*(_pair(size) for size in sizes), step.ceil_mode)


def _averaged(step: nn.AvgPool2d) -> tuple[Any, ...]:
    sizes = (step.kernel_size, step.stride, step.padding)
    flags = (step.ceil_mode, step.count_include_pad, step.divisor_override)
    return (*(_pair(size) for size in sizes), *flags)


def _stripes(x: torch.Tensor, pool: nn.MaxPool2d | nn.AvgPool2d) -> torch.Tensor:
    """Return a view that cuts each picture into stripes, if no pooling window crosses a cut.

    The gradient of torch's pooling distributes whole pictures over processors, so a single
    picture would use one processor only.
    """
    height = x.shape[2]
    plain = (
        _pair(pool.kernel_size) == _pair(pool.stride)
        and _pair(pool.padding) == [0, 0]
        and _pair(getattr(pool, "dilation", 1)) == [1, 1]
        and x.is_contiguous(memory_format=torch.channels_last)
    )
    if x.is_cuda:
        return x
    window = _pair(pool.kernel_size)[0]
    count = next((n for n in _STRIPES if plain and height % (n * window) == 0), 1)
    return _cut(x, len(x) * count)


def _cut(x: torch.Tensor, count: int) -> torch.Tensor:
    """Return the rows of pictures (B, C, H, W) as ``count`` pictures, channels last.

    The result is a view if the input is channels last.
    """
    if len(x) == count:
        return x
    rows = x.permute(0, 2, 3, 1)
    return rows.reshape(count, -1, *rows.shape[2:]).permute(0, 3, 1, 2)


def _pair(size: int | tuple[int, int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)
