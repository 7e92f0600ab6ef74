"""A small trainable method: one 1x1 convolution that learns the style's mean colour.

The tests register it as a plug-in (``--plugin tests/support/toy_colour.py``). It shows every hook
of the training contract.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from nstbench.contracts import MethodInfo, Parameters
from nstbench.core.records import Flexibility
from nstbench.training.trainable import Recipe, StyleUse, TrainableMethod, Training


class ToyColour(TrainableMethod):
    """Maps contents towards the mean colour of the style it was trained for."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Toy colour",
        authors="the nstbench developers",
        year=2026,
        paper="https://example.org",
        family="toy",
        flexibility=Flexibility.PER_STYLE,
    )
    recipe = Recipe(steps=20, size=32, batch=2, learning_rate=0.05, styles=StyleUse.ONE)
    runtime_params = frozenset({"strength"})

    class Params(Parameters):
        """Parameters."""

        bias: bool = Field(True, description="train a bias, too")
        content_weight: float = Field(0.1, ge=0, description="weight of the content loss")
        strength: float = Field(1.0, ge=0, le=1, description="0 keeps the content")

    params: Params

    def training(self, task):
        return ToyTraining(self.params, task)

    def restore(self, tensors, params):
        self._network = network(params).to(self.device)
        self._network.load_state_dict(tensors)

    def stylize(self, content, *, generator, on_step):
        with torch.no_grad():
            made = self._network(content.pixels)
        return content.pixels.lerp(made, self.params.strength).clamp(0, 1)


def network(params):
    """Return the network under some parameters."""
    return nn.Conv2d(3, 3, 1, bias=params.bias)


class ToyTraining(Training):
    """Adam with a falling learning rate, random noise, and a memory of the last loss."""

    def __init__(self, params, task):
        self.network = network(params).to(task.device)
        if task.start is not None:
            self.network.load_state_dict(task.start.tensors())
        self.networks = {"network": self.network}
        optimiser = torch.optim.Adam(self.network.parameters(), task.recipe.learning_rate)
        self.optimisers = {"adam": optimiser}
        self.schedulers = {"decay": torch.optim.lr_scheduler.StepLR(optimiser, 5, 0.9)}
        self.task = task
        self.content_weight = params.content_weight
        self.last = torch.zeros((), device=task.device)
        (style,) = task.styles
        self.target = style.pixels.mean(dim=(-2, -1), keepdim=True)

    def draws(self, index, generator):
        recipe = self.task.recipe
        shape = (recipe.batch, 3, recipe.size, recipe.size)
        return {"noise": torch.randn(shape, generator=generator)}

    def step(self, batch, descend):
        noisy = batch.contents + 0.01 * batch.draws["noise"]
        with self.task.autocast():
            made = self.network(noisy)
        made = made.float()
        style = (made.mean(dim=(-2, -1), keepdim=True) - self.target).square().mean()
        content = (made - batch.contents).square().mean()
        loss = style + self.content_weight * content + 1e-3 * self.last
        descend("adam", loss)
        self.last.copy_(loss.detach())
        return {"style": style.detach(), "content": content.detach(), "total": loss.detach()}

    def sample(self, batch):
        return [batch.contents, self.network(batch.contents).clamp(0, 1)]

    def weights(self):
        return self.network.state_dict()

    def state(self):
        return {"last": self.last}

    def load_state(self, state):
        self.last.copy_(state["last"])
