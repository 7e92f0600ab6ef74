"""Feed-forward stylisation with instance normalisation (Ulyanov, Vedaldi, Lempitsky 2016).

Paper: "Instance Normalization: The Missing Ingredient for Fast Stylization" (arXiv
1607.08022), on the generators of Johnson et al. and of "Texture Networks" (arXiv 1603.03417).
Authors' code: https://github.com/DmitryUlyanov/texture_nets.

=================  ==================================  ===================================
                   authors' code (train.lua)           here
=================  ==================================  ===================================
loss network       VGG-19                              VGG-16 (``network: vgg19``)
content, style     relu4_2; relu1_1 ... relu4_1        the same
weights            1 and 1; README: style 10 for       1 and 10 for ``arch: johnson``, the
                   Johnson's generator                 default; give 1 for ``texture_net``
losses             means over C H W, and over the C^2  the same
                   entries of F F^T / (C H W)
training           Adam 1e-3, x 0.8 every 2,000 of     the same, and x 0.8 every 25th part of
                   50,000 steps, batch 1, 256 px       fewer steps; README: batch 4 and 1e-2
                                                       for Johnson's generator
=================  ==================================  ===================================

Activations are on the scale of Caffe's networks. Instance normalisation uses the statistics of
the picture itself, in training and in stylisation (section 2 of the paper).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from nstbench.contracts import Flexibility, MethodInfo
from nstbench.nn.generators.texture_net import TextureNetwork
from nstbench.nn.generators.transformation_network import Design, TransformationNetwork
from nstbench.training.feed_forward import FeedForward, FeedForwardParams
from nstbench.training.trainable import Recipe, StyleUse

_STEPS, _DECAY_EVERY, _DECAY = 50_000, 2_000, 0.8


class Ulyanov2016(FeedForward):
    """A generator with instance normalisation, trained on the perceptual loss of one style."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Ulyanov et al. 2016",
        authors="D. Ulyanov, A. Vedaldi, V. Lempitsky",
        year=2016,
        paper="https://arxiv.org/abs/1607.08022",
        code="https://github.com/DmitryUlyanov/texture_nets",
        family="model optimisation, per style",
        flexibility=Flexibility.PER_STYLE,
        licence="MIT; checkpoints MIT",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; network=vgg19 restores it.",
            "Activations are those of torchvision's VGG times 57.6, the scale of Caffe's networks.",
            "Johnson's generator has the style weight of the README's recipe for it, 10, with the "
            "batch of 1 and the learning rate of 1e-3 of train.lua; that recipe has a batch of 4, "
            "1e-2 and a style picture of 512 px.",
            "Training uses crops of photographs at one to two times the crop's size.",
            "The texture network is the one of the first paper with instance normalisation and "
            "three channels of noise at every scale.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=_STEPS, size=256, batch=1, learning_rate=1e-3, styles=StyleUse.ONE
    )

    class Params(FeedForwardParams):
        """Parameters; the defaults are those of the authors' code."""

        arch: Literal["johnson", "texture_net"] = Field(
            "johnson", description="generator: Johnson's, or the multi-scale texture network"
        )
        content_layers: tuple[str, ...] = Field(
            ("relu4_2",), min_length=1, description="layers of the content loss, added up"
        )
        style_layers: tuple[str, ...] = Field(
            ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
            min_length=1,
            description="layers of the style loss, added up",
        )
        style_weight: float = Field(10.0, ge=0, description="weight of the style loss")
        tv_weight: float = Field(
            0.0, ge=0, description="weight of the total variation, summed over a batch"
        )

    params: Params

    def build(self, params: Any) -> nn.Module:
        """Return the generator; ``width`` applies only to Johnson's."""
        if params.arch == "texture_net":
            return TextureNetwork()
        return TransformationNetwork(Design(width=params.width, normalisation="instance"))

    def noise(
        self, network: nn.Module, shape: Sequence[int], generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Return new noise for every scale of the texture network."""
        if isinstance(network, TextureNetwork):
            return network.noise_for(shape, generator)
        return super().noise(network, shape, generator)

    def draws(self) -> bool:
        """Return True for the texture network, whose input contains noise."""
        return isinstance(self.network, TextureNetwork)

    def schedule(self, optimiser: torch.optim.Optimizer, total: Callable[[], int]) -> LRScheduler:
        """Return the decay by 0.8 every 2,000 of 50,000 steps, or every 25th part of ``total``."""
        parts = _STEPS // _DECAY_EVERY
        return LambdaLR(optimiser, lambda step: _DECAY ** (step * parts // max(1, total())))
