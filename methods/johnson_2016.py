"""One feed-forward network per style (Johnson, Alahi and Fei-Fei 2016).

Paper: "Perceptual Losses for Real-Time Style Transfer and Super-Resolution" (arXiv
1603.08155). Authors' code: https://github.com/jcjohnson/fast-neural-style.

=================  ==================================  ===================================
                   paper (and here by default)         authors' code, released models
=================  ==================================  ===================================
network            32-64-128 channels, batch norm      half of them, instance norm
output             tanh, scaled to 0 ... 255           150 tanh
content loss       relu2_2, mean over C H W            relu3_3 (layer 16), the same mean
Gram matrix        F F^T / (C H W)                     the same
style loss         sum over the C^2 entries            mean over them, weight 5
total variation    1e-6 ... 1e-4                       1e-6, summed over the batch
training           COCO, 256 px, batch 4, Adam 1e-3,   the same
                   40,000 steps
=================  ==================================  ===================================

This file uses the mean over the entries of the Gram matrix: the published weights are for it.
Activations are on the scale of Caffe's networks, from VGG-16 with max pooling.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from nstbench.contracts import Flexibility, MethodInfo
from nstbench.nn.generators.transformation_network import Design, TransformationNetwork
from nstbench.training.feed_forward import FeedForward, FeedForwardParams
from nstbench.training.trainable import Recipe, StyleUse


class Johnson2016(FeedForward):
    """A transformation network trained on the perceptual loss of one style."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Johnson et al. 2016",
        authors="J. Johnson, A. Alahi, L. Fei-Fei",
        year=2016,
        paper="https://arxiv.org/abs/1603.08155",
        code="https://github.com/jcjohnson/fast-neural-style",
        family="model optimisation, per style",
        flexibility=Flexibility.PER_STYLE,
        licence="MIT; checkpoints MIT",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "The style loss is the mean over the Gram matrix's entries, as in the authors' code, "
            "whose weights are 1, 5 and 1e-6; the formula in the paper is their sum.",
            "Activations are those of torchvision's VGG-16 times 57.6, the scale of Caffe's "
            "networks.",
            "Training uses crops of photographs at one to two times the crop's size, instead of "
            "whole photographs resized to squares.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=40_000, size=256, batch=4, learning_rate=1e-3, styles=StyleUse.ONE
    )

    class Params(FeedForwardParams):
        """Parameters; the defaults are the paper's."""

        normalisation: Literal["batch", "instance"] = Field(
            "batch", description="normalisation in the network"
        )
        padding: Literal["reflect_start", "mirror", "zero"] = Field(
            "reflect_start",
            description="reflect_start mirrors 40 px around the picture, and residual blocks have "
            "no padding; mirror and zero pad every convolution",
        )
        upsampling: Literal["transposed", "nearest"] = Field(
            "transposed", description="fractional strides, or nearest neighbours and a convolution"
        )

    params: Params

    def build(self, params: Any) -> nn.Module:
        """Return the paper's network (supplement, table 1): 1,679,235 parameters at width 1."""
        return TransformationNetwork(
            Design(
                width=params.width,
                normalisation=params.normalisation,
                padding=params.padding,
                upsampling=params.upsampling,
            )
        )
