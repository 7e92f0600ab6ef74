"""Predict the scales and shifts of a transformation network from a painting.

Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural artistic stylization
network" (arXiv 1705.06830), section 2. The paper uses 768 channel means at Mixed_6e of an
Inception-v3 that is trained on ImageNet and then together with the rest. Here channel means and
deviations of a frozen VGG-16 replace them, which are the statistics that the loss compares.
Two linear layers follow, as in the paper: to an embedding of 100 numbers, and from there to
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
# Deviation of initial weights in Dumoulin et al. (arXiv 1610.07629, appendix) and Ghiasi et al.
_INITIAL_STD = 0.01


class ArbitraryStyleNetwork(nn.Module):
    """A transformation network whose normalisations are predicted from a painting.

    Args:
        width: factor of the transformation network's channels; 1 is the paper's.

    Attributes:
        transformer: the transformation network, conditioned in residual and expanding layers.
        bottleneck: linear layer from the statistics of the painting to its embedding.
        heads: linear layer from the embedding to scales and shifts.
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
        """Draw new weights that predict scales near 1 and shifts near 0."""
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
            pixels: contents, float RGB (B, 3, H, W) in [0, 1].
            embedding: (B or 1, 100); mixtures of embeddings give mixtures of styles.
        """
        stylised: torch.Tensor = self.transformer(pixels, self.heads(embedding).float())
        return stylised


@torch.no_grad()
def statistics_of(encoder: LayeredNetwork, pixels: torch.Tensor) -> torch.Tensor:
    """Return the statistics of paintings for the style prediction, float32 (B, 1920).

    These are log(1 + x) of the channels' means and deviations x, because activations of
    different layers differ by an order of magnitude, and so do those of different paintings.

    Args:
        encoder: VGG-16.
        pixels: float RGB (B, 3, H, W) in [0, 1].
    """
    features = encode(encoder, pixels, _LAYERS)
    moments = [part.flatten(1) for name in _LAYERS for part in channel_moments(features[name])]
    return torch.cat(moments, dim=1).log1p()
