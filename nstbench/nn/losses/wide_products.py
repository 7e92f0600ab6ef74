"""Products of 16-bit activations over many positions, summed in float32 without a wide copy.

A Gram matrix has few entries and many terms per entry: 64 x 64 sums of 262,144 products for the
first layer of VGG at 512 px. As a single matrix product that is work for one processor of a GPU.
So positions are cut into parts, each a product of its own, and the parts are added up.
"""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_log = logging.getLogger(__name__)

# A product of 128 x 128 entries is the work of one processor; large GPUs have 132 of them.
_TILE = 128
_TILES = 256
_LEAST_POSITIONS = 256


def wide_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left right^T (B, C, D) for (B, C, N) and (B, D, N), float32 at least.

    The products of two 16-bit numbers are exact in float32, in which they are added up. Inputs in
    channels-last order are not copied.

    Example:
        >>> wide_product(torch.ones(1, 2, 5), torch.ones(1, 1, 5)).tolist()
        [[[5.0], [5.0]]]
    """
    batch, positions = len(left), left.shape[2]
    parts = _parts(batch, left.shape[1], right.shape[1], positions)
    whole = positions - positions % parts
    total = _of_parts(left, right, parts).unflatten(0, (batch, parts)).sum(dim=1)
    if whole < positions:
        total += _multiplied(left[:, :, whole:], right[:, :, whole:].transpose(1, 2))
    return total


def partial_products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return (parts, C, D), the sum of which is left right^T, for (1, C, N) and (1, D, N)."""
    positions = left.shape[2]
    parts = _parts(1, left.shape[1], right.shape[1], positions)
    product = _of_parts(left, right, parts)
    whole = positions - positions % parts
    if whole < positions:
        product[-1:] += _multiplied(left[:, :, whole:], right[:, :, whole:].transpose(1, 2))
    return product


def _of_parts(left: torch.Tensor, right: torch.Tensor, parts: int) -> torch.Tensor:
    """Return products (B parts, C, D) over equal parts of the positions, without the rest."""
    length = left.shape[2] // parts
    a, b = (
        side[:, :, : parts * length].unflatten(2, (parts, length)).transpose(1, 2).flatten(0, 1)
        for side in (left, right)
    )
    return _multiplied(a, b.transpose(1, 2))


def _parts(batch: int, rows: int, columns: int, positions: int) -> int:
    """Return the number of parts, a power of two."""
    tiles = batch * -(-rows // _TILE) * -(-columns // _TILE)
    most = max(1, min(_TILES // tiles, positions // _LEAST_POSITIONS))
    return 1 << (most.bit_length() - 1)


def _multiplied(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    # autocast would round float32 to half precision
    with torch.autocast(left.device.type, enabled=False):
        if left.dtype in (torch.float32, torch.float64):
            return torch.bmm(left, right)
        # torch's counter of operations does not know the operator with an output format
        if left.is_cuda and not is_in_torch_dispatch_mode() and _has_output_format(left.device):
            return torch.bmm(left, right, out_dtype=torch.float32)
        return torch.bmm(left.float(), right.float())


@cache
def _has_output_format(device: torch.device) -> bool:
    """Return True if this torch multiplies bfloat16 with a float32 result on a device."""
    # 1 + 2^-9 has more digits than bfloat16
    left = torch.tensor([1.0, 2.0**-9], device=device, dtype=torch.bfloat16).repeat(2, 64, 32)
    try:
        product = torch.bmm(left, left.transpose(1, 2), out_dtype=torch.float32)
        works = bool((product == 32 * (1 + 2.0**-18)).all())
    except (RuntimeError, TypeError) as error:
        _log.warning("products of bfloat16 are computed in float32, which is slower: %s", error)
        return False
    if not works:
        _log.warning("products of bfloat16 are computed in float32: torch's results are inexact")
    return works
