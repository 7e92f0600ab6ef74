"""Find the most similar of many vectors: a fast rough search, then exact comparison of near ties.

Products in float16 are several times as fast as in float32 on GPUs, and their error is bounded. So
only the candidates within twice that error of the best can be the best one; these are compared in
float64.
"""

from __future__ import annotations

import torch

# Numbers in memory at a time: 64 MiB of float32.
_CHUNK = 1 << 24
# Candidates that are compared one by one. Queries with more of them are compared with all keys.
_CANDIDATES = 8
# Relative errors in roundings: of both factors, of the product, and of partial products that GPUs
# add up; the rest is for the small terms.
_ERROR = {torch.float16: 6 * 2.0**-11, torch.bfloat16: 6 * 2.0**-8}


def nearest(
    keys: torch.Tensor,
    queries: torch.Tensor,
    norm: float = 1.0,
    low: torch.dtype = torch.float16,
) -> torch.Tensor:
    """Return the index of the key with the largest product with each query, int64 (n,).

    The indices are those of products in float64; of equal keys, the first.

    Args:
        keys: float32 (m, K).
        queries: float32 (K, n).
        norm: largest length of a key or a query; products are at most its square.
        low: number format of the rough search.
    """
    margin = 2 * _ERROR[low] * norm**2
    rough_keys, count = keys.to(low).T, len(keys)
    indices = []
    for part in queries.split(max(1, similarities_at_once(keys.device) // count), dim=1):
        # a row per query, because the largest of a row are found faster than those of a column
        similarities = part.T.to(low) @ rough_keys
        values, candidates = similarities.topk(min(_CANDIDATES + 1, count), dim=1)
        values = values.float()
        near = values >= values[:, :1] - margin
        best = candidates[:, 0].clone()
        ties = near[:, 1:2].any(dim=1).nonzero().flatten()
        best[ties] = _best_of(
            keys, part[:, ties], candidates[ties, :_CANDIDATES], near[ties, :_CANDIDATES]
        )
        if count > _CANDIDATES:
            crowded = near[:, -1].nonzero().flatten()
            best[crowded] = _best_of_all(keys, part[:, crowded])
        indices.append(best)
    return torch.cat(indices)


def similarities_at_once(device: torch.device) -> int:
    """Return how many similarities a device has in memory at a time."""
    return _CHUNK if device.type == "cpu" else 8 * _CHUNK


def _best_of(
    keys: torch.Tensor, queries: torch.Tensor, candidates: torch.Tensor, near: torch.Tensor
) -> torch.Tensor:
    """Return the best of the candidates (n, k) of each query, of which only ``near`` ones count."""
    best = [candidates.new_empty(0)]
    step = max(1, _CHUNK // (keys.shape[1] * candidates.shape[1]))
    for part, rows, counts in zip(
        queries.T.split(step), candidates.split(step), near.split(step), strict=True
    ):
        exact = torch.bmm(keys[rows].double(), part.double()[:, :, None]).squeeze(2)
        exact = exact.masked_fill(~counts, -torch.inf)
        first = torch.where(exact == exact.amax(dim=1, keepdim=True), rows, len(keys))
        best.append(first.amin(dim=1))
    return torch.cat(best)


def _best_of_all(keys: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    wide = keys.double() if queries.shape[1] else keys
    parts = queries.split(max(1, _CHUNK // len(keys)), dim=1)
    return torch.cat([(wide @ part.to(wide.dtype)).argmax(dim=0) for part in parts])
