"""Cosines of whole-picture embeddings."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from nstbench.contracts import ScoringPair


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
