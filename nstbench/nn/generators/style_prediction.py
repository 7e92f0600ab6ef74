"""Predicting the style: from a painting to the scales and shifts of a transformation network.

Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization
network" (arXiv 1705.06830), section 2. In the paper Inception-v3, trained on ImageNet and
then together with the rest, gives 768 channel means at Mixed_6e. Here channel means and deviations
of a VGG-16 that stays as it is take their place: the same statistics that the loss compares.
Two linear layers follow, as in the paper: to an embedding of 100 numbers, and on to
all scales and shifts. Scales and shifts are predicted for residual and expanding convolutions
only, 2,758 values (authors' code: nza_model.py).
"""

from __future__ import annotations

import torch
from torch import nn

from nstbench.nn.generators.decoder import encode
from nstbench.nn.generators.transformation_network import (
    Design,
    TransformationNetwork,
    convolutions,
)
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.feature_transforms import channel_moments

EMBEDDING = 100
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
_STATISTICS = 2 * (64 + 128 + 256 + 512)
# Dumoulin et al. draw convolutions so (arXiv 1610.07629, appendix), and Ghiasi et al. follow.
_INITIAL_STD = 0.01


class ArbitraryStyleNetwork(nn.Module):
    """A transformation network whose normalisations are predicted from a painting.

    Args:
        width: factor of the transformation network's channels; 1 is the paper's.

    Attributes:
        transformer: the transformation network, conditioned in residual and expanding layers.
        bottleneck: statistics of the painting to its embedding.
        heads: embedding to scales and shifts.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        design = Design(
            width=width,
            normalisation="conditional",
            padding="mirror",
            upsampling="nearest",
            conditioned="expanding",
        )
        self.transformer = TransformationNetwork(design)
        self.bottleneck = nn.Linear(_STATISTICS, EMBEDDING)
        self.heads = nn.Linear(EMBEDDING, self.transformer.conditioned_values)

    def initialise(self) -> None:
        """Draw weights anew; predictions then lie near scales of 1 and shifts of 0."""
        for convolution in convolutions(self.transformer):
            nn.init.normal_(convolution.weight, std=_INITIAL_STD)
        nn.init.normal_(self.heads.weight, std=_INITIAL_STD)
        with torch.no_grad():
            self.transformer.neutral_condition(self.heads.bias[None])

    def embed(self, statistics: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, 100) of paintings' statistics; see :func:`statistics_of`."""
        embedding: torch.Tensor = self.bottleneck(statistics)
        return embedding

    def forward(self, pixels: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return stylised pictures, float RGB (B, 3, H, W) in [0, 1].

        Args:
            pixels: contents, the same.
            embedding: (B or 1, 100); mixtures of embeddings give mixtures of styles.
        """
        stylised: torch.Tensor = self.transformer(pixels, self.heads(embedding).float())
        return stylised


@torch.no_grad()
def statistics_of(encoder: LayeredNetwork, pixels: torch.Tensor) -> torch.Tensor:
    """Return what the style prediction sees of paintings, float32 (B, 1920).

    Logarithms of the channels' means and deviations, plus one: activations of layers differ
    by an order of magnitude, and of paintings by as much.

    Args:
        encoder: VGG-16.
        pixels: float RGB (B, 3, H, W) in [0, 1].
    """
    found = encode(encoder, pixels, _LAYERS)
    moments = [part.flatten(1) for name in _LAYERS for part in channel_moments(found[name])]
    return torch.cat(moments, dim=1).log1p()
