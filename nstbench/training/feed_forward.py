"""Methods that train one transformation network per style on the perceptual loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from nstbench.contracts import OnStep, Parameters, Picture
from nstbench.nn.backbones.load import on_network
from nstbench.nn.generators.batched import OnePass
from nstbench.nn.generators.runtime import (
    RUNTIME_PARAMS,
    InferenceParams,
    for_inference,
    picture_of,
)
from nstbench.nn.losses.perceptual import PerceptualLoss
from nstbench.training.steps.loss_networks import shared_loss_network
from nstbench.training.trainable import Batch, Descend, Task, TrainableMethod, Training


class FeedForwardParams(InferenceParams):
    """Parameters of every method with a transformation network."""

    width: float = Field(
        1.0, ge=0.125, le=2.0, description="factor of the numbers of channels; 1 is the paper's"
    )
    network: Literal["vgg16", "vgg19"] = Field("vgg16", description="network of the losses")
    pooling: Literal["max", "average"] = Field("max", description="pooling of that network")
    content_layers: tuple[str, ...] = Field(
        ("relu2_2",), min_length=1, description="layers of the content loss, added up"
    )
    style_layers: tuple[str, ...] = Field(
        ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        min_length=1,
        description="layers of the style loss, added up",
    )
    content_weight: float = Field(1.0, ge=0, description="weight of the content loss")
    style_weight: float = Field(5.0, ge=0, description="weight of the style loss")
    tv_weight: float = Field(
        1e-6, ge=0, description="weight of the total variation, summed over a batch, 0-255 scale"
    )


def perceptual_loss(params: Any, task: Task, divide_by: Literal["n", "chw"]) -> PerceptualLoss:
    """Return the perceptual loss with the layers and weights of ``params``.

    Args:
        params: :class:`FeedForwardParams`.
        task: the training; its device and precision are used.
        divide_by: divisor of the Gram matrices, see
            :class:`~nstbench.nn.losses.perceptual.PerceptualLoss`.

    Raises:
        WeightsError: if the weights of the loss network cannot be loaded.
    """
    return PerceptualLoss(
        network=shared_loss_network(params.network, task.device, params.pooling, task.precision),
        content=dict.fromkeys(params.content_layers, params.content_weight),
        style=dict.fromkeys(params.style_layers, params.style_weight),
        tv=params.tv_weight,
        divide_by=divide_by,
    )


class FeedForward(OnePass, TrainableMethod):
    """Base of methods with one network per style."""

    Params: ClassVar[type[Parameters]] = FeedForwardParams  # type: ignore[assignment]
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS
    quick: ClassVar[Mapping[str, Any]] = {"width": 0.125}
    params: Any
    network: nn.Module

    @abstractmethod
    def build(self, params: Any) -> nn.Module:
        """Return a new network: float RGB (B, 3, H, W) in [0, 1] to the same shape and range."""

    def noise(
        self, network: nn.Module, shape: Sequence[int], generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Return the random inputs of the network, on the CPU; override it for networks with some.

        Args:
            network: the network.
            shape: shape of the pixels, (B, 3, H, W).
            generator: CPU generator.
        """
        return ()

    def inputs(
        self, network: nn.Module, pixels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, ...]:
        """Return the arguments of the network: pixels (B, 3, H, W), and noise if it takes some."""
        drawn = self.noise(network, pixels.shape, generator)
        return (pixels, *(noise.to(pixels.device) for noise in drawn))

    def trained_on(self) -> tuple[str, ...]:
        """Return the tags of the statistics that training minimises in the chosen network."""
        return on_network(self.params.network, self.info.trained_on)

    def schedule(
        self, optimiser: torch.optim.Optimizer, total: Callable[[], int]
    ) -> LRScheduler | None:
        """Return the schedule of the learning rate, or ``None`` if the rate is constant.

        Args:
            optimiser: the optimiser.
            total: returns the number of steps of the training, which may change while it runs.
        """
        return None

    def training(self, task: Task) -> Training:
        """Return a training with Adam on the perceptual loss.

        Raises:
            WeightsError: if the weights of the loss network cannot be loaded.
        """
        network = self.build(self.params).to(task.device)
        if task.start is not None:
            network.load_state_dict(task.start.tensors())
        return FeedForwardTraining(self, network, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Rebuild the network of a checkpoint."""
        network = self.build(params)
        network.load_state_dict(tensors)
        self.network = for_inference(network, params, self.device)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture: one pass through the network."""
        inputs = self.inputs(self.network, content.pixels, generator)
        return picture_of(self.network, self.params, *inputs)

    def parameter_count(self) -> int:
        """Return the number of parameters of the network, that of the last prepared style."""
        network = getattr(self, "network", None) or self.build(self.params)
        return sum(parameter.numel() for parameter in network.parameters())


class FeedForwardTraining(Training):
    """One network, one optimiser, one style."""

    def __init__(self, method: FeedForward, network: nn.Module, task: Task) -> None:
        self.method = method
        self.network = network
        self.task = task
        self.networks = {"network": network}
        optimiser = torch.optim.Adam(network.parameters(), task.recipe.learning_rate)
        self.optimisers = {"adam": optimiser}
        self.steps = task.recipe.steps
        schedule = method.schedule(optimiser, lambda: self.steps)
        self.schedulers = {} if schedule is None else {"schedule": schedule}
        self.loss = perceptual_loss(method.params, task, "chw")
        (style,) = task.styles
        self.targets = self.loss.style_targets(style.pixels)

    def set_total(self, steps: int) -> None:
        """Let the learning rate fall over this number of steps."""
        self.steps = steps

    def draws(self, index: int, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Return the random inputs of the network."""
        recipe = self.task.recipe
        shape = (recipe.batch, 3, recipe.size, recipe.size)
        drawn = self.method.noise(self.network, shape, generator)
        return {f"noise{place}": noise for place, noise in enumerate(drawn)}

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend the perceptual loss of one batch."""
        with self.task.autocast():
            made = self._stylised(batch)
        losses = self.loss(made, batch.contents, self.targets)
        descend("adam", losses["total"])
        return {name: loss.detach() for name, loss in losses.items()}

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return contents and their stylisations."""
        return [batch.contents, self._stylised(batch)]

    def _stylised(self, batch: Batch) -> torch.Tensor:
        noise = (batch.draws[f"noise{place}"] for place in range(len(batch.draws)))
        stylised: torch.Tensor = self.network(batch.contents, *noise)
        return stylised

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the network's weights and running statistics."""
        return self.network.state_dict()
