"""CFSD: the change of how alike the places of a picture are to each other.

Chung, Hyun and Heo, "Style Injection in Diffusion", CVPR 2024, arXiv 2312.09008, and their
script. With F the activations of one layer as N places x C channels, M = F F^T / C^2 and P the
softmax of the rows of M, the value is the sum over all rows of KL(P(content) | P(output)).

The logits M are small and the rows nearly uniform, so the divergence of a row is about 1e-5. It
is computed from sums of exp(m) - 1, which lose no digits, and not from logarithms of P. With m of
the output, c of the content and g = exp(c) - 1,

    KL_i = log(1 + sum_j (exp(m_ij) - 1) / N) - log(1 + sum_j g_ij / N)
           - sum_j (1 + g_ij) (m_ij - c_ij) / sum_j (1 + g_ij).

The sums of m and of c alone are products of vectors, in float64. M is symmetric, so each block of
its upper triangle gives the sums of its rows and, as its transpose, those of its columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import pad

from nstbench.contracts import ScoringPair

_BLOCK = 512

MOST_KEPT = 64 << 20
"""Bytes of a content's blocks up to which they are kept for its other outputs: at 256 px they take
36 MiB. Those of larger pictures are computed for each output."""

Sums = Callable[[int, torch.Tensor], torch.Tensor]


def row_divergences(pair: ScoringPair, network: str, layer: str) -> torch.Tensor:
    """Return the sum over rows of KL(P(content) | P(output)).

    Beyond ``MOST_KEPT``, memory does not grow with the square of the number of places.

    Args:
        pair: the pair; activations of the layer are declared for output and content.
        network: name of the network.
        layer: name of the layer.

    Returns:
        float64 (B,), at least 0; divided by H W it is the mean over rows.
    """

    def rows(of: str) -> torch.Tensor:
        return _rows(pair.features(network, of)[layer])

    def kept(what: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        return pair.kept(f"{what} of similarity {network} {layer}", ("content",), make)

    def make_blocks() -> torch.Tensor:
        content = rows("content")
        blocks = content.new_empty(len(content), len(_corners(content)), _BLOCK, _BLOCK)
        sums = _of_each(content, lambda k, c: _sums(c, keep=blocks[k]))
        kept("sums", lambda: sums)
        return blocks

    output = rows("output")
    if len(_corners(output)) * _BLOCK**2 * output.element_size() <= MOST_KEPT:
        blocks = kept("blocks", make_blocks)
        moved = _of_each(output, lambda k, x: _sums(x, blocks[k]))
    else:
        content = rows("content")
        moved = _of_each(output, lambda k, x: _sums(x, _Grown(content[k])))
    still = kept("sums", lambda: _of_each(rows("content"), lambda _, c: _sums(c)))
    (grown, weighted), (own, own_weighted) = moved.unbind(1), still.unbind(1)
    places = pair.features(network, "output")[layer][0, 0].numel()
    divergences = (grown / places).log1p() - (own / places).log1p()
    divergences -= (weighted - own_weighted) / (places + own)
    # the smallest divergences are differences of rounding errors
    return divergences.sum(dim=1).clamp_min(0)


def _rows(features: torch.Tensor) -> torch.Tensor:
    """Return F / C, (B, N', C), with zeros up to a whole number of blocks, which add nothing."""
    rows = features.flatten(2).transpose(1, 2) / features.shape[1]
    return pad(rows, (0, 0, 0, -rows.shape[1] % _BLOCK))


def _of_each(rows: torch.Tensor, sums: Sums) -> torch.Tensor:
    """Return the sums of each picture of a batch (B, N', C), stacked."""
    return torch.stack([sums(k, picture) for k, picture in enumerate(rows)])


def _corners(rows: torch.Tensor) -> list[tuple[slice, slice]]:
    """Return the rows and columns of the blocks of the upper triangle of M."""
    parts = [slice(top, top + _BLOCK) for top in range(0, rows.shape[-2], _BLOCK)]
    return [(part, columns) for k, part in enumerate(parts) for columns in parts[k:]]


class _Grown:
    """The blocks g of a content's F / C (N', C), made when they are read."""

    def __init__(self, content: torch.Tensor) -> None:
        self._content = content
        self._corners = _corners(content)

    def __getitem__(self, k: int) -> torch.Tensor:
        rows, columns = (self._content[part] for part in self._corners[k])
        return (rows @ columns.T).expm1_()


def _sums(
    x: torch.Tensor,
    grown: torch.Tensor | _Grown | None = None,
    keep: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return sum_j (exp(m_ij) - 1) and sum_j (1 + g_ij) m_ij of each row i, float64 (2, N').

    Args:
        x: F / C of a picture, (N', C).
        grown: blocks g of the content, (K, 512, 512); by default ``x`` is the content.
        keep: receives the blocks exp(m) - 1.
    """
    wide = x.double()
    sums = (wide @ wide.sum(dim=0)).repeat(2, 1)
    for k, (rows, columns) in enumerate(_corners(x)):
        m = x[rows] @ x[columns].T
        own = m.expm1()
        if keep is not None:
            keep[k] = own
        weighted = m * (own if grown is None else grown[k])
        for total, part in zip(sums, (own.sub_(m), weighted), strict=True):
            total[rows] += part.sum(dim=1)
            if rows != columns:
                total[columns] += part.sum(dim=0)
    return sums
