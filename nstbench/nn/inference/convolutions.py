"""Other forms of convolutions, with the same results, that suit the matrix units of a GPU.

Its units multiply blocks of at least 8 input and 32 output channels. A convolution of 3 channels
leaves most of a block empty, and one after nearest-neighbour enlargement multiplies every
pixel several times by numbers that could be added before.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

_MULTIPLE = 32

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

    Args:
        weight: float32 (outputs, inputs, k, k).
        dtype: number format of the multiplications and of the result.

    Returns:
        A function of maps (B, inputs, H, W) of any format to (B, outputs, H - k + 1, W - k + 1),
        channels last.
    """
    outputs, inputs, rows, columns = weight.shape
    wanted = columns * inputs
    kernel = weight.permute(0, 3, 1, 2).reshape(outputs, wanted, rows, 1)
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, -wanted % _MULTIPLE)).to(dtype)
    kernel = kernel.contiguous(memory_format=torch.channels_last)

    def convolved(x: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape
        flat = x.permute(0, 2, 3, 1).contiguous()
        row = width * inputs
        # the same memory, in windows that overlap
        windows = flat.as_strided(
            (batch, height, width - columns + 1, wanted), (height * row, row, inputs, 1)
        )
        wide = F.pad(windows.to(dtype), (0, -wanted % _MULTIPLE))
        return F.conv2d(wide.permute(0, 3, 1, 2), kernel)

    return convolved


def to_few_channels(weight: torch.Tensor, dtype: torch.dtype, padding: int) -> Layer:
    """Return a convolution with a border of zeros, for example to the channels of a picture.

    A convolution by a column computes what each column of the kernel adds, and its columns are
    added up in float32.

    Args:
        weight: float32 (outputs, inputs, k, k).
        dtype: number format of the multiplications.
        padding: rows and columns of zeros on each side.

    Returns:
        A function of maps (B, inputs, H, W) to float32 (B, outputs, H', W').
    """
    outputs, inputs, rows, columns = weight.shape
    wanted = columns * outputs
    made = wanted + -wanted % _MULTIPLE
    kernel = weight.permute(3, 0, 1, 2).reshape(wanted, inputs, rows, 1)
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, 0, 0, made - wanted)).to(dtype)
    kernel = kernel.contiguous(memory_format=torch.channels_last)

    def convolved(x: torch.Tensor) -> torch.Tensor:
        parts = F.conv2d(x, kernel, padding=(padding, padding)).permute(0, 2, 3, 1).contiguous()
        batch, height, width, _ = parts.shape
        row = width * made
        # column c of the kernel contributes c places to the left of where it was computed
        shifted = parts.as_strided(
            (batch, height, width - columns + 1, outputs, columns),
            (height * row, row, made, 1, made + outputs),
        )
        return shifted.sum(dim=-1, dtype=torch.float32).permute(0, 3, 1, 2)

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
