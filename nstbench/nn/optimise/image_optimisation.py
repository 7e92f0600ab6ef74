"""The base of all image-optimisation methods: parameters, pyramid, starting point, loop.

A method of this family defines the targets of the style (:meth:`style_targets`) and the loss
(:meth:`objective`); this module does the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from nstbench.contracts import Method, OnStep, Parameters, Picture, Weight
from nstbench.core.records import Step
from nstbench.nn.backbones.load import backbone_weight, on_network
from nstbench.nn.backbones.loss_network import Precision, load_loss_network
from nstbench.nn.backbones.vgg import VGG16, VGG19, Pooling
from nstbench.nn.layers.layered import IMAGENET_MEAN, LayeredNetwork
from nstbench.nn.losses.terms import total_variation
from nstbench.nn.optimise.in_buffers import minimise_in_buffers
from nstbench.nn.optimise.minimise import (
    Descent,
    Losses,
    Objective,
    Optimizer,
    minimise,
)
from nstbench.pictures.picture import resize

LOSS_NETWORKS: tuple[Weight, ...] = (VGG16, VGG19)
# White noise around the mean colour; strong noise survives a few hundred steps as grain.
_NOISE = 0.05
_MIN_SIDE = 32


class OptimisationParams(Parameters):
    """Parameters of every image-optimisation method."""

    network: Literal["vgg16", "vgg19"] = Field("vgg16", description="network of the losses")
    pooling: Pooling = Field("average", description="pooling of that network")
    init: Literal["noise", "content", "style"] = Field(
        "noise",
        description="picture to start from; noise is Gaussian around ImageNet's mean colour",
    )
    optimizer: Optimizer = Field("lbfgs", description="optimiser of the pixels")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="length of a step in pixel values of [0, 1] for adam and sgd (0.02 if left "
        "out), factor of the step for lbfgs (1)",
    )
    iterations: int = Field(
        500, ge=0, description="evaluations of the loss at the content's own size"
    )
    coarse_scales: tuple[float, ...] = Field(
        (), description="scales below 1 to pass through first, for example [0.25, 0.5]"
    )
    coarse_iterations: tuple[int, ...] = Field(
        (), description="evaluations at each of coarse_scales"
    )
    tv_weight: float = Field(
        0.0, ge=0, description="weight of the total variation (mean over pixels, 0-255 scale)"
    )
    precision: Precision = Field(
        "auto",
        description="number format inside the network; auto takes bfloat16 where the hardware "
        "multiplies it natively",
    )

    checkpointing: bool = Field(
        False,
        description="keep fewer activations for the gradient and compute them again: less memory, "
        "more time",
    )
    compiled: bool = Field(
        False,
        description="compile the network by torch.compile: the first step of a size takes long, "
        "the others may take less",
    )

    @model_validator(mode="after")
    def _one_count_per_scale(self) -> Self:
        if len(self.coarse_scales) != len(self.coarse_iterations):
            raise ValueError(
                f"coarse_scales has {len(self.coarse_scales)} entries and coarse_iterations "
                f"{len(self.coarse_iterations)}; give one number of iterations per scale"
            )
        if any(not 0 < scale < 1 for scale in self.coarse_scales):
            raise ValueError("coarse_scales must be between 0 and 1; full size is always added")
        return self


class ImageOptimisation(Method):
    """Base of methods that optimise the pixels of one picture."""

    Params: ClassVar[type[Parameters]] = OptimisationParams  # type: ignore[assignment]
    tv_exponent: ClassVar[float] = 2.0
    quick: ClassVar[Mapping[str, Any]] = {
        "iterations": 4,
        "coarse_scales": [0.5],
        "coarse_iterations": [2],
    }
    params: OptimisationParams
    network: LayeredNetwork
    _style: Picture
    _targets: dict[float, Any]

    # -- defined by each method -------------------------------------------------------------

    @abstractmethod
    def style_targets(self, style: Picture) -> Any:
        """Return the data of a style picture at one scale that the losses need."""

    @abstractmethod
    def objective(self, content: Picture, targets: Any, scale: float) -> Objective:
        """Return the loss of pixels at the content's shape, with ``"total"`` among its parts.

        Args:
            content: the content at this scale.
            targets: what ``style_targets`` returned for the style at this scale.
            scale: size of this level over the full size. Divide a loss that is a sum over
                positions by ``scale ** 2``, so that its weight is the same at every scale.
        """

    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """Return the weights of ``content`` and ``style`` in the total."""

    def adapt(self, content: Picture, style: Picture) -> tuple[Picture, Picture]:
        """Return content and style to use instead of the given ones; override ``adapts``, too."""
        return content, style

    def adapts(self) -> bool:
        """Return True if ``adapt`` changes the style depending on the content."""
        return False

    def finish(self, pixels: torch.Tensor, content: Picture) -> torch.Tensor:
        """Return the final picture from the optimised pixels (clamped) and the content."""
        return pixels

    # -- the contract -----------------------------------------------------------------------

    def required_weights(self) -> tuple[Weight, ...]:
        """Return the weights of the chosen network."""
        return (backbone_weight(self.params.network),)

    def trained_on(self) -> tuple[str, ...]:
        """Return the statistics of the chosen network."""
        return on_network(self.params.network, self.info.trained_on)

    def training_seconds(self) -> float:
        """Return 0: a picture is optimised, and the network of the losses is not trained here."""
        return 0.0

    def load(self, device: torch.device) -> None:
        """Load the network of the losses."""
        p = self.params
        self.network = load_loss_network(p.network, device, p.pooling, p.precision)
        self.network.checkpointing = p.checkpointing
        if p.compiled:
            self.network.compile()

    def parameter_count(self) -> int:
        """Return the number of parameters of the network of the losses."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def expected_seconds(self, size: int) -> float:
        """Return an estimate from measured seconds per iteration and pixel (2 cores, float32)."""
        p = self.params
        full = p.iterations + sum(
            count * scale**2
            for scale, count in zip(p.coarse_scales, p.coarse_iterations, strict=True)
        )
        return full * size**2 * 4e-6

    def prepare(self, style: Picture) -> None:
        """Compute the style's targets at all scales, unless they depend on the content."""
        self._style = style
        self._targets = {} if self.adapts() else self._targets_of(style)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Optimise from the coarsest scale to the content's own size.

        The losses of a step are ``content``, ``style`` and ``tv`` without their weights, and the
        weighted ``total``. Between two scales they change abruptly.
        """
        work, style, targets = content, self._style, self._targets
        if self.adapts():
            work, style = self.adapt(content, style)
            targets = self._targets_of(style)
        counts = (*self.params.coarse_iterations, self.params.iterations)
        total, done = sum(counts), 0
        pixels: torch.Tensor | None = None
        for scale, count in zip(self._scales(), counts, strict=True):
            level = scaled(work, scale)
            size = (level.height, level.width)
            start = self._start(level, style, generator) if pixels is None else pixels
            start = F.interpolate(start, size=size, mode="bicubic", align_corners=False)
            first = done

            def report(index: int, losses: Losses, first: int = first) -> None:
                on_step(Step(first + index, total, losses))

            descent = Descent(self.params.optimizer, count, self.params.learning_rate)
            objective = self.objective(level, targets[scale], scale)
            if self._in_buffers(start):
                pixels = minimise_in_buffers(start, objective, descent, report)
            else:
                pixels = minimise(start, objective, descent, report)
            done += count
        assert pixels is not None
        return self.finish(pixels.clamp(0.0, 1.0), content)

    # -- helpers ----------------------------------------------------------------------------

    def features(self, pixels: torch.Tensor, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
        """Return activations of the loss network, in its precision, channels last."""
        laid_out = pixels.contiguous(memory_format=torch.channels_last)
        activations: dict[str, torch.Tensor] = self.network(laid_out, layers)
        return activations

    def add_up(self, content: torch.Tensor, style: torch.Tensor, pixels: torch.Tensor) -> Losses:
        """Return the parts and their weighted total; with ``tv`` if its weight is not 0.

        Args:
            content: content loss without its weight.
            style: style loss without its weight.
            pixels: the picture, (B, 3, H, W).
        """
        weights = self.loss_weights()
        total = _times(weights["content"], content) + _times(weights["style"], style)
        parts = {"content": content, "style": style}
        if self.params.tv_weight:
            variation = total_variation(pixels * 255, self.tv_exponent)
            parts["tv"] = variation / pixels[:, :, 1:, 1:].numel()
            total = total + _times(self.params.tv_weight, parts["tv"])
        return {**parts, "total": total}

    def _in_buffers(self, pixels: torch.Tensor) -> bool:
        """Return True where steps are replays of a graph."""
        return pixels.is_cuda

    def _scales(self) -> tuple[float, ...]:
        return (*self.params.coarse_scales, 1.0)

    @torch.no_grad()
    def _targets_of(self, style: Picture) -> dict[float, Any]:
        return {scale: self.style_targets(scaled(style, scale)) for scale in self._scales()}

    def _start(self, level: Picture, style: Picture, generator: torch.Generator) -> torch.Tensor:
        if self.params.init == "content":
            return level.pixels
        if self.params.init == "style":
            return resize(style.pixels, (level.height, level.width)).expand_as(level.pixels)
        noise = torch.randn(level.pixels.shape, generator=generator) * _NOISE
        return (noise + torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)).to(level.pixels.device)


def _times(weight: float, loss: torch.Tensor) -> torch.Tensor:
    """Return the product, without a kernel if the weight is 1."""
    return loss if weight == 1.0 else weight * loss


def scaled(picture: Picture, scale: float) -> Picture:
    """Return a picture and its map at ``scale``, with sides of at least 32 pixels."""
    if scale == 1.0:
        return picture
    scale = min(1.0, max(scale, _MIN_SIDE / min(picture.height, picture.width)))
    size = (round(picture.height * scale), round(picture.width * scale))
    labels = picture.semantic_map
    if labels is not None:
        # Interpolation between two label colours would create a third label.
        labels = F.interpolate(labels, size=size, mode="nearest-exact")
    return replace(picture, pixels=resize(picture.pixels, size), semantic_map=labels)
