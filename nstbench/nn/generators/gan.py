"""Adversarial objectives: the losses of generator and discriminator as functions of logits.

Goodfellow et al., "Generative Adversarial Networks" (arXiv 1406.2661), eq. 1 and section 3;
Mao et al., "Least Squares Generative Adversarial Networks" (arXiv 1611.04076), eq. 9 with
b = c = 1 and a = 0, as CycleGAN uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F

_KEEP = 0.5

DiscriminatorLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
GeneratorLoss = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Objective:
    """A pair of losses over unbounded scores of any shape; each returns a 0-d tensor.

    Attributes:
        discriminator: loss of the scores of real and of generated samples; minimised over D.
        generator: loss of the scores of generated samples.
    """

    discriminator: DiscriminatorLoss
    generator: GeneratorLoss


def cross_entropy(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Return -E log D(x) - E log(1 - D(G(z))), where D is the sigmoid of a score.

    Goodfellow et al., eq. 1, negated: it is log 4 where D is 1/2 everywhere.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax(fake: torch.Tensor) -> torch.Tensor:
    """Return E log(1 - D(G(z))); it saturates if the discriminator is confident (section 3)."""
    return -F.softplus(fake).mean()


def non_saturating(fake: torch.Tensor) -> torch.Tensor:
    """Return -E log D(G(z)); same fixed point, larger gradients in early steps (section 3)."""
    return F.softplus(-fake).mean()


def least_squares_discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Return E (D(x) - 1)^2 + E D(G(z))^2; CycleGAN halves it while training D."""
    return (real - 1.0).square().mean() + fake.square().mean()


def least_squares_generator(fake: torch.Tensor) -> torch.Tensor:
    """Return E (D(G(z)) - 1)^2."""
    return (fake - 1.0).square().mean()


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "minimax": Objective(cross_entropy, minimax),
        "non_saturating": Objective(cross_entropy, non_saturating),
        "least_squares": Objective(least_squares_discriminator, least_squares_generator),
    }
)
"""The objectives by name."""


class PicturePool:
    """Earlier generated pictures, which the discriminator continues to see.

    Shrivastava et al. (arXiv 1612.07828, section 2.3), in CycleGAN's form (arXiv 1703.10593,
    section 4; util/image_pool.lua): until the pool is full, each picture is stored and returned.
    After that each picture is returned itself, or exchanged for a random one of the pool, with
    a probability of one half.

    Args:
        size: number of pictures kept; 0 for no pool.

    Attributes:
        pictures: detached tensors (1, C, H, W), in no particular order.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[torch.Tensor] = []

    def exchange(self, pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return pictures (B, C, H, W), some of them from the pool.

        Args:
            pictures: newly generated pictures (B, C, H, W).
            generator: CPU generator for the random choices.
        """
        return torch.cat([self._one(one.detach(), generator) for one in pictures.split(1)])

    def _one(self, picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if self.size == 0:
            return picture
        if len(self.pictures) < self.size:
            self.pictures.append(picture)
            return picture
        if float(torch.rand((), generator=generator)) < _KEEP:
            return picture
        place = int(torch.randint(self.size, (), generator=generator))
        earlier, self.pictures[place] = self.pictures[place], picture
        return earlier
