"""Frozen convolutions and rectifiers for GPUs, with few passes over the memory.

cuDNN's fast kernels read and write eight channels at a time, so kernels with other numbers of
channels get zeros. Bias, rectifier and their gradients are single element-wise kernels, which
torch compiles when they are first used (``torch.cuda.jiterator``). Where that fails, torch's own
operators give the same results in more passes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_log = logging.getLogger(__name__)

_MULTIPLE = 8
_LAST = torch.channels_last
_aten: Any = torch.ops.aten

# "not less" and "not more" let values pass that are not a number, as torch's operators do
_RECTIFIED = (
    "template <typename T> T nst_rectified(T x, T b) { T y = x + b; return y < T(0) ? T(0) : y; }"
)
_GRADIENT = (
    "template <typename T> T nst_gradient_of_rectified(T g, T h, T y) "
    "{ return y <= T(0) ? T(0) : g + h; }"
)


def aligned(weight: torch.Tensor) -> torch.Tensor:
    """Return weights (O, I, k, k) with zeros up to multiples of eight channels, channels last."""
    outputs, inputs = (-count % _MULTIPLE for count in weight.shape[:2])
    if inputs or outputs:
        weight = F.pad(weight, (0, 0, 0, 0, 0, inputs, 0, outputs))
    return weight.contiguous(memory_format=_LAST)


def convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    outputs: int,
    stride: Sequence[int],
    padding: Sequence[int],
) -> torch.Tensor:
    """Return a convolution without bias, (B, outputs, H', W').

    Args:
        x: (B, C, H, W), channels last.
        weight: from :func:`aligned`.
        outputs: number of channels of the result; surplus ones are cut off by a view.
        stride: of rows and columns.
        padding: rows and columns of zeros.
    """
    missing = weight.shape[1] - x.shape[1]
    if missing:
        x = F.pad(x, (0, 0, 0, 0, 0, missing))
    x = x.contiguous(memory_format=_LAST)
    y = F.conv2d(x, weight, None, tuple(stride), tuple(padding))
    return y if y.shape[1] == outputs else y[:, :outputs]


def with_bias(y: torch.Tensor, bias: torch.Tensor | None, rectify: bool) -> torch.Tensor:
    """Return y + bias, or max(0, y + bias); ``y`` may be overwritten.

    Args:
        y: (B, C, H, W).
        bias: (C,).
        rectify: apply the rectifier.
    """
    if bias is None:
        return y.relu_() if rectify else y
    offset = bias.to(y.dtype).view(1, -1, 1, 1)
    kernels = _kernels_for(y)
    if rectify and kernels is not None:
        result: torch.Tensor = kernels[0](y, offset)
        return result
    y = y.add_(offset)
    return y.relu_() if rectify else y


def gradient_of_rectified(
    gradient: torch.Tensor, other: torch.Tensor, rectified: torch.Tensor
) -> torch.Tensor:
    """Return the sum of two gradients where ``rectified`` is positive, and 0 elsewhere."""
    kernels = _kernels_for(rectified)
    if kernels is not None:
        result: torch.Tensor = kernels[1](gradient, other, rectified)
        return result
    result = _aten.threshold_backward(gradient + other, rectified, 0)
    return result


Kernels = tuple[Callable[..., Any], Callable[..., Any]]


def _kernels_for(x: torch.Tensor) -> Kernels | None:
    # modes that watch torch's operators, counters of operations for example, do not see these
    if not x.is_cuda or is_in_torch_dispatch_mode():
        return None
    return _compiled(x.device, x.dtype)


@cache
def _compiled(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    """Compile both kernels and compare them with torch's operators; None if they differ."""
    try:
        create = torch.cuda.jiterator._create_jit_fn
        rectified, of_rectified = create(_RECTIFIED), create(_GRADIENT)
        y = torch.linspace(-2, 2, 2 * 16 * 8 * 8, device=device).view(2, 16, 8, 8)
        y = y.to(dtype).contiguous(memory_format=_LAST)
        offset = torch.linspace(-1, 1, 16, device=device).to(dtype).view(1, 16, 1, 1)
        found, expected = rectified(y, offset), (y + offset).relu()
        gradient, other = y.flip(0), y * 0.3
        differences = of_rectified(gradient, other, found)
        of_torch = _aten.threshold_backward(gradient + other, found, 0)
        works = (
            bool((found == expected).all() & (differences == of_torch).all())
            and found.is_contiguous(memory_format=_LAST)
            and differences.is_contiguous(memory_format=_LAST)
        )
    # the function is not a public one, and compilers fail in many ways
    except Exception as error:
        _log.warning("rectifiers use torch's operators, which is slower: %s", error)
        return None
    if not works:
        _log.warning("rectifiers use torch's operators: compiled kernels differ from them")
        return None
    return rectified, of_rectified
