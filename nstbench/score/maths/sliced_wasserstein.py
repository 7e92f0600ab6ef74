"""The sliced Wasserstein distance between two clouds of vectors, with repeatable results.

Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 51 (2015); for
style: Heitz et al., "A Sliced Wasserstein Loss for Neural Texture Synthesis", CVPR 2021.
Projections and sampled positions come from fixed seeds, so two pictures have the same distance
in every process and in every order.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

SAMPLES = 2048
"""Largest number of positions that are read from a cloud."""


def ordered(cloud: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Return the projections of each cloud (B, D, N) on (P, D), in ascending order (B, P, N)."""
    projected = torch.matmul(directions.to(cloud.device, cloud.dtype), cloud)
    if projected.device.type == "cpu":
        # NumPy sorts short rows several times faster than torch.
        return torch.from_numpy(np.sort(projected.numpy(force=True), axis=2))
    return projected.sort(dim=2).values


def ordered_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the sliced 2-Wasserstein distance of each pair of clouds.

    Args:
        x: projections (B, P, N) of clouds, from :func:`ordered`.
        y: projections (B, P, M) of other clouds. The larger of both is read at the quantiles of
            the smaller.

    Returns:
        float64 (B,), the root of the mean over projections and quantiles of the squared
        difference; zero for equal clouds in any order.
    """
    levels = min(x.shape[2], y.shape[2])
    squares = (_quantiles(x, levels) - _quantiles(y, levels)).square()
    return squares.mean(dim=(1, 2), dtype=torch.float64).sqrt()


@lru_cache(maxsize=32)
def directions(count: int, dimension: int) -> torch.Tensor:
    """Return ``count`` random unit vectors (P, D), float32, the same at every call."""
    generator = torch.Generator().manual_seed(20210619)
    vectors = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    return (vectors / vectors.norm(dim=1, keepdim=True)).float()


def sampled(cloud: torch.Tensor) -> torch.Tensor:
    """Return at most ``SAMPLES`` columns of (B, D, N), chosen depending on N only."""
    positions = cloud.shape[2]
    if positions <= SAMPLES:
        return cloud
    # In channels-last order each vector is contiguous.
    places = _places(positions).to(cloud.device)
    return cloud.transpose(1, 2).index_select(1, places).transpose(1, 2)


@lru_cache(maxsize=32)
def _places(positions: int) -> torch.Tensor:
    # A regular grid would alias with periodic textures.
    generator = torch.Generator().manual_seed(positions)
    return torch.randperm(positions, generator=generator)[:SAMPLES].sort().values


def _quantiles(ordered: torch.Tensor, levels: int) -> torch.Tensor:
    """Read sorted values (B, P, N) at the mid-points of ``levels`` equal shares."""
    count = ordered.shape[2]
    if count == levels:
        return ordered
    share = (torch.arange(levels, device=ordered.device, dtype=torch.float64) + 0.5) / levels
    place = (share * count - 0.5).clamp(0, count - 1)
    below = place.floor().long()
    above = (below + 1).clamp(max=count - 1)
    weight = (place - below).to(ordered.dtype)
    return torch.lerp(ordered[..., below], ordered[..., above], weight)
