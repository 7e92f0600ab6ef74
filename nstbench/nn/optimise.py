"""Minimising a loss over the pixels of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from nstbench.contracts import Diverged

Optimizer = Literal["lbfgs", "adam", "sgd"]

Losses = dict[str, torch.Tensor]
Objective = Callable[[torch.Tensor], Losses]
"""Maps pixels (1, 3, H, W) to 0-d losses; ``"total"`` is minimised, the others are told."""

Report = Callable[[int, Losses], None]
"""Receives the index of an evaluation and its detached losses."""

# Adam's: about five grey levels per step and pixel. SGD's: that size on average at the first
# step. L-BFGS finds the length of its step itself.
LEARNING_RATES = {"lbfgs": 1.0, "adam": 0.02, "sgd": 0.02}
_MOMENTUM = 0.9
# More history changes nothing measurable in the first few hundred steps and costs time.
_HISTORY = 20
_CHECK_EVERY = 10
_EXPLODED = 1e4


@dataclass(frozen=True, slots=True)
class Descent:
    """How to minimise.

    Attributes:
        optimizer: ``"lbfgs"`` (Liu and Nocedal 1989, steps of learning-rate length without
            line search, as in Gatys' code), ``"adam"`` or ``"sgd"`` with momentum 0.9.
        iterations: evaluations of loss and gradient, whatever the optimiser.
        learning_rate: in pixel values of [0, 1] for Adam and SGD; ``None`` takes
            ``LEARNING_RATES``.
    """

    optimizer: Optimizer
    iterations: int
    learning_rate: float | None = None


def minimise(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return the picture that ``descent`` reaches from ``start``.

    The gradient is divided by the root mean square of the first one, so that learning
    rates mean the same whatever the scale of the loss. Pixels are not bounded.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: optimiser and number of evaluations.
        report: called after every evaluation.

    Returns:
        float32 (B, 3, H, W), contiguous, detached.

    Raises:
        Diverged: if the loss leaves the finite numbers, or grows to 10,000 times the largest
            of its first ten values.
    """
    if descent.iterations == 0:
        return start.detach().clone()
    search = _Search(start, objective, report)
    rate = descent.learning_rate or LEARNING_RATES[descent.optimizer]
    with torch.enable_grad():
        if descent.optimizer == "lbfgs":
            _lbfgs(search.image, rate, descent.iterations).step(search.evaluate)
        else:
            optimizer = (
                torch.optim.Adam([search.image], lr=rate)
                if descent.optimizer == "adam"
                else torch.optim.SGD([search.image], lr=rate, momentum=_MOMENTUM)
            )
            for _ in range(descent.iterations):
                search.evaluate()
                optimizer.step()
    search.check()
    return search.finite_image()


def _lbfgs(image: torch.Tensor, rate: float, evaluations: int) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(
        [image],
        lr=rate,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=_HISTORY,
        # It would stop by tolerances that know nothing about pictures.
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )


class _Search:
    """The picture under optimisation, and a watch over its losses."""

    def __init__(self, start: torch.Tensor, objective: Objective, report: Report) -> None:
        self.image = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        self._objective = objective
        self._report = report
        self._count = 0
        self._unchecked: list[torch.Tensor] = []
        self._last_finite = start.detach().clamp(0.0, 1.0)
        self._limit: torch.Tensor | None = None
        self._scale = torch.ones(())

    def evaluate(self) -> torch.Tensor:
        """Put the gradient into ``image.grad`` and return the loss, both rescaled."""
        self.image.grad = None
        losses = self._objective(self.image)
        total = losses["total"]
        if self._count == 0:
            total.backward()
            assert self.image.grad is not None
            size = self.image.grad.square().mean().sqrt()
            self._scale = 1 / size.clamp_min(torch.finfo(size.dtype).tiny)
            self.image.grad.mul_(self._scale)
        else:
            (total * self._scale).backward()
        self._unchecked.append(total.detach())
        self._report(self._count, {name: value.detach() for name, value in losses.items()})
        self._count += 1
        if self._count % _CHECK_EVERY == 0:
            self.check()
            self._last_finite = self.image.detach().clamp(0.0, 1.0)
        return total.detach() * self._scale

    def check(self) -> None:
        """Wait for the device and raise ``Diverged`` if a loss since the last check is bad."""
        if not self._unchecked:
            return
        totals = torch.stack(self._unchecked)
        bad = ~torch.isfinite(totals)
        if self._limit is None:
            self._limit = totals.max() * _EXPLODED
        bad = (bad | (totals > self._limit)).nonzero()
        if len(bad):
            raise Diverged(self._count - len(totals) + int(bad[0]), self._last_finite)
        self._unchecked.clear()

    def finite_image(self) -> torch.Tensor:
        """Return the picture; the last step was taken after the last loss was seen."""
        image = self.image.detach()
        if not bool(torch.isfinite(image).all()):
            raise Diverged(self._count, self._last_finite)
        return image
