"""Minimise a loss over the pixels of a picture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from nstbench.contracts import Diverged

Optimizer = Literal["lbfgs", "adam", "sgd"]

Losses = dict[str, torch.Tensor]
Objective = Callable[[torch.Tensor], Losses]
"""Maps pixels (1, 3, H, W) to 0-d losses; ``"total"`` is minimised, the others are reported."""


@dataclass(frozen=True, slots=True)
class Renewing:
    """An objective that finds new targets at intervals, from the picture at that time.

    Attributes:
        losses: the loss; it renews its targets by itself, in the pass that it needs anyway.
        every: evaluations between two renewals, the first of which is evaluation 0.
        renew: finds new targets for a picture, and stores them where the last ones were.
        held: the loss with the present targets, whose evaluation can be replayed.
    """

    losses: Callable[[torch.Tensor], Losses]
    every: int
    renew: Callable[[torch.Tensor], None]
    held: Callable[[torch.Tensor], Losses]

    def __call__(self, pixels: torch.Tensor) -> Losses:
        """Return the losses of the next evaluation."""
        return self.losses(pixels)


Report = Callable[[int, Losses], None]
"""Receives the index of an evaluation and its detached losses."""

# Adam: about five grey levels per step and pixel. SGD: the same on average at the first step.
# L-BFGS determines the length of its step itself.
LEARNING_RATES = {"lbfgs": 1.0, "adam": 0.02, "sgd": 0.02}
_MOMENTUM = 0.9
# More history has no measurable effect in the first few hundred steps and takes time.
HISTORY = 20
_FIRST_STEP = 0.01
CHECK_EVERY = 10
EXPLODED = 1e4
_NO_GRADIENT = 1e-30


@dataclass(frozen=True, slots=True)
class Descent:
    """Settings of a minimisation.

    Attributes:
        optimizer: ``"lbfgs"`` (Liu and Nocedal 1989, with a strong Wolfe line search; Gatys'
            code has no line search, and diverges on some pictures), ``"adam"``, or ``"sgd"``
            with momentum 0.9.
        iterations: evaluations of loss and gradient, for every optimiser.
        learning_rate: in pixel values of [0, 1] for Adam and SGD; ``None`` means
            ``LEARNING_RATES``.
    """

    optimizer: Optimizer
    iterations: int
    learning_rate: float | None = None


def evaluate(
    objective: Objective, pixels: torch.Tensor, factor: torch.Tensor
) -> tuple[Losses, torch.Tensor]:
    """Return the detached losses at ``pixels`` and the gradient of ``factor`` times their total.

    Args:
        objective: the loss.
        pixels: float32 (B, 3, H, W).
        factor: 0-d; applied before the backward pass, whose gradients may have half precision.

    Returns:
        The losses, and the gradient, float32 (B, 3, H, W).
    """
    leaf = pixels.detach().requires_grad_()
    with torch.enable_grad():
        losses = objective(leaf)
        total = losses["total"]
        (gradient,) = torch.autograd.grad(total, leaf, grad_outputs=factor.to(total))
    return {name: value.detach() for name, value in losses.items()}, gradient


def minimise(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return the picture that ``descent`` reaches from ``start``.

    Gradients are divided by the root mean square of the first one, so that the learning rate
    does not depend on the scale of the loss. Pixels are not bounded.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: optimiser and number of evaluations.
        report: called after every evaluation.

    Returns:
        float32 (B, 3, H, W), contiguous, detached.

    Raises:
        Diverged: if the loss is not finite, or grows to 10,000 times the largest of its first
            ten values. L-BFGS first returns to its best picture with half the step, as long as
            every restart completes ten evaluations.

    Example:
        >>> descent = Descent("lbfgs", iterations=20)
        >>> brighten = lambda pixels: {"total": (pixels - 0.5).square().sum()}
        >>> picture = minimise(torch.zeros(1, 3, 4, 4), brighten, descent, lambda *_: None)
        >>> bool((picture - 0.5).abs().max() < 1e-3)
        True
    """
    if descent.iterations == 0:
        return start.detach().clone()
    unit = lbfgs_unit(start) if descent.optimizer == "lbfgs" else 1.0
    search = _Search(start, objective, report, unit)
    with torch.enable_grad():
        if descent.optimizer == "lbfgs":
            run_with_restarts(search, rate_of(descent), descent.iterations)
        else:
            optimizer = make_optimiser(search.leaf, descent)
            for _ in range(descent.iterations):
                search.evaluate()
                optimizer.step()
    search.check()
    return search.finite_image()


def make_optimiser(leaf: torch.Tensor, descent: Descent) -> torch.optim.Optimizer:
    """Return Adam or SGD for one tensor."""
    rate = rate_of(descent)
    if descent.optimizer == "adam":
        return torch.optim.Adam([leaf], lr=rate, fused=True)
    return torch.optim.SGD([leaf], lr=rate, momentum=_MOMENTUM)


def first_scale(gradient: torch.Tensor) -> torch.Tensor:
    """Return the factor, 0-d, that makes the root mean square of the first gradient 1."""
    size = gradient.square().mean().sqrt()
    return torch.where(size > _NO_GRADIENT, 1 / size, 1.0)


def rate_of(descent: Descent) -> float:
    """Return the learning rate, that of the optimiser if none is given."""
    return descent.learning_rate or LEARNING_RATES[descent.optimizer]


