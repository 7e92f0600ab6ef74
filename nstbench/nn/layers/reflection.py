"""Borders that mirror a map, for GPUs, in channels-last order.

torch's operator works on channels before positions, so channels-last maps are copied before and
after it, in both directions, and its gradient adds up 16-bit numbers one at a time. Here the border
is copied, and its gradient added, as whole rows and columns.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def with_reflected_border(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return maps with a mirrored border that does not repeat the outermost rows and columns.

    Args:
        x: (B, C, H, W).
        rows: rows to add above and below, fewer than H.
        columns: columns to add on the left and on the right, fewer than W.

    Returns:
        (B, C, H + 2 rows, W + 2 columns); channels last on GPUs, where it is differentiable once.
    """
    if x.is_cuda:
        return reflected_by_rows(x, rows, columns)
    return F.pad(x, (columns, columns, rows, rows), mode="reflect")


def reflected_by_rows(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return what :func:`with_reflected_border` does, in the form for GPUs, on any device."""
    padded: torch.Tensor = _Reflected.apply(x, rows, columns)
    return padded


class _Reflected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        batch, channels, height, width = x.shape
        ctx.border, ctx.shape = (rows, columns), x.shape
        made = x.new_empty(batch, height + 2 * rows, width + 2 * columns, channels)
        inner = made[:, :, columns : columns + width]
        inner[:, rows : rows + height] = x.permute(0, 2, 3, 1)
        # rows first, and then the columns of the higher map
        _mirror(inner, 1, rows)
        _mirror(made, 2, columns)
        return made.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (rows, columns), (_, _, height, width) = ctx.border, ctx.shape
        outer = grad.permute(0, 2, 3, 1)
        high = outer[:, rows : rows + height].contiguous()
        _add_border(high, outer, 1, rows)
        low = high[:, :, columns : columns + width].contiguous()
        _add_border(low, high, 2, columns)
        return low.permute(0, 3, 1, 2), None, None


def _mirror(maps: torch.Tensor, dim: int, border: int) -> None:
    """Fill the first and last ``border`` places of a dimension from those inside."""
    if not border:
        return
    length = maps.shape[dim]
    maps.narrow(dim, 0, border).copy_(_turned(maps.narrow(dim, border + 1, border), dim))
    last = maps.narrow(dim, length - 2 * border - 1, border)
    maps.narrow(dim, length - border, border).copy_(_turned(last, dim))


def _add_border(inner: torch.Tensor, outer: torch.Tensor, dim: int, border: int) -> None:
    """Add the first and last ``border`` places of ``outer`` to the places that they mirror."""
    if not border:
        return
    length = inner.shape[dim]
    inner.narrow(dim, 1, border).add_(_turned(outer.narrow(dim, 0, border), dim))
    last = outer.narrow(dim, length + border, border)
    inner.narrow(dim, length - border - 1, border).add_(_turned(last, dim))


def _turned(maps: torch.Tensor, dim: int) -> torch.Tensor:
    return maps.flip(dim) if maps.shape[dim] > 1 else maps
