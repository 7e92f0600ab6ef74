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

    The pool is one tensor. What is exchanged is drawn before the step (:func:`draw_exchange`).

    Args:
        pictures: place for the pictures of the pool, (N, C, H, W).

    Attributes:
        pictures: the detached pictures of the pool, in no particular order.
    """

    def __init__(self, pictures: torch.Tensor) -> None:
        self.pictures = pictures

    @torch.no_grad()
    def exchange(self, made: torch.Tensor, taken: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return pictures (B, C, H, W), some of them from the pool, and renew the pool in place.

        Args:
            made: newly generated pictures (B, C, H, W).
            taken: int64 (B,): indices of the pictures to return, in the pool followed by ``made``.
            kept: int64 (N,): indices of the pictures of the new pool.
        """
        both = torch.cat([self.pictures, made.to(self.pictures.dtype)])
        returned = both.index_select(0, taken)
        self.pictures.copy_(both.index_select(0, kept))
        return returned


def draw_exchange(
    size: int, filled: int, batch: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``taken`` and ``kept`` of :meth:`PicturePool.exchange`, on the CPU.

    The pictures of a batch are exchanged one after the other.

    Args:
        size: number of pictures of the pool.
        filled: number of pictures that are in the pool already, at most ``size``.
        batch: number of new pictures.
        generator: CPU generator for the random choices.

    Example:
        >>> taken, kept = draw_exchange(3, 0, 2, torch.Generator())
        >>> taken.tolist(), kept.tolist()
        ([3, 4], [3, 4, 2])
    """
    kept, taken = list(range(size)), []
    for new in range(size, size + batch):
        if filled < size:
            taken.append(new)
            kept[filled] = new
            filled += 1
        elif float(torch.rand((), generator=generator)) < _KEEP:
            taken.append(new)
        else:
            place = int(torch.randint(size, (), generator=generator))
            taken.append(kept[place])
            kept[place] = new
    return torch.tensor(taken), torch.tensor(kept)
