"""Other forms of convolutions, with the same results, that suit the matrix units of a GPU.

Its units multiply blocks of at least 8 input and 32 output channels. A convolution of 3 channels
leaves most of a block empty, and one after nearest-neighbour enlargement multiplies every
pixel several times by numbers that could be added before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

_BLOCK = 32

Layer = Callable[[torch.Tensor], torch.Tensor]

# Rows of the small map that the three rows of a kernel see after enlargement: entry [a, u, r] is 1
# if row r of the kernel, at a row of parity a, sees the row u - 1 of the small map.
_SEEN = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
)


def from_few_channels(weight: torch.Tensor, dtype: torch.dtype) -> Layer:
    """Return a convolution without padding, for example of the three channels of a picture.

    The columns under a row of the kernel become channels, which leaves a convolution by a column.
    Neighbouring outputs of a row share these channels as long as they fit into a block of 32.

    Args:
        weight: float32 (outputs, inputs, k, k).
        dtype: number format of the multiplications and of the result.

    Returns:
        A function of maps (B, inputs, H, W) of any format to (B, outputs, H - k + 1, W - k + 1),
        channels last.
    """
    outputs, inputs, _, columns = weight.shape

    @cache
    def kernel(group: int) -> torch.Tensor:
        # output p of a group sees the columns p to p + k - 1 of the group's window
        shifted = [F.pad(weight, (p, group - 1 - p)) for p in range(group)]
        flat = torch.stack(shifted).permute(0, 1, 4, 2, 3).flatten(2, 3).flatten(0, 1)
        return _laid_out(F.pad(flat[..., None], (0, 0, 0, 0, 0, -flat.shape[1] % _BLOCK)), dtype)

    def convolved(x: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape
        made = width - columns + 1
        most = _BLOCK // inputs - columns + 1
        group = next((g for g in range(most, 1, -1) if made % g == 0), 1)
        wanted = (group + columns - 1) * inputs
        flat = x.permute(0, 2, 3, 1).contiguous()
        row = width * inputs
        # the same memory, in windows that overlap
        windows = flat.as_strided(
            (batch, height, made // group, wanted), (height * row, row, group * inputs, 1)
        )
        wide = F.pad(windows.to(dtype), (0, -wanted % _BLOCK))
        groups = F.conv2d(wide.permute(0, 3, 1, 2), kernel(group))
        # in memory, the outputs of a group follow each other like those of a row
        together = groups.permute(0, 2, 3, 1).contiguous()
        return together.view(batch, -1, made, outputs).permute(0, 3, 1, 2)

    return convolved


def to_few_channels(weight: torch.Tensor, dtype: torch.dtype, padding: int) -> Layer:
    """Return a convolution with a border of zeros, for example to the channels of a picture.

    A convolution by a column computes what each column of the kernel adds, and its columns are
    added up in float32. Neighbouring pixels of a row are taken together as long as their sums fit
    into a block of 32.

    Args:
        weight: float32 (outputs, inputs, k, k).
        dtype: number format of the multiplications.
        padding: rows and columns of zeros on each side.

    Returns:
        A function of maps (B, inputs, H, W) to float32 (B, outputs, H', W').
    """
    outputs, inputs, _, columns = weight.shape

    def blocks(group: int) -> int:
        """Return how many groups of pixels a group of outputs sees."""
        return (columns - 1) // group + 1 if group == 1 else (columns + group - 2) // group + 1

    @cache
    def kernel(group: int) -> torch.Tensor:
        # pixel q of block d is under column group * d + q - p of the kernel of output p
        count = blocks(group)
        around = F.pad(weight, (group - 1, group * count - columns))
        shifted = [around[..., group - 1 - p :][..., : group * count] for p in range(group)]
        parts = torch.stack(shifted).unflatten(-1, (count, group))
        # (p, output, input, row, d, q) to (d, p, output), (q, input), row
        flat = parts.permute(4, 0, 1, 5, 2, 3).flatten(3, 4).flatten(0, 2)
        surplus = -len(flat) % _BLOCK
        return _laid_out(F.pad(flat[..., None], (0, 0, 0, 0, 0, 0, 0, surplus)), dtype)

    def suits(group: int, width: int) -> bool:
        fits = blocks(group) * group * outputs <= _BLOCK
        return fits and not (width % group or padding % group or (columns - 1) % group)

    def convolved(x: torch.Tensor) -> torch.Tensor:
        batch, _, _, width = x.shape
        group = next((g for g in (4, 2) if suits(g, width)), 1)
        flat = x.permute(0, 2, 3, 1).contiguous()
        grouped = flat.view(batch, -1, width // group, group * inputs).permute(0, 3, 1, 2)
        weights = kernel(group)
        parts = F.conv2d(grouped, weights, padding=(padding, padding // group))
        parts = parts.permute(0, 2, 3, 1).contiguous()
        made, sums, count = len(weights), group * outputs, blocks(group)
        _, height, across, _ = parts.shape
        row = across * made
        # block d contributes d places to the left of where it was computed
        shifted = parts.as_strided(
            (batch, height, across - count + 1, sums, count),
            (height * row, row, made, 1, made + sums),
        )
        together = shifted.sum(dim=-1, dtype=torch.float32)
        return together.view(batch, height, -1, outputs).permute(0, 3, 1, 2)

    return convolved


def of_enlarged(weight: torch.Tensor) -> torch.Tensor:
    """Return the kernel that does what 3 x 3 ``weight`` does after doubling the resolution.

    Its outputs are the four positions of each pixel of the enlarged map, as
    :func:`nstbench.nn.inference.affine.transformed` reads them. A border that repeats one pixel of
    the small map equals one that mirrors one pixel of the enlarged map.

    Args:
        weight: float32 (outputs, inputs, 3, 3), for maps that were enlarged by nearest neighbours.

    Returns:
        Float32 (4 outputs, inputs, 3, 3), for the small maps.
    """
    seen = weight.new_tensor(_SEEN)
    phases = torch.einsum("aur,bvs,oirs->aboiuv", seen, seen, weight)
    return phases.flatten(0, 2)


def _laid_out(kernel: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return kernel.to(dtype).contiguous(memory_format=torch.channels_last)
