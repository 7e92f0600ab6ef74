r"""Gram matrices of feature maps, with an explicit divisor.

For activations F of C channels at N = H W positions the Gram matrix is F F^T (C x C).
Published codes divide it differently. This changes a style loss by more than a constant factor
as soon as it sums over layers of different width or compares pictures of different size:

=============  =========  ==================================================================
``divide_by``  divisor    used by
=============  =========  ==================================================================
``"nothing"``  1          Gatys et al., arXiv 1508.06576, eq. 3 (E_l then divides by 4 C^2 N^2)
``"n"``        H W        Gatys' PyTorch code; all metrics of nstbench
``"chw"``      C H W      Johnson et al. 2016, eq. 3; neural-style, fast-neural-style
=============  =========  ==================================================================
"""

from __future__ import annotations

from typing import Literal

import torch

Divisor = Literal["nothing", "n", "chw"]

GRAM_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""The layers of VGG whose Gram matrices are the style of Gatys et al., the first of each block."""


def gram_matrix(features: torch.Tensor, divide_by: Divisor = "n") -> torch.Tensor:
    """Return the Gram matrix of each feature map; differentiable.

    Args:
        features: float activations (B, C, H, W).
        divide_by: divisor, see the table of this module.

    Returns:
        Symmetric positive semi-definite matrices (B, C, C) of the input's dtype.

    Raises:
        ValueError: if ``divide_by`` is none of the three.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3)).tolist()
        [[[1.0, 1.0], [1.0, 1.0]]]
    """
    # In both memory formats this is a view without a copy of the activations.
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / divisor(features, divide_by)


def divisor(features: torch.Tensor, divide_by: Divisor) -> float:
    """Return the divisor of F F^T for activations (B, C, H, W).

    Raises:
        ValueError: if ``divide_by`` is none of the three.
    """
    channels, height, width = features.shape[1:]
    divisors = {"nothing": 1, "n": height * width, "chw": channels * height * width}
    if divide_by not in divisors:
        raise ValueError(f"divide_by={divide_by!r} is none of {', '.join(divisors)}")
    return float(divisors[divide_by])


_CHUNK = 512
_STRIPS = 4


def scoring_gram_matrix(features: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrix divided by N as float64, for scores (not differentiated).

    Products over 512 positions are computed in float32 and summed in float64. The result is
    within 2e-7 of a float64 computation (relative Frobenius norm) and takes about a third of the
    time.

    Args:
        features: float32 activations (B, C, H, W).

    Returns:
        float64 (B, C, C).
    """
    whole, rest = _chunks(features)
    total = self_products(rest, torch.float64)
    if whole.shape[1]:
        total += self_products(whole, torch.float64)
    return total / features[0, 0].numel()


def scoring_mean(features: torch.Tensor) -> torch.Tensor:
    """Return the means over positions as float64 (B, C), for scores (not differentiated).

    Sums over 512 positions are float32, and their sum is float64, as in
    :func:`scoring_gram_matrix`: a variance is the difference of the two.

    Args:
        features: float32 activations (B, C, H, W).
    """
    whole, rest = _chunks(features)
    total = rest.sum(dim=(1, 2), dtype=torch.float64)
    # over rows of channels, which are contiguous in channels-last order
    total += whole.sum(dim=2).sum(dim=1, dtype=torch.float64)
    return total / features[0, 0].numel()


def _chunks(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return views (B, K, 512, C) and (B, 1, R, C) of all positions of (B, C, H, W)."""
    rows = features.flatten(2).transpose(1, 2)
    whole = rows.shape[1] - rows.shape[1] % _CHUNK
    return rows[:, :whole].unflatten(1, (-1, _CHUNK)), rows[:, None, whole:]


def self_products(chunks: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the sum of X^T X over chunks X, symmetric but for rounding.

    The products of columns are computed for the upper triangle, in four strips of rows, and
    mirrored: 10 of 16 parts of the work.

    Args:
        chunks: float (B, K, N, C).
        dtype: type of the sum over K.

    Returns:
        (B, C, C) of ``dtype``.
    """
    batch, _, _, columns = chunks.shape
    total = chunks.new_empty(batch, columns, columns, dtype=dtype)
    step = -(-columns // _STRIPS)
    for top in range(0, columns, step):
        end = min(top + step, columns)
        strip = (chunks[..., top:end].transpose(2, 3) @ chunks[..., top:]).sum(dim=1, dtype=dtype)
        total[:, top:end, top:] = strip
        total[:, end:, top:end] = strip[:, :, end - top :].transpose(1, 2)
    return total
