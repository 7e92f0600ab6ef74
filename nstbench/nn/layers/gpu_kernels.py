"""Frozen convolutions and rectifiers for GPUs, with few passes over the memory.

cuDNN's fast kernels read and write eight channels at a time, so kernels with other numbers of
channels get zeros. Bias, rectifier and their gradients are single element-wise kernels, which
torch compiles when they are first used (``torch.cuda.jiterator``). Where that fails, torch's own
operators give the same results in more passes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_log = logging.getLogger(__name__)

_MULTIPLE = 8
_LAST = torch.channels_last
_aten: Any = torch.ops.aten

# "not less" and "not more" let values pass that are not a number, as torch's operators do. The
# parser of torch.cuda.jiterator allows one ">" only.
_RECTIFIED = (
    "template <typename T> T nst_rectified(T x, T b) { T y = x + b; return y < T(0) ? T(0) : y; }"
)
_GRADIENT = (
    "template <typename T> T nst_gradient_of_rectified(T g, T h, T y) "
    "{ return y <= T(0) ? T(0) : g + h; }"
)

# Four bfloat16 numbers of neighbouring channels as one int64: a quarter of the loads, and of the
# arithmetic of addresses where an input is broadcast.
_FOUR = 4
_RECTIFIED_FOUR = """
template <typename T> T nst_rectified_four(T x, T b) {
  T out = 0;
  const unsigned short* xs = (const unsigned short*)&x;
  const unsigned short* bs = (const unsigned short*)&b;
  unsigned short* ys = (unsigned short*)&out;
  for (int k = 0; k < 4; ++k)
    {
      float y = __uint_as_float(xs[k] * 65536u) + __uint_as_float(bs[k] * 65536u);
      unsigned int u = __float_as_uint(y);
      u = (u + 32767u + (u / 65536u) % 2u) / 65536u;
      ys[k] = y < 0.0f ? 0 : (y == y ? (unsigned short)u : (unsigned short)32704);
    }
  return out;
}
"""
_UNPOOLED_FOUR = """
template <typename T> T nst_unpooled_four(T y, T g) {
  T out = 0;
  const unsigned short* gs = (const unsigned short*)&g;
  const unsigned short* ys = (const unsigned short*)&y;
  unsigned short* os = (unsigned short*)&out;
  for (int k = 0; k < 4; ++k)
    {
      float v = 0.25f * __uint_as_float(gs[k] * 65536u);
      unsigned int u = __float_as_uint(v);
      u = (u + 32767u + (u / 65536u) % 2u) / 65536u;
      unsigned short r = v == v ? (unsigned short)u : (unsigned short)32704;
      os[k] = __uint_as_float(ys[k] * 65536u) <= 0.0f ? 0 : r;
    }
  return out;
}
"""


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
        return kernels.rectified(y, offset)
    y = y.add_(offset)
    return y.relu_() if rectify else y


def gradient_of_rectified(
    gradient: torch.Tensor, other: torch.Tensor, rectified: torch.Tensor
) -> torch.Tensor:
    """Return the sum of two gradients where ``rectified`` is positive, and 0 elsewhere."""
    kernels = _kernels_for(rectified)
    if kernels is not None:
        return kernels.gradient(gradient, other, rectified)
    result: torch.Tensor = _aten.threshold_backward(gradient + other, rectified, 0)
    return result


def unpooled(gradient: torch.Tensor, rectified: torch.Tensor) -> torch.Tensor | None:
    """Return the gradient before a rectifier that is followed by an average over 2 x 2.

    Args:
        gradient: gradient of the averages, (B, C, H / 2, W / 2).
        rectified: output of the rectifier, (B, C, H, W).

    Returns:
        (B, C, H, W); ``None`` where no compiled kernel applies, as for odd sizes.
    """
    kernels = _kernels_for(rectified)
    even = (
        rectified.shape[2] == 2 * gradient.shape[2] and rectified.shape[3] == 2 * gradient.shape[3]
    )
    if kernels is None or kernels.unpooled is None or not even:
        return None
    if not (_packs(gradient) and _packs(rectified)):
        return None
    return kernels.unpooled(gradient, rectified)


@dataclass(frozen=True, slots=True)
class Kernels:
    """Compiled kernels of a dtype.

    Attributes:
        rectified: max(0, y + b) of (B, C, H, W) and (1, C, 1, 1).
        gradient: g + h where y is positive.
        unpooled: see :func:`unpooled`; None if there is none for the dtype.
    """

    rectified: Callable[..., torch.Tensor]
    gradient: Callable[..., torch.Tensor]
    unpooled: Callable[..., torch.Tensor] | None = None


def _kernels_for(x: torch.Tensor) -> Kernels | None:
    # modes that watch torch's operators, counters of operations for example, do not see these
    if not x.is_cuda or is_in_torch_dispatch_mode():
        return None
    plain = _compiled(x.device, x.dtype)
    if plain is None or not _packs(x):
        return plain
    return _compiled_for_four(x.device) or plain


def _packs(x: torch.Tensor) -> bool:
    """Return True if four neighbouring channels can be read as one number."""
    return (
        x.dtype == torch.bfloat16
        and x.shape[1] % _FOUR == 0
        and x.is_contiguous(memory_format=_LAST)
        and x.storage_offset() % _FOUR == 0
    )


def packed(x: torch.Tensor) -> torch.Tensor:
    """Return bfloat16 (B, C, H, W), channels last, as int64 (B, H, W, C / 4)."""
    return x.permute(0, 2, 3, 1).view(torch.int64)


def unpacked(x: torch.Tensor) -> torch.Tensor:
    """Return what :func:`packed` was given."""
    return x.view(torch.bfloat16).permute(0, 3, 1, 2)


def pooling_views(
    gradient: torch.Tensor, rectified: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rectified values and the gradient as int64 (B, H / 2, 2, W / 2, 2, C / 4).

    The gradient is repeated by a view.
    """
    cells = packed(rectified).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
    return cells, packed(gradient)[:, :, None, :, None].expand(cells.shape)


