"""Many styles in one network (Dumoulin, Shlens and Kudlur 2017).

Paper: "A Learned Representation for Artistic Style" (arXiv 1610.07629). Authors' code:
https://github.com/magenta/magenta/tree/main/magenta/models/image_stylization.

All styles share the convolutions; a style consists of the 3,206 scales and shifts of the instance
normalisations (section 3, eq. 5). A mixture of these numbers is a mixture of styles. A new style
is learnt by training only these numbers, with the convolutions fixed:
``nstbench train dumoulin_2017 --style new.jpg --start dumoulin_2017--starter``.

Network: mirrored borders, nearest neighbours and a convolution instead of fractional strides,
normalisation of the output as well, sigmoid, weights from N(0, 0.01^2). Losses (code): VGG-16
with average pooling on Caffe's scale; content relu3_3, weight 1, mean over C H W; style
relu1_2, relu2_2, relu3_3, relu4_3, weight 1e-4 each, Gram matrices F F^T / (H W), mean over
their entries; no total variation. Every picture of a batch has its own style.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from nstbench.contracts import Flexibility, MethodInfo, OnStep, Picture
from nstbench.core.errors import UsageError, WeightsError, did_you_mean
from nstbench.nn.backbones.load import on_network
from nstbench.nn.generators.batched import OnePass
from nstbench.nn.generators.runtime import RUNTIME_PARAMS, for_inference, picture_of
from nstbench.nn.generators.transformation_network import (
    Design,
    TransformationNetwork,
    convolutions,
)
from nstbench.training.feed_forward import FeedForwardParams, perceptual_loss
from nstbench.training.trainable import (
    Batch,
    Descend,
    Recipe,
    StyleUse,
    Task,
    TrainableMethod,
    Training,
)

_STYLES = "styles.values"
_SHOWN = 4


class Dumoulin2017(OnePass, TrainableMethod):
    """One network for many styles, each with its own normalisation parameters."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Dumoulin et al. 2017",
        authors="V. Dumoulin, J. Shlens, M. Kudlur",
        year=2017,
        paper="https://arxiv.org/abs/1610.07629",
        code="https://github.com/magenta/magenta/tree/main/magenta/models/image_stylization",
        family="model optimisation, multiple styles",
        flexibility=Flexibility.MULTI_STYLE,
        licence="MIT; checkpoints MIT",
        trained_on=("vgg16-gram", "vgg16-content"),
        deviations=(
            "Activations are those of torchvision's VGG-16 times 57.6, the scale of Caffe's "
            "networks.",
            "Training uses crops of photographs at one to two times the crop's size, instead of "
            "ImageNet.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=40_000, size=256, batch=16, learning_rate=1e-3, styles=StyleUse.SET
    )
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS | {"mix"}
    quick: ClassVar[Mapping[str, Any]] = {"width": 0.125}

    class Params(FeedForwardParams):
        """Parameters; the defaults are the paper's."""

        pooling: Literal["max", "average"] = Field("average", description="pooling of the VGG")
        content_layers: tuple[str, ...] = Field(
            ("relu3_3",), min_length=1, description="layers of the content loss, added up"
        )
        style_weight: float = Field(1e-4, ge=0, description="weight of each layer's style loss")
        tv_weight: float = Field(
            0.0, ge=0, description="weight of the total variation, summed over a batch"
        )
        value_rate: float = Field(
            1.0, gt=0, description="factor of the learning rate for scales and shifts"
        )
        mix: dict[str, float] = Field(
            {}, description="shares of other styles of the checkpoint, by name; the style itself "
            "gets the rest to 1"
        )  # fmt: skip

        @model_validator(mode="after")
        def _shares(self) -> Self:
            if any(share < 0 for share in self.mix.values()) or sum(self.mix.values()) > 1 + 1e-6:
                raise ValueError("the shares of mix must be 0 or more and at most 1 together")
            return self

    params: Params
    network: TransformationNetwork
    _values: torch.Tensor
    _condition: torch.Tensor

    def trained_on(self) -> tuple[str, ...]:
        """Return the tags of the statistics that training minimises in the chosen network."""
        return on_network(self.params.network, self.info.trained_on)

    def training(self, task: Task) -> Training:
        """Return a training of the whole network, or of new styles for that of ``task.start``.

        A start with the same styles is trained as a whole.

        Raises:
            WeightsError: if the weights of the loss network cannot be loaded.
        """
        network = _network(self.params).to(task.device)
        for convolution in convolutions(network):
            nn.init.normal_(convolution.weight, std=0.01)
        styles = StyleValues(len(task.styles), network.conditioned_values).to(task.device)
        if task.start is not None:
            tensors = task.start.tensors()
            network.load_state_dict(_without_styles(tensors))
            values = tensors[_STYLES]
            places = [task.start.place_of(style) for style in task.styles]
            same = places == list(range(len(values)))
            network.requires_grad_(same)
            with torch.no_grad():
                styles.values.copy_(values if same else values.mean(dim=0, keepdim=True))
        return _Training(self.params, network, styles, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Rebuild the network and the values of all styles."""
        network = _network(params)
        network.load_state_dict(_without_styles(tensors))
        self.network = for_inference(network, params, self.device)
        self._values = tensors[_STYLES].to(self.device)

    def prepare(self, style: Picture) -> None:
        """Look up the values of the style and mix them with those of the styles in ``mix``.

        Raises:
            WeightsError: if no checkpoint covers the style.
            UsageError: if ``mix`` names a style that the checkpoint does not have.
        """
        checkpoint = self.open(style)
        place = checkpoint.place_of(style)
        if place is None:
            raise WeightsError(f"{checkpoint.path} does not contain the style '{style.name}'")
        names = [trained.name for trained in checkpoint.card.styles]
        shares = torch.zeros(len(names), device=self.device)
        shares[place] = 1.0 - sum(self.params.mix.values())
        for name, share in self.params.mix.items():
            if name not in names:
                raise UsageError(
                    f"dumoulin_2017: mix: {checkpoint.path} has no style '{name}'."
                    f"{did_you_mean(name, names)} Its styles: {', '.join(names)}."
                )
            shares[names.index(name)] += share
        self._condition = shares[None] @ self._values

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture: one pass through the network."""
        return picture_of(self.network, self.params, content.pixels, self._condition)

    def joined(self, methods: Sequence[Self]) -> Self | None:
        """Return a method with one row of the condition per picture.

        ``None`` for methods with different networks.
        """
        if any(method.network is not self.network for method in methods):
            return None
        joined = copy.copy(self)
        joined._condition = torch.cat([method._condition for method in methods])
        return joined

    def parameter_count(self) -> int:
        """Return the number of shared weights and of the values of one style."""
        network = getattr(self, "network", None) or _network(self.params)
        shared = sum(parameter.numel() for parameter in network.parameters())
        return shared + network.conditioned_values


class StyleValues(nn.Module):
    """The scales and shifts of N styles, (N, ``conditioned_values``)."""

    def __init__(self, count: int, conditioned_values: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.empty(count, conditioned_values))

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the values of each index, (B, ``conditioned_values``)."""
        return F.embedding(indices, self.values)


class _Training(Training):
    """Trains with one randomly chosen style per picture of a batch."""

    def __init__(
        self, params: Any, network: TransformationNetwork, styles: StyleValues, task: Task
    ) -> None:
        self.network, self.styles, self.task = network, styles, task
        if task.start is None:
            network.neutral_condition(styles.values)
        self.networks = {"network": network, "styles": styles}
        rate = task.recipe.learning_rate
        groups = [{"params": list(styles.parameters()), "lr": rate * params.value_rate}]
        shared = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if shared:
            groups.append({"params": shared, "lr": rate})
        self.optimisers = {"adam": torch.optim.Adam(groups)}
        self.loss = perceptual_loss(params, task, "n")
        of_styles = [self.loss.style_targets(style.pixels) for style in task.styles]
        self.targets = {
            name: torch.cat([targets[name] for targets in of_styles]) for name in of_styles[0]
        }

    def draws(self, index: int, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Return the index of a style for every picture."""
        count = (self.task.recipe.batch,)
        return {"styles": torch.randint(len(self.styles.values), count, generator=generator)}

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend the perceptual loss of one batch."""
        chosen = batch.draws["styles"]
        with self.task.autocast():
            made = self.network(batch.contents, self.styles(chosen))
        targets = {name: grams.index_select(0, chosen) for name, grams in self.targets.items()}
        losses = self.loss(made, batch.contents, targets)
        descend("adam", losses["total"])
        return {name: loss.detach() for name, loss in losses.items()}

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return contents and their stylisations in up to four styles."""
        shown = self.styles.values[:_SHOWN]
        return [batch.contents, *(self.network(batch.contents, one[None]) for one in shown)]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the shared weights and the values of all styles."""
        return {**self.network.state_dict(), _STYLES: self.styles.values}


def _network(params: Any) -> TransformationNetwork:
    return TransformationNetwork(
        Design(
            width=params.width,
            normalisation="conditional",
            padding="mirror",
            upsampling="nearest",
        )
    )


def _without_styles(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != _STYLES}
