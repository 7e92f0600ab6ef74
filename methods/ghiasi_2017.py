"""Arbitrary stylisation by one network (Ghiasi, Lee, Kudlur, Dumoulin and Shlens 2017).

Paper: "Exploring the structure of a real-time, arbitrary neural artistic stylization network"
(arXiv 1705.06830). A style network predicts an embedding of 100 numbers from the painting. The
embedding gives the scales and shifts of the instance normalisations of a transformer network
(section 2). ``network: magenta`` uses the authors' trained networks in their mobile form
(:mod:`nstbench.nn.generators.magenta`). ``network: own`` is an implementation that can be trained
(:mod:`nstbench.nn.generators.style_prediction`).

Losses of the training (authors' code, image_stylization/learning.py): VGG-16 with average
pooling on Caffe's scale; content relu3_3, weight 1, mean over C H W; style relu1_2, relu2_2,
relu3_3, relu4_3, weight 5e-4 each, Gram matrices F F^T / (H W), mean over their entries;
``tv_weight`` times half the mean squared difference of neighbouring pixels in [0, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field

from nstbench.contracts import (
    Availability,
    Flexibility,
    ImageRecord,
    MethodInfo,
    OnStep,
    Picture,
    Weight,
)
from nstbench.core.cards import WeightCard
from nstbench.core.errors import UsageError
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.backbones.vgg import VGG16
from nstbench.nn.generators.batched import OnePass
from nstbench.nn.generators.magenta import PARAMETERS, PREDICT, TRANSFORM, MagentaNetworks
from nstbench.nn.generators.runtime import (
    RUNTIME_PARAMS,
    InferenceParams,
    for_inference,
    picture_of,
)
from nstbench.nn.generators.style_prediction import ArbitraryStyleNetwork, statistics_of
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.training.feed_forward import FeedForwardParams, perceptual_loss
from nstbench.training.steps.loss_networks import shared_loss_network
from nstbench.training.trainable import (
    Batch,
    Descend,
    Recipe,
    StyleUse,
    Task,
    TrainableMethod,
    Training,
)


class Ghiasi2017(OnePass, TrainableMethod):
    """Predicts the style's normalisation parameters and stylises in one pass."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Ghiasi et al. 2017",
        authors="G. Ghiasi, H. Lee, M. Kudlur, V. Dumoulin, J. Shlens",
        year=2017,
        paper="https://arxiv.org/abs/1705.06830",
        code="https://github.com/magenta/magenta/tree/main/magenta/models/arbitrary_image_stylization",
        family="model optimisation, arbitrary style",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT; network weights Apache-2.0",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "magenta: a distilled MobileNet-v2 predicts the style and the "
            "transformer has a quarter of the paper's width, both with weights of int8.",
            "magenta: activations are float32; the published networks round them to int8.",
            "magenta: the picture is stylised at 384 pixels on its longer side, whatever its size.",
            "magenta: the style network sees the central square of the painting at 256 x 256.",
            "own: channel means and deviations of a fixed VGG-16 at four layers predict the "
            "style instead of those of a fine-tuned Inception-v3 at Mixed_6e.",
            "own: activations of the losses are torchvision's times 57.6, the scale of Caffe's.",
            "own: paintings are augmented by random crops, scales and flips only.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
        weights=(PREDICT, TRANSFORM, VGG16),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=8_000_000, size=256, batch=8, learning_rate=1e-5, styles=StyleUse.STREAM
    )
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS | {"interpolation"}
    quick: ClassVar[Mapping[str, Any]] = {"network": "own", "width": 0.125}
    further_settings: ClassVar[tuple[Mapping[str, Any], ...]] = ({"network": "own"},)

    class Params(InferenceParams):
        """Parameters of stylisation, and of the training of the own network."""

        network: Literal["magenta", "own"] = Field(
            "magenta", description="the authors' trained networks, or one trained here"
        )
        interpolation: float = Field(
            1.0,
            ge=0.0,
            le=1.0,
            description="position between the embedding of the content (0) and that of the style "
            "(1), as in the paper's section on interpolation",
        )
        width: float = Field(
            1.0, ge=0.125, le=2.0, description="own: factor of the numbers of channels"
        )
        content_weight: float = Field(1.0, ge=0, description="own: weight of the content loss")
        style_weight: float = Field(
            5e-4, ge=0, description="own: weight of each layer's style loss"
        )
        tv_weight: float = Field(1e4, ge=0, description="own: weight of the total variation")

    params: Params
    _magenta: MagentaNetworks
    _network: ArbitraryStyleNetwork
    _encoder: LayeredNetwork
    _embedding: torch.Tensor

    def required_weights(self) -> tuple[Weight, ...]:
        """Return the weights of the chosen networks, without checkpoints."""
        return (PREDICT, TRANSFORM) if self._is_magenta else (VGG16,)

    def supports(self, style: ImageRecord) -> Availability:
        """Return "needs training" if the own network has no checkpoint."""
        return Availability() if self._is_magenta else super().supports(style)

    def style_weights(self, style: ImageRecord) -> tuple[WeightCard, ...]:
        """Return the card of the checkpoint of the own network."""
        return () if self._is_magenta else super().style_weights(style)

    def training(self, task: Task) -> Training:
        """Return the training of the own network.

        Raises:
            UsageError: if the parameters choose Magenta's networks.
        """
        if self._is_magenta:
            raise UsageError(
                "ghiasi_2017: Magenta's networks are trained already. Train `ghiasi_2017:network="
                "own` instead."
            )
        return _StylePredictionTraining(self.params, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Rebuild the own network."""
        network = ArbitraryStyleNetwork(params.width)
        network.load_state_dict(tensors)
        self._network = for_inference(network, params, self.device)
        self._encoder = for_inference(load_backbone("vgg16", self.device), params, self.device)

    def load(self, device: torch.device) -> None:
        """Open the chosen networks.

        Raises:
            WeightsError: if their weights cannot be loaded.
        """
        if self._is_magenta:
            self.device = device
            self._magenta = MagentaNetworks(
                lambda network: for_inference(network, self.params, device)
            )
        else:
            super().load(device)

    def prepare(self, style: Picture) -> None:
        """Predict the style's embedding."""
        self._embedding = self._embed(style.pixels[:1])

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture; Magenta's networks work at 384 px on the longer side."""
        embedding = self._embedding
        if self.params.interpolation < 1.0:
            embedding = torch.lerp(
                self._embed(content.pixels), embedding, self.params.interpolation
            )
        network = self._magenta if self._is_magenta else self._network
        return picture_of(network, self.params, content.pixels, embedding)

    def joined(self, methods: Sequence[Self]) -> Self:
        """Return a method with one embedding per picture."""
        joined = copy.copy(self)
        joined._embedding = torch.cat([method._embedding for method in methods])
        return joined

    def parameter_count(self) -> int:
        """Return the number of weights and biases of the chosen networks."""
        if self._is_magenta:
            return PARAMETERS
        networks = (self._network, self._encoder)
        return sum(parameter.numel() for n in networks for parameter in n.parameters())

    @property
    def _is_magenta(self) -> bool:
        return self.params.network == "magenta"

    @torch.no_grad()
    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, 100) of pictures."""
        if self._is_magenta:
            # in bfloat16, this network of 53 layers would change pictures by 0.02 on average
            return self._magenta.embed(pixels)
        return self._network.embed(statistics_of(self._encoder, pixels))


class _StylePredictionTraining(Training):
    """Trains style prediction and transformer together on random pairs."""

    def __init__(self, params: Ghiasi2017.Params, task: Task) -> None:
        self._params, self._task = params, task
        self._network = ArbitraryStyleNetwork(params.width)
        self._network.initialise()
        if task.start is not None:
            self._network.load_state_dict(task.start.tensors())
        self._network.to(task.device)
        self.networks = {"network": self._network}
        rate = task.recipe.learning_rate
        self.optimisers = {"adam": torch.optim.Adam(self._network.parameters(), rate)}
        losses: dict[str, Any] = {
            "pooling": "average",
            "content_layers": ("relu3_3",),
            "content_weight": params.content_weight,
            "style_weight": params.style_weight,
            "tv_weight": 0.0,
        }
        self._loss = perceptual_loss(FeedForwardParams(**losses), task, "n")
        self._encoder = shared_loss_network("vgg16", task.device, "max", task.precision)

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend the perceptual loss of one batch; every content has another painting."""
        made = self._stylised(batch, batch.streamed)
        losses = self._loss(made, batch.contents, self._loss.style_targets(batch.streamed))
        rough = self._params.tv_weight * _roughness(made)
        total = losses["total"] + rough
        descend("adam", total)
        logged = {**losses, "tv": rough, "total": total}
        return {name: value.detach() for name, value in logged.items()}

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return contents, paintings, stylised contents, and contents in their own style."""
        pictures = [self._stylised(batch, s) for s in (batch.streamed, batch.contents)]
        return [batch.contents, batch.streamed, *pictures]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights and running statistics of the own network."""
        return self._network.state_dict()

    def _stylised(self, batch: Batch, paintings: torch.Tensor) -> torch.Tensor:
        statistics = statistics_of(self._encoder, paintings)
        # The few parameters of the normalisations stay in float32, outside of autocast.
        embedding = self._network.embed(statistics)
        with self._task.autocast():
            stylised: torch.Tensor = self._network(batch.contents, embedding)
        return stylised


def _roughness(pixels: torch.Tensor) -> torch.Tensor:
    """Return half the mean squared difference of neighbours: that of rows plus of columns."""
    down = (pixels[..., 1:, :] - pixels[..., :-1, :]).square().mean()
    return (down + (pixels[..., 1:] - pixels[..., :-1]).square().mean()) / 2
