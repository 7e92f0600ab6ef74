"""Adaptive instance normalisation (Huang and Belongie 2017).

Paper: "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization" (arXiv
1703.06868). Authors' code: https://github.com/xunhuang1995/AdaIN-style. The activations of the
content at VGG's relu4_1 are given the mean and deviation of the style's, channel by channel, and
a trained decoder turns them into a picture.

Training loss (eqs. 11 to 13): L = L_c + style_weight * L_s with L_c the mean squared
difference between the output's relu4_1 and the input of the decoder. L_s, summed over
relu1_1, relu2_1, relu3_1 and relu4_1, is the mean squared difference of the channels' means plus
that of their deviations. All are means over pictures, channels and positions of
torchvision-scaled activations. A decoder that already reconstructs photographs needs a fraction
of the steps: ``--start wct_2017`` begins with the decoder of a WCT checkpoint, which is the same
network.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from nstbench.contracts import Flexibility, MethodInfo, OnStep, Picture
from nstbench.nn.backbones.vgg import VGG16, VGG19
from nstbench.nn.generators.batched import OnePass
from nstbench.nn.generators.decoder import (
    MirroredDecoder,
    build_decoder,
    encode,
    mirror_weights,
    padded_to,
    parameters_up_to,
    tensors_of,
)
from nstbench.nn.generators.runtime import RUNTIME_PARAMS, InferenceParams, picture_of
from nstbench.nn.generators.style_mix import check_mix, extra_pixels, shares
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.feature_transforms import adain, channel_moments
from nstbench.training.encoder_decoder import DecoderTraining, EncoderDecoder
from nstbench.training.trainable import Batch, Descend, Recipe, StyleUse, Task, Training

_LAYER = "relu4_1"
_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", _LAYER)
# train.lua of the authors' code: the learning rate is divided by 1 + decay * step.
_DECAY = 5e-5

Moments = tuple[torch.Tensor, torch.Tensor]


class Adain2017(OnePass, EncoderDecoder):
    """Matches channel statistics at one layer and decodes the result."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Huang & Belongie 2017 (AdaIN)",
        authors="X. Huang, S. Belongie",
        year=2017,
        paper="https://arxiv.org/abs/1703.06868",
        code="https://github.com/xunhuang1995/AdaIN-style",
        family="model optimisation, arbitrary style",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-moments", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; its decoder mirrors it "
            "with 2,915,139 parameters instead of 3,505,219. network=vgg19 restores both.",
            "Losses are means over torchvision-scaled activations with a style weight of 10; the "
            "authors use 1e-2 and a VGG that is rescaled to a mean activation of one.",
            "A channel whose variance is below 1e-5 is divided by the root of 1e-5; the authors "
            "add it to every variance, which keeps the statistics from matching exactly.",
            "The decoder starts from the transposed weights of the encoder; the paper does not say "
            "how its decoder starts.",
            "Content and style are cropped without first scaling their shorter side to 512 pixels.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
        weights=(VGG16, VGG19),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=160_000, size=256, batch=8, learning_rate=1e-4, styles=StyleUse.STREAM
    )
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS | {
        "alpha", "extra_styles", "style_mix",
    }  # fmt: skip
    starts_from: ClassVar[frozenset[str]] = frozenset({"wct_2017"})

    class Params(InferenceParams):
        """Parameters of training and stylisation."""

        network: Literal["vgg16", "vgg19"] = Field("vgg16", description="the encoder")
        style_weight: float = Field(
            10.0, ge=0, description="weight of the style loss while the decoder is trained"
        )
        alpha: float = Field(
            1.0, ge=0, le=1, description="strength: 0 reconstructs the content (paper, eq. 14)"
        )
        extra_styles: tuple[Path, ...] = Field(
            (), description="picture files; their styles are mixed with the style (eq. 15)"
        )
        style_mix: tuple[float, ...] = Field(
            (), description="weights of the style and of each extra style; equal if not given"
        )

        @model_validator(mode="after")
        def _one_weight_per_style(self) -> Self:
            check_mix(self.style_mix, self.extra_styles)
            return self

    params: Params
    _network: _Transfer
    _moments: Moments
    _alpha: torch.Tensor

    def training(self, task: Task) -> Training:
        """Return the training of a decoder."""
        return _DecoderTraining(self.params, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Build encoder and decoder."""
        self.restore_encoder(params)
        self._network = _Transfer(self.encoder, self.restore_decoder(_LAYER, tensors, params))

    def prepare(self, style: Picture) -> None:
        """Measure mean and deviation of every channel of the style, and mix in extra styles."""
        super().prepare(style)
        extra = (extra_pixels(path, style) for path in self.params.extra_styles)
        pictures = [style.pixels, *extra]
        mix = shares(self.params.style_mix, len(pictures))
        each = [channel_moments(self._network.encode(pixels)) for pixels in pictures]
        # the result is linear in the moments, so a mixture of moments is one of results
        mean, std = (
            torch.stack([share * one for share, one in zip(mix, same, strict=True)]).sum(dim=0)
            for same in zip(*each, strict=True)
        )
        self._moments = mean, std
        self._alpha = torch.tensor(self.params.alpha, device=self.device)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Decode the content's activations with the style's statistics."""
        return picture_of(self._network, self.params, content.pixels, *self._moments, self._alpha)

    def joined(self, methods: Sequence[Self]) -> Self:
        """Return a method with the moments of one style per picture."""
        joined = copy.copy(self)
        means, deviations = zip(*(method._moments for method in methods), strict=True)
        joined._moments = torch.cat(means), torch.cat(deviations)
        return joined

    def parameter_count(self) -> int:
        """Return the number of parameters of the encoder to relu4_1 and of the decoder."""
        decoder = sum(parameter.numel() for parameter in self._network.decoder.parameters())
        return parameters_up_to(self.encoder, _LAYER) + decoder


class _Transfer(nn.Module):
    """Encoder, adaptive instance normalisation and decoder, as one network."""

    def __init__(self, encoder: LayeredNetwork, decoder: MirroredDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the activations of relu4_1, (B, 512, H / 8, W / 8)."""
        return encode(self.encoder, pixels, (_LAYER,))[_LAYER]

    def forward(
        self, pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, alpha: torch.Tensor
    ) -> torch.Tensor:
        """Return stylised pictures, float32 RGB (B, 3, H, W) in [0, 1].

        Args:
            pixels: the contents, (B, 3, H, W).
            mean: of the style's channels, (B or 1, 512, 1, 1).
            std: their deviations, of the same shape.
            alpha: strength, of no dimension.
        """
        height, width = pixels.shape[-2:]
        features = self.encode(padded_to(pixels, self.decoder.stride)).float()
        mixed = torch.lerp(features, adain(features, mean, std), alpha)
        made = self.decoder(mixed).float()
        return made[..., :height, :width].clamp(0.0, 1.0)


class _DecoderTraining(DecoderTraining):
    """Trains the decoder on random pairs of content and style."""

    def __init__(self, params: Adain2017.Params, task: Task) -> None:
        super().__init__(params, task)
        self._decoder = build_decoder(params.network, _LAYER, task.device)
        if task.start is not None:
            # WCT's decoder of this layer is the same network, trained to reconstruct.
            start = task.start.tensors()
            self._decoder.load_state_dict(tensors_of(start, _LAYER) or start)
        self.networks = {"decoder": self._decoder}
        optimiser = torch.optim.Adam(self._decoder.parameters(), task.recipe.learning_rate)
        self.optimisers = {"decoder": optimiser}
        decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 1 / (1 + _DECAY * k))
        self.schedulers = {"decoder": decay}

    def enter(self, phase: int, batch: Batch) -> None:
        """Begin with the weights of the encoder, transposed, unless there is a checkpoint."""
        if self.fresh:
            mirror_weights(self._decoder, self.encoder, _LAYER, batch.contents)

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend L_c + style_weight * L_s."""
        styles, wanted = self._targets(batch)
        actual = encode(self.encoder, self.decode(self._decoder, wanted), _STYLE_LAYERS)
        content = F.mse_loss(actual[_LAYER].float(), wanted)
        style = torch.zeros_like(content)
        for layer in _STYLE_LAYERS:
            for moment, target in zip(channel_moments(actual[layer]), styles[layer], strict=True):
                style = style + F.mse_loss(moment, target)
        total = content + self.params.style_weight * style
        descend("decoder", total)
        return {
            "content": content.detach(),
            "style": style.detach(),
            "total": total.detach(),
        }

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return contents, styles, stylised and reconstructed contents."""
        _, wanted = self._targets(batch)
        unchanged = self._encode(batch.contents, (_LAYER,))[_LAYER].float()
        outputs = [
            self.decode(self._decoder, features).clamp(0, 1) for features in (wanted, unchanged)
        ]
        return [batch.contents, batch.streamed, *outputs]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the decoder's tensors."""
        return self._decoder.state_dict()

    def _targets(self, batch: Batch) -> tuple[dict[str, Moments], torch.Tensor]:
        """Return the moments of the styles by layer, and the input of the decoder."""
        content = self._encode(batch.contents, (_LAYER,))[_LAYER]
        styles = self._encode(batch.streamed, _STYLE_LAYERS)
        moments = {layer: channel_moments(features) for layer, features in styles.items()}
        return moments, adain(content.float(), *moments[_LAYER])

    @torch.no_grad()
    def _encode(self, pixels: torch.Tensor, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
        return encode(self.encoder, pixels, layers)
