"""Distances, norms and cosines of features; squared ones are kept for all metrics."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from nstbench.contracts import ScoringPair


def squared_distance(
    pair: ScoringPair, network: str, layer: str, first: str, second: str
) -> torch.Tensor:
    """Return |F(first) - F(second)|^2 over all activations of a layer, float64 (B,)."""

    def make() -> torch.Tensor:
        one, other = (pair.features(network, of)[layer] for of in (first, second))
        return _squares(one - other)

    return pair.kept(f"squared distance {network} {layer}", (first, second), make)


def squared_norm(pair: ScoringPair, network: str, layer: str, of: str) -> torch.Tensor:
    """Return |F(of)|^2 over all activations of a layer, float64 (B,)."""
    return pair.kept(
        f"squared norm {network} {layer}",
        (of,),
        lambda: _squares(pair.features(network, of)[layer].clone()),
    )


def squared_gram_distance(
    pair: ScoringPair, network: str, layer: str, first: str, second: str
) -> torch.Tensor:
    """Return |G(first) - G(second)|^2 with each Gram matrix divided by its N, float64 (B,)."""

    def make() -> torch.Tensor:
        one, other = (pair.gram(network, of, layer) for of in (first, second))
        return (one - other).square_().sum(dim=(1, 2))

    return pair.kept(f"squared Gram distance {network} {layer}", (first, second), make)


def squared_gram_norm(pair: ScoringPair, network: str, layer: str, of: str) -> torch.Tensor:
    """Return |G(of)|^2, float64 (B,)."""
    return pair.kept(
        f"squared Gram norm {network} {layer}",
        (of,),
        lambda: pair.gram(network, of, layer).square().sum(dim=(1, 2)),
    )


def embedding_cosine(pair: ScoringPair, network: str, other: str) -> torch.Tensor:
    """Return the cosine of the embeddings of the output and ``other``, float64 (B,).

    Args:
        pair: the pair; the layer ``embedding`` of both pictures is declared.
        network: name of the network.
        other: ``"content"`` or ``"style"``.
    """
    first, second = (
        pair.features(network, of)["embedding"].flatten(1).double() for of in ("output", other)
    )
    # Rounding may give a cosine just outside of its range.
    return cosine_similarity(first, second, dim=1).clamp(-1, 1)


def _squares(values: torch.Tensor) -> torch.Tensor:
    """Sum the squares of (B, C, H, W), which is overwritten, over all but the first dimension."""
    # Sums over channels have at most 512 terms; float32 has a relative error of 1e-7 for them.
    # Converting all activations to float64 would take longer than everything else.
    return values.square_().sum(dim=1).sum(dim=(1, 2), dtype=torch.float64)
