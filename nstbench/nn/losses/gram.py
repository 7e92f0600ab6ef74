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


def scoring_gram_matrix(features: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrix divided by N as float64, for scores (not differentiated).

    Products over 512 positions are computed in float32 and summed in float64. The result is
    within 2e-7 of a float64 computation (relative Frobenius norm) and takes less than half the
    time.

    Args:
        features: float32 activations (B, C, H, W).

    Returns:
        float64 (B, C, C).
    """
    flat = features.flatten(2)
    positions = flat.shape[2]
    whole = positions - positions % _CHUNK
    rest = flat[:, :, whole:]
    total = torch.bmm(rest, rest.transpose(1, 2)).double()
    if whole:
        chunks = flat[:, :, :whole].unflatten(2, (-1, _CHUNK)).transpose(1, 2)
        total += (chunks @ chunks.transpose(2, 3)).sum(dim=1, dtype=torch.float64)
    return total / positions


def scoring_mean(features: torch.Tensor) -> torch.Tensor:
    """Return the means over positions as float64 (B, C), for scores (not differentiated).

    Sums over 512 positions are float32, and their sum is float64, as in
    :func:`scoring_gram_matrix`: a variance is the difference of the two.

    Args:
        features: float32 activations (B, C, H, W).
    """
    flat = features.flatten(2)
    positions = flat.shape[2]
    whole = positions - positions % _CHUNK
    total = flat[:, :, whole:].sum(dim=2, dtype=torch.float64)
    if whole:
        chunks = flat[:, :, :whole].unflatten(2, (-1, _CHUNK)).sum(dim=3)
        total += chunks.sum(dim=2, dtype=torch.float64)
    return total / positions
