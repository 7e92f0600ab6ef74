"""What the feature bank keeps of one picture under one network."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from nstbench.nn.losses.gram import scoring_gram_matrix, scoring_mean


@dataclass(slots=True)
class Needs:
    """Layers of one network that are needed of one picture."""

    activations: set[str] = field(default_factory=set)
    grams: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Entry:
    """Computed features of one picture under one network."""

    activations: dict[str, torch.Tensor] = field(default_factory=dict)
    grams: dict[str, torch.Tensor] = field(default_factory=dict)
    means: dict[str, torch.Tensor] = field(default_factory=dict)

    def size(self) -> int:
        """Return the bytes in memory."""
        kinds = (self.activations, self.grams, self.means)
        return sum(tensor.nbytes for kind in kinds for tensor in kind.values())

    def add_moments(self, layer: str, activations: torch.Tensor) -> None:
        """Add the Gram matrix and the means of a layer's activations (B, C, H, W)."""
        self.grams[layer] = scoring_gram_matrix(activations)
        self.means[layer] = scoring_mean(activations)