@cache
def _compiled(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    """Compile the kernels and compare them with torch's operators; None if they differ."""
    try:
        create = torch.cuda.jiterator._create_jit_fn
        kernels = Kernels(create(_RECTIFIED), create(_GRADIENT))
        works = _agree(kernels, device, dtype)
    # the function is not a public one, and compilers fail in many ways
    except Exception as error:
        _log.warning("rectifiers use torch's operators, which is slower: %s", error)
        return None
    if not works:
        _log.warning("rectifiers use torch's operators: compiled kernels differ from them")
    return kernels if works else None


@cache
def _compiled_for_four(device: torch.device) -> Kernels | None:
    """Compile the kernels for four numbers at a time; None if they differ from torch's."""
    plain = _compiled(device, torch.bfloat16)
    assert plain is not None
    try:
        create = torch.cuda.jiterator._create_jit_fn
        four, unpooled_four = create(_RECTIFIED_FOUR), create(_UNPOOLED_FOUR)
        kernels = Kernels(
            lambda y, b: unpacked(four(packed(y), b.flatten().view(torch.int64))),
            plain.gradient,
            lambda g, y: unpacked(_joined(unpooled_four(*pooling_views(g, y)))),
        )
        works = _agree(kernels, device, torch.bfloat16)
    except Exception as error:
        _log.warning("rectifiers read one number at a time, which is slower: %s", error)
        return None
    if not works:
        _log.warning("rectifiers read one number at a time: kernels for four differ from torch")
    return kernels if works else None


def _joined(cells: torch.Tensor) -> torch.Tensor:
    """Return (B, H / 2, 2, W / 2, 2, C) as (B, H, W, C)."""
    return cells.flatten(3, 4).flatten(1, 2)


def _agree(kernels: Kernels, device: torch.device, dtype: torch.dtype) -> bool:
    """Return True if kernels give the numbers and the layout of torch's operators."""
    y = torch.linspace(-2, 2, 2 * 16 * 8 * 8, device=device).sin().view(2, 16, 8, 8)
    y = y.to(dtype).contiguous(memory_format=_LAST)
    offset = torch.linspace(-1, 1, 16, device=device).to(dtype).view(1, 16, 1, 1)
    found, expected = kernels.rectified(y, offset), (y + offset).relu()
    other = y * 0.3
    pairs = [
        (found, expected),
        (
            kernels.gradient(y.flip(0), other, found),
            _aten.threshold_backward(y.flip(0) + other, found, 0),
        ),
    ]
    if kernels.unpooled is not None:
        averages = F.avg_pool2d(other, 2).contiguous(memory_format=_LAST)
        spread = _aten.avg_pool2d_backward(
            averages, found, [2, 2], [2, 2], [0, 0], False, True, None
        )
        pairs.append(
            (kernels.unpooled(averages, found), _aten.threshold_backward(spread, found, 0))
        )
    return all(
        bool((ours == theirs).all()) and ours.is_contiguous(memory_format=_LAST)
        for ours, theirs in pairs
    )
