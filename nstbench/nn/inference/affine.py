"""Normalise, rectify, add and pad a map in as few passes over memory as possible.

Between two convolutions, a trained network applies a scale and a shift per channel. They come from
a bias, from trained statistics or from those of the map itself. A rectifier, the addition of
a residual block, the enlargement and the border of the next convolution follow. In torch, each is
a pass over the whole map. On a GPU with Triton, the statistics take one pass and all the rest
takes another; elsewhere the same functions use torch.
"""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F

from nstbench.core.errors import lost_device, ran_out_of_memory

_log = logging.getLogger(__name__)

EPSILON = 1e-5


def scale_and_shift(
    x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, phases: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift, float32 (B, C), of gamma (x - mean) / std + beta.

    Mean and deviation are those of each sample's channels over all positions, in float32.

    Args:
        x: maps (B, ``phases`` C, H, W), channels last.
        gamma: float32 (B or 1, C), its last dimension contiguous.
        beta: the same.
        phases: 4 for maps whose channels are the four positions of a map of twice the size; see
            :func:`transformed`.
    """
    fused = _kernels(x)
    if fused is not None:
        try:
            return fused.scale_and_shift(x, gamma, beta, phases, EPSILON)
        except Exception as error:
            _without_kernels(error)
    wide = x.unflatten(1, (phases, -1)).float()
    variance, mean = torch.var_mean(wide, dim=(1, 3, 4), correction=0)
    scale = gamma * torch.rsqrt(variance + EPSILON)
    return scale, beta - mean * scale


def transformed(
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    *,
    rectified: bool = False,
    added: torch.Tensor | None = None,
    phases: int = 1,
    border: int = 0,
    repeated: bool = False,
) -> torch.Tensor:
    """Return scale * x + shift, in the dtype of ``x``, channels last.

    Args:
        x: maps (B, ``phases`` C, H, W) whose channels are contiguous.
        scale: float32 (B or 1, C).
        shift: float32, of the same shape.
        rectified: apply a ReLU at the end.
        added: maps (B, C, H', W') to add, whose channels are contiguous; H' and W' are those
            of the result without its border.
        phases: 4 to return maps of twice the size: the first C channels are the positions at even
            rows and even columns, then even and odd, odd and even, odd and odd.
        border: rows and columns to add on each side, fewer than the map has.
        repeated: the border repeats the outermost rows and columns; otherwise it mirrors the map
            without repeating them.
    """
    fused = _kernels(x)
    if fused is not None:
        try:
            return fused.transformed(
                x, scale, shift, rectified=rectified, added=added, phases=phases, border=border,
                repeated=repeated,
            )  # fmt: skip
        except Exception as error:
            _without_kernels(error)
    if phases == 4:
        maps = x.unflatten(1, (2, 2, -1))
        x = maps.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
    made = torch.addcmul(shift[..., None, None], x.float(), scale[..., None, None])
    if added is not None:
        made = made + added
    if rectified:
        made = F.relu_(made)
    if border:
        made = F.pad(made, (border,) * 4, mode="replicate" if repeated else "reflect")
    return made.to(x.dtype).contiguous(memory_format=torch.channels_last)


_working = True


def _kernels(x: torch.Tensor) -> ModuleType | None:
    """Return the module of kernels if it can be used for ``x``, else None."""
    return _module() if _working and x.is_cuda else None


@cache
def _module() -> ModuleType | None:
    try:
        from nstbench.nn.inference import affine_kernels
    except ImportError as error:
        _log.warning("Triton is missing, so normalisations take more passes: %s", error)
        return None
    return affine_kernels


def _without_kernels(error: Exception) -> None:
    """Use torch from now on, after a kernel could not be built; other errors are raised again."""
    global _working
    others = ran_out_of_memory(error) or lost_device(error)
    if others or torch.cuda.is_current_stream_capturing():
        raise error
    _working = False
    _log.warning("Triton's kernels do not work here, torch is used: %s", error)