def lbfgs_unit(start: torch.Tensor) -> float:
    """Return the unit of pixels for L-BFGS.

    The length of its first step is 1 / sum |gradient|. That is far below a grey level, so rounding
    noise would determine the curvature. Larger units prevent that.
    """
    return _FIRST_STEP * start.numel()


class BudgetUsed(Exception):  # noqa: N818  not an error: the budget can end in a line search
    """All evaluations are used."""


def run_with_restarts(search: Search, rate: float, evaluations: int) -> None:
    """Run L-BFGS; restart it from the best picture with half the step if it diverges.

    The line search prevents most divergence. After it the history is useless, but the best
    picture so far is not.
    """
    first_failure: Diverged | None = None
    search.budget = evaluations
    while True:
        try:
            search.descend(rate, evaluations - search.count)
            search.check()
        except BudgetUsed:
            search.go_back()
            return
        except Diverged as failure:
            if search.progressed or first_failure is None:
                first_failure = failure
            if not search.progressed or search.count >= evaluations:
                raise first_failure from None
            search.go_back()
            rate /= 2
        else:
            return


def _lbfgs(leaf: torch.Tensor, rate: float, evaluations: int) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(
        [leaf],
        lr=rate,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=HISTORY,
        # Other tolerances would stop too early: they are not made for pictures.
        tolerance_grad=0.0,
        tolerance_change=0.0,
        # The loss is not convex near noise: without a line search, pixels can reach 1e20.
        line_search_fn="strong_wolfe",
    )


class Search(ABC):
    """A minimisation with a budget and a check of its losses.

    Attributes:
        count: evaluations so far.
        budget: evaluations in all; None means that another part counts them.
        progressed: ten evaluations have passed the check since the last restart.
    """

    def __init__(self, start: torch.Tensor) -> None:
        self.count = 0
        self.budget: int | None = None
        self.progressed = False
        self._unchecked: list[torch.Tensor] = []
        self._last_finite = start.detach().clamp(0.0, 1.0)
        self._limit: torch.Tensor | None = None

    @abstractmethod
    def descend(self, rate: float, evaluations: int) -> None:
        """Run L-BFGS from the present picture for at most this number of evaluations."""

    @abstractmethod
    def pixels(self) -> torch.Tensor:
        """Return the picture at the last evaluation, detached."""

    def go_back(self) -> None:
        """Return to the best picture so far, and reset the record of progress."""
        self._unchecked.clear()
        self.progressed = False

    def note(self, total: torch.Tensor) -> None:
        """Count an evaluation with this total, 0-d; check every tenth time."""
        self._unchecked.append(total)
        self.count += 1
        if self.count % CHECK_EVERY == 0:
            self.check()
            self._last_finite = self.pixels().clamp(0.0, 1.0)
            self.progressed = True

    def check(self) -> None:
        """Wait for the device and raise ``Diverged`` if a loss since the last check is bad."""
        if not self._unchecked:
            return
        totals = torch.stack(self._unchecked)
        bad = ~torch.isfinite(totals)
        if self._limit is None:
            self._limit = totals.max() * EXPLODED
        bad = (bad | (totals > self._limit)).nonzero()
        if len(bad):
            raise Diverged(self.count - len(totals) + int(bad[0]), self._last_finite)
        self._unchecked.clear()

    def finite_image(self) -> torch.Tensor:
        """Return the picture if it is finite; no loss was computed after the last step."""
        image = self.pixels()
        if not bool(torch.isfinite(image).all()):
            raise Diverged(self.count, self._last_finite)
        return image


class _Search(Search):
    """The picture during an optimisation by an optimiser of torch.

    ``leaf`` is the tensor that the optimiser changes: pixels divided by ``unit``.
    """

    def __init__(
        self,
        start: torch.Tensor,
        objective: Objective,
        report: Report,
        unit: float,
    ) -> None:
        super().__init__(start)
        pixels = start.detach().clone(memory_format=torch.contiguous_format)
        self.leaf = (pixels / unit).requires_grad_()
        self._unit = unit
        self._objective = objective
        self._report = report
        self._best = (math.inf, self.leaf.detach().clone())
        self._scale = torch.ones((), device=start.device)

    def descend(self, rate: float, evaluations: int) -> None:
        """Run torch's L-BFGS."""
        _lbfgs(self.leaf, rate, evaluations).step(self.evaluate)

    def evaluate(self) -> torch.Tensor:
        """Put the gradient into ``leaf.grad`` and return the loss, both rescaled."""
        if self.budget is not None and self.count >= self.budget:
            raise BudgetUsed
        self.leaf.grad = None
        losses, gradient = evaluate(self._objective, self.pixels(), self._scale)
        gradient = gradient.contiguous()
        total = losses["total"]
        self.leaf.grad = gradient if self._unit == 1.0 else gradient * self._unit
        if self.count == 0:
            self._scale = first_scale(self.leaf.grad)
            self.leaf.grad.mul_(self._scale)
        self._report(self.count, losses)
        # Only L-BFGS has a budget. It reads every loss anyway, so this wait costs nothing.
        if self.budget is not None and (value := float(total)) < self._best[0]:
            self._best = (value, self.leaf.detach().clone())
        self.note(total)
        return total * self._scale

    def go_back(self) -> None:
        """Return to the best picture so far, and reset the record of progress."""
        super().go_back()
        with torch.no_grad():
            self.leaf.copy_(self._best[1])

    def pixels(self) -> torch.Tensor:
        """Return the picture, detached."""
        return self.leaf.detach() * self._unit
