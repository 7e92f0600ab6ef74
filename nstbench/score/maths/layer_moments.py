"""Means, deviations and covariances of activations over the places of one picture."""

from __future__ import annotations

import torch

from nstbench.contracts import ScoringPair

MOMENT_TAGS = (
    *("vgg16-gram", "vgg16-covariance", "vgg16-moments"),
    *("vgg19-gram", "vgg19-covariance", "vgg19-moments"),
)
"""Statistics that determine the moments of activations, or that the moments determine."""

EPSILON = 1e-5
"""Added to a variance before its root, as in the code of AdaIN and its successors."""


def deviation(pair: ScoringPair, network: str, of: str, layer: str) -> torch.Tensor:
    """Return sqrt(variance + ``EPSILON``) of each channel over places, float64 (B, C)."""
    squares = pair.gram(network, of, layer).diagonal(dim1=1, dim2=2)
    variance = squares - pair.mean(network, of, layer).square()
    return (variance.clamp_min(0) + EPSILON).sqrt()


def covariance(pair: ScoringPair, network: str, of: str, layer: str) -> torch.Tensor:
    """Return the covariance of the channels over places, divided by N, float64 (B, C, C)."""
    mean = pair.mean(network, of, layer)
    return pair.gram(network, of, layer) - mean[:, :, None] * mean[:, None, :]
