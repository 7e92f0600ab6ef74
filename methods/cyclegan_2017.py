"""Unpaired translation from photographs to a collection of paintings (Zhu et al. 2017).

Paper: "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks"
(arXiv 1703.10593). Authors' code: https://github.com/junyanz/CycleGAN. A generator G turns
photographs into paintings, a generator F turns paintings into photographs, and a 70 x 70
PatchGAN discriminates each kind. F must recover the photograph from the output of G. The style
is a collection, not a picture: all pictures of a collection give the same result.

Generators minimise (eq. 3 and section 5.2, pictures in [-1, 1], means over pixels)
L_GAN(G, D_Y) + L_GAN(F, D_X) + cycle_weight * (|F(G(x)) - x| + |G(F(y)) - y|)
+ cycle_weight * identity_weight * (|G(y) - y| + |F(x) - x|), discriminators half of
the least-squares loss, on pictures from a pool of 50.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from nstbench.contracts import Flexibility, MethodInfo, OnStep, Picture
from nstbench.nn.generators.batched import OnePass
from nstbench.nn.generators.decoder import padded_to
from nstbench.nn.generators.gan import OBJECTIVES, PicturePool, draw_exchange
from nstbench.nn.generators.patchgan import PatchGan
from nstbench.nn.generators.residual_generator import ResidualGenerator, initialise
from nstbench.nn.generators.runtime import (
    RUNTIME_PARAMS,
    InferenceParams,
    for_inference,
    picture_of,
)
from nstbench.training.trainable import (
    Batch,
    Descend,
    Recipe,
    StyleUse,
    Task,
    TrainableMethod,
    Training,
)

_POOL = 50
_PARTS = ("taken", "kept")
_BETAS = (0.5, 0.999)
# The paper trains for 200 epochs; Monet's, its first collection, has 1,074 paintings.
_STEPS = 200 * 1_074


class CycleGan2017(OnePass, TrainableMethod):
    """Two generators, which invert each other, and two discriminators."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Zhu et al. 2017 (CycleGAN)",
        authors="J.-Y. Zhu, T. Park, P. Isola, A. A. Efros",
        year=2017,
        paper="https://arxiv.org/abs/1703.10593",
        code="https://github.com/junyanz/CycleGAN",
        family="adversarial, unpaired translation",
        flexibility=Flexibility.DOMAIN,
        licence="MIT",
        deviations=(
            "Photographs and paintings are cropped at one to two times the crop's size, not at "
            "286 to 256 pixels.",
            "An epoch is 1,074 steps, the number of Monet's paintings in the authors' set.",
            "Checkpoints contain only the generator of paintings.",
            "Where the hardware multiplies bfloat16 natively, convolutions run in it.",
        ),
    )
    recipe: ClassVar[Recipe] = Recipe(
        steps=_STEPS, size=256, batch=1, learning_rate=2e-4, styles=StyleUse.STREAM
    )
    runtime_params: ClassVar[frozenset[str]] = RUNTIME_PARAMS
    quick: ClassVar[Mapping[str, Any]] = {"width": 4, "blocks": 6}

    class Params(InferenceParams):
        """Parameters of training; there are none of stylisation."""

        blocks: Literal[6, 9] = Field(
            9, description="residual blocks: 9 for 256 px and more, 6 for 128 px"
        )
        width: int = Field(64, ge=4, description="channels after the first convolution")
        objective: Literal["least_squares", "non_saturating", "minimax"] = Field(
            "least_squares", description="adversarial objective"
        )
        cycle_weight: float = Field(10.0, ge=0, description="weight of the cycle loss")
        identity_weight: float = Field(
            0.5, ge=0, description="weight of the identity loss, as a factor of cycle_weight"
        )

    params: Params
    _painter: ResidualGenerator

    def training(self, task: Task) -> Training:
        """Return the training of both generators and discriminators."""
        return _AdversarialTraining(self.params, task)

    def restore(self, tensors: Mapping[str, torch.Tensor], params: Any) -> None:
        """Build the generator of paintings."""
        painter = ResidualGenerator(params.blocks, params.width)
        painter.load_state_dict(tensors)
        self._painter = for_inference(painter, params, self.device)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the content as a painting: one pass through the generator."""
        pixels = padded_to(content.pixels, self._painter.stride) * 2 - 1
        painted = picture_of(self._painter, self.params, pixels)
        return _pixels(painted)[..., : content.height, : content.width].contiguous()

    def parameter_count(self) -> int:
        """Return the number of parameters of the generator of paintings."""
        return sum(parameter.numel() for parameter in self._painter.parameters())


class _AdversarialTraining(Training):
    """Alternates a step of both generators and a step of both discriminators."""

    def __init__(self, params: CycleGan2017.Params, task: Task) -> None:
        self._params, self._autocast = params, task.autocast
        self._objective = OBJECTIVES[params.objective]
        self._painter, self._photographer = (
            ResidualGenerator(params.blocks, params.width) for _ in range(2)
        )
        self._critic, self._expert = (PatchGan(params.width) for _ in range(2))
        self.networks = {
            "painter": self._painter,
            "photographer": self._photographer,
            "judge_of_paintings": self._critic,
            "judge_of_photographs": self._expert,
        }
        for network in self.networks.values():
            initialise(network)
            _on(network, task.device)
        if task.start is not None:
            self._painter.load_state_dict(task.start.tensors())
        pairs = {
            "generators": (self._painter, self._photographer),
            "discriminators": (self._critic, self._expert),
        }
        rate, self._steps = task.recipe.learning_rate, task.recipe.steps
        self.optimisers = {
            name: torch.optim.Adam(
                [p for network in pair for p in network.parameters()], rate, betas=_BETAS
            )
            for name, pair in pairs.items()
        }
        self.schedulers = {
            name: torch.optim.lr_scheduler.LambdaLR(
                optimiser, lambda k: learning_rate(k, self._steps)
            )
            for name, optimiser in self.optimisers.items()
        }
        self._batch = task.recipe.batch
        side = task.recipe.size
        self._pools = {
            name: PicturePool(torch.zeros(_POOL, 3, side, side, device=task.device))
            for name in ("paintings", "photographs")
        }

    def draws(self, index: int, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Return which pictures are exchanged with the pools."""
        filled = min(_POOL, index * self._batch)
        return {
            f"{name}.{part}": places
            for name in self._pools
            for part, places in zip(
                _PARTS, draw_exchange(_POOL, filled, self._batch, generator), strict=True
            )
        }

    def step(self, batch: Batch, descend: Descend) -> Mapping[str, torch.Tensor]:
        """Descend the generators' loss, then the discriminators'."""
        photographs, paintings = batch.contents * 2 - 1, batch.streamed * 2 - 1
        for judge in (self._critic, self._expert):
            judge.requires_grad_(False)
        with self._autocast():
            painted, photographed = self._painter(photographs), self._photographer(paintings)
            losses = self._generator_losses(photographs, paintings, painted, photographed)
        total = torch.stack(list(losses.values())).sum()
        descend("generators", total)
        for judge in (self._critic, self._expert):
            judge.requires_grad_(True)
        old_painted, old_photographed = (
            self._pools[name].exchange(made, *(batch.draws[f"{name}.{part}"] for part in _PARTS))
            for name, made in (("paintings", painted), ("photographs", photographed))
        )
        with self._autocast():
            judged = self._judge(self._critic, paintings, old_painted) + self._judge(
                self._expert, photographs, old_photographed
            )
        descend("discriminators", judged)
        logged = {**losses, "discriminator": judged}
        return {name: value.detach() for name, value in logged.items()}

    def sample(self, batch: Batch) -> Sequence[torch.Tensor]:
        """Return photographs, as paintings, and back; paintings, and as photographs."""
        photographs, paintings = batch.contents * 2 - 1, batch.streamed * 2 - 1
        painted = self._painter(photographs)
        pictures = (painted, self._photographer(painted))
        columns = [batch.contents, *map(_pixels, pictures)]
        return [*columns, batch.streamed, _pixels(self._photographer(paintings))]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the tensors of the generator of paintings."""
        return self._painter.state_dict()

    def set_total(self, steps: int) -> None:
        """Let the learning rate fall in the second half of this number of steps."""
        self._steps = steps

    def state(self) -> dict[str, Any]:
        """Return the pools of earlier pictures."""
        return {name: pool.pictures for name, pool in self._pools.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the pools."""
        for name, pool in self._pools.items():
            pool.pictures.copy_(state[name])

    def _generator_losses(
        self,
        photographs: torch.Tensor,
        paintings: torch.Tensor,
        painted: torch.Tensor,
        photographed: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        weight = self._params.cycle_weight
        fooled = self._objective.generator(self._critic(painted).float())
        fooled = fooled + self._objective.generator(self._expert(photographed).float())
        cycle = _distance(self._photographer(painted), photographs)
        cycle = cycle + _distance(self._painter(photographed), paintings)
        losses = {"adversarial": fooled, "cycle": weight * cycle}
        if self._params.identity_weight:
            same = _distance(self._painter(paintings), paintings)
            same = same + _distance(self._photographer(photographs), photographs)
            losses["identity"] = weight * self._params.identity_weight * same
        return losses

    def _judge(self, judge: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        # Half the loss: discriminators must learn more slowly than generators (paper, section 7.1).
        return self._objective.discriminator(judge(real).float(), judge(fake).float()) / 2


def learning_rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: 1 in the first half, then linearly to 0."""
    half = steps / 2
    return min(1.0, max(0.0, (steps - step) / half))


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return F.l1_loss(one.float(), other)


def _pixels(signed: torch.Tensor) -> torch.Tensor:
    return ((signed.float() + 1) / 2).clamp(0.0, 1.0)


def _on(network: Any, device: torch.device) -> Any:
    """Move a network to the device, with its weights in channels-last order."""
    return network.to(device, memory_format=torch.channels_last)
