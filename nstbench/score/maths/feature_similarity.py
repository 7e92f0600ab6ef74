"""CFSD: the change of how alike the places of a picture are to each other.

Chung, Hyun and Heo, "Style Injection in Diffusion", CVPR 2024, arXiv 2312.09008, and their
script. With F the activations of one layer as N places x C channels, M = F F^T / C^2 and P the
softmax of the rows of M, the value is the sum over all rows of KL(P(content) | P(output)).

The logits M are small and the rows nearly uniform, so the divergence of a row is about 1e-5. It
is computed from sums of exp(m) - 1, which lose no digits, and not from logarithms of P.
"""

from __future__ import annotations

import torch

_BLOCK = 512


def row_divergences(output: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Return the sum over rows of KL(P(content) | P(output)).

    Memory does not grow with the square of the number of places.

    Args:
        output: activations (B, C, H, W).
        content: those of the content; B may be 1.

    Returns:
        float64 (B,), at least 0; divided by H W it is the mean over rows.
    """
    x, c = (_rows(features) for features in (output, content))
    return torch.stack([_divergence(row, c[i % len(c)]) for i, row in enumerate(x)])


def _rows(features: torch.Tensor) -> torch.Tensor:
    """Return F / C, (B, N, C)."""
    return features.flatten(2).transpose(1, 2) / features.shape[1]


def _divergence(x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Return the sum over rows for F / C (N, C) of output and content.

    With d = x - c the logits' difference, KL_i = log(sum_j exp(x_ij) / sum_j exp(c_ij))
    - sum_j exp(c_ij) d_ij / sum_j exp(c_ij). M is symmetric, so each block of it gives the sums
    of its rows and, as its transpose, those of its columns.
    """
    count = len(x)
    sums = torch.zeros(3, count, dtype=torch.float64, device=x.device)
    for top in range(0, count, _BLOCK):
        rows = slice(top, top + _BLOCK)
        for left in range(top, count, _BLOCK):
            columns = slice(left, left + _BLOCK)
            of_output, of_content = (f[rows] @ f[columns].T for f in (x, c))
            grown = of_content.expm1()
            moved = of_output - of_content
            parts = (grown, of_output.expm1(), moved.addcmul_(grown, moved))
            for k, part in enumerate(parts):
                sums[k, rows] += part.sum(dim=1)
                if left > top:
                    sums[k, columns] += part.sum(dim=0)
    content, output, moved_sum = sums
    divergences = (output / count).log1p() - (content / count).log1p()
    divergences -= moved_sum / (count + content)
    # The smallest divergences are differences of rounding errors.
    return divergences.sum().clamp_min(0)
