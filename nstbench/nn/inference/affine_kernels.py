"""Triton kernels of :mod:`nstbench.nn.inference.affine`, for channels-last maps on a GPU.

A pass over a map of a trained network takes as long as it takes to move the map, whatever it
computes. Each kernel therefore does all that can be done in one pass.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_TILE, _MAP_TILE = 8192, 4096
_TILE_ROWS = 128
_TILE_COLUMNS = 32


@triton.jit
def _tile_moments(
    x, sums, squares, pixels, channels, tiles,
    block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """Write the sum of a tile of pixels and its squared distance from the tile's mean."""
    tile = tl.program_id(0)
    sample = tl.program_id(1)
    rows = tile * block + tl.arange(0, block)
    columns = tl.arange(0, padded)
    inside = (rows < pixels)[:, None] & (columns < channels)[None, :]
    start = x + sample.to(tl.int64) * pixels * channels
    places = rows.to(tl.int64)[:, None] * channels + columns[None, :]
    values = tl.load(start + places, mask=inside, other=0.0).to(tl.float32)
    count = tl.minimum(pixels - tile * block, block).to(tl.float32)
    total = tl.sum(values, axis=0)
    distance = tl.where(inside, values - (total / count)[None, :], 0.0)
    place = (sample * tiles + tile) * channels + columns
    tl.store(sums + place, total, mask=columns < channels)
    tl.store(squares + place, tl.sum(distance * distance, axis=0), mask=columns < channels)


@triton.jit
def _scale_and_shift(
    sums, squares, gamma, beta, scale, shift, pixels, channels, tiles, block,
    gamma_stride, beta_stride, epsilon,
    phases: tl.constexpr, tile_rows: tl.constexpr, tile_columns: tl.constexpr,
):  # fmt: skip
    """Join the moments of all tiles, and write scale and shift of a normalisation."""
    sample = tl.program_id(0)
    columns = tl.program_id(1) * tile_columns + tl.arange(0, tile_columns)
    kept = columns < channels
    width = phases * channels
    total = tl.zeros((tile_columns,), dtype=tl.float32)
    for first in range(0, tiles, tile_rows):
        rows = first + tl.arange(0, tile_rows)
        inside = (rows < tiles)[:, None] & kept[None, :]
        for phase in tl.static_range(phases):
            places = (sample * tiles + rows)[:, None] * width + phase * channels + columns[None, :]
            total += tl.sum(tl.load(sums + places, mask=inside, other=0.0), axis=0)
    mean = total / (pixels * phases)
    square = tl.zeros((tile_columns,), dtype=tl.float32)
    for first in range(0, tiles, tile_rows):
        rows = first + tl.arange(0, tile_rows)
        inside = (rows < tiles)[:, None] & kept[None, :]
        counts = tl.maximum(tl.minimum(pixels - rows * block, block), 1).to(tl.float32)[:, None]
        for phase in tl.static_range(phases):
            places = (sample * tiles + rows)[:, None] * width + phase * channels + columns[None, :]
            distance = tl.load(sums + places, mask=inside, other=0.0) / counts - mean[None, :]
            own = tl.load(squares + places, mask=inside, other=0.0)
            square += tl.sum(tl.where(inside, own + counts * distance * distance, 0.0), axis=0)
    factor = tl.load(gamma + sample * gamma_stride + columns, mask=kept, other=0.0)
    factor = factor / tl.sqrt(square / (pixels * phases) + epsilon)
    offset = tl.load(beta + sample * beta_stride + columns, mask=kept, other=0.0)
    tl.store(scale + sample * channels + columns, factor, mask=kept)
    tl.store(shift + sample * channels + columns, offset - mean * factor, mask=kept)


@triton.jit
def _transform(
    x, scale, shift, added, out, height, width, out_height, out_width, border, channels,
    x_sample, x_row, x_column, added_sample, added_row, added_column, scale_sample,
    rectifies: tl.constexpr, adds: tl.constexpr, phases: tl.constexpr, repeats: tl.constexpr,
    block: tl.constexpr, padded: tl.constexpr,
):  # fmt: skip
    """Write scale * x + shift, rectified or with a map added, with a border around it.

    ``height`` and ``width`` are those of the map without its border.
    """
    sample = tl.program_id(1).to(tl.int64)
    places = tl.program_id(0) * block + tl.arange(0, block)
    columns = tl.arange(0, padded)
    inside = (places < out_height * out_width)[:, None] & (columns < channels)[None, :]
    row = places // out_width - border
    column = places % out_width - border
    if repeats:
        row = tl.minimum(tl.maximum(row, 0), height - 1)
        column = tl.minimum(tl.maximum(column, 0), width - 1)
    else:
        row = tl.abs(row)
        row = tl.where(row >= height, 2 * (height - 1) - row, row)
        column = tl.abs(column)
        column = tl.where(column >= width, 2 * (width - 1) - column, column)
    if phases == 4:
        phase = (row % 2) * 2 + column % 2
        source = (row // 2).to(tl.int64) * x_row + (column // 2) * x_column + phase * channels
    else:
        source = row.to(tl.int64) * x_row + column * x_column
    start = x + sample * x_sample
    values = tl.load(start + source[:, None] + columns[None, :], mask=inside, other=0.0)
    factor = tl.load(scale + sample * scale_sample + columns, mask=columns < channels, other=0.0)
    offset = tl.load(shift + sample * scale_sample + columns, mask=columns < channels, other=0.0)
    values = values.to(tl.float32) * factor[None, :] + offset[None, :]
    if adds:
        other = row.to(tl.int64) * added_row + column * added_column
        start = added + sample * added_sample
        more = tl.load(start + other[:, None] + columns[None, :], mask=inside, other=0.0)
        values += more.to(tl.float32)
    if rectifies:
        values = tl.maximum(values, 0.0)
    start = out + sample * out_height * out_width * channels
    places = places.to(tl.int64)[:, None] * channels + columns[None, :]
    tl.store(start + places, values.to(out.dtype.element_ty), mask=inside)


def scale_and_shift(
    x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, phases: int, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """See :func:`nstbench.nn.inference.affine.scale_and_shift`."""
    batch, width, rows, columns = x.shape
    channels, pixels = width // phases, rows * columns
    padded = triton.next_power_of_2(width)
    block = max(16, _TILE // padded)
    tiles = triton.cdiv(pixels, block)
    sums, squares = x.new_empty((2, batch, tiles, width), dtype=torch.float32)
    scale, shift = x.new_empty((2, batch, channels), dtype=torch.float32)
    _tile_moments[(tiles, batch)](
        x, sums, squares, pixels, width, tiles, block=block, padded=padded, num_warps=8
    )
    _scale_and_shift[(batch, triton.cdiv(channels, _TILE_COLUMNS))](
        sums, squares, gamma, beta, scale, shift, pixels, channels, tiles, block,
        gamma.stride(0) if len(gamma) > 1 else 0, beta.stride(0) if len(beta) > 1 else 0, epsilon,
        phases=phases, tile_rows=_TILE_ROWS, tile_columns=_TILE_COLUMNS,
    )  # fmt: skip
    return scale, shift


def transformed(
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    *,
    rectified: bool,
    added: torch.Tensor | None,
    phases: int,
    border: int,
    repeated: bool,
) -> torch.Tensor:
    """See :func:`nstbench.nn.inference.affine.transformed`."""
    batch, width, rows, columns = x.shape
    channels, factor = width // phases, 2 if phases == 4 else 1
    inner = (factor * rows, factor * columns)
    outer = (inner[0] + 2 * border, inner[1] + 2 * border)
    out = torch.empty(
        (batch, channels, *outer), dtype=x.dtype, device=x.device,
        memory_format=torch.channels_last,
    )  # fmt: skip
    padded = triton.next_power_of_2(channels)
    block = max(16, _MAP_TILE // padded)
    more = x if added is None else added
    _transform[(triton.cdiv(outer[0] * outer[1], block), batch)](
        x, scale, shift, more, out, *inner, *outer, border, channels,
        x.stride(0), x.stride(2), x.stride(3),
        more.stride(0), more.stride(2), more.stride(3), channels if len(scale) > 1 else 0,
        rectifies=rectified, adds=added is not None, phases=phases, repeats=repeated,
        block=block, padded=padded,
    )  # fmt: skip
    return out
