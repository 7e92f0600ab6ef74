"""L-BFGS on pixels in buffers that stay in place, so that a GPU replays two CUDA graphs.

One graph evaluates a trial: it moves along the direction, and computes losses, gradient and the
derivative along the direction. The other one accepts a trial, and finds the next direction
(:mod:`nstbench.nn.optimise.inverse_hessian`). The host reads a few numbers per trial, which is the
only time that it waits, and makes the decisions of the line search.

The steps are those of ``torch.optim.LBFGS`` up to rounding.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from nstbench.nn.optimise.held import Held
from nstbench.nn.optimise.inverse_hessian import InverseHessian
from nstbench.nn.optimise.line_search import Point, strong_wolfe
from nstbench.nn.optimise.minimise import (
    HISTORY,
    BudgetUsed,
    Descent,
    Objective,
    Report,
    Search,
    first_scale,
    lbfgs_unit,
    rate_of,
    run_with_restarts,
)
from nstbench.nn.optimise.replay import WARM_UPS, Replayed, may_capture, side_stream


def lbfgs_in_buffers(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return what :func:`nstbench.nn.optimise.minimise.minimise` does, for L-BFGS.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: number of evaluations, at least 1, and learning rate.
        report: receives the index of each evaluation and its losses on the CPU.

    Raises:
        Diverged: see :func:`nstbench.nn.optimise.minimise.minimise`.
    """
    with side_stream(start.device):
        search = _BufferSearch(start, objective, report)
        try:
            run_with_restarts(search, rate_of(descent), descent.iterations)
            search.check()
            return search.final_image()
        finally:
            search.release()


class _BufferSearch(Search):
    """The tensors of a search; unknowns are pixels divided by a unit, in one row."""

    def __init__(self, start: torch.Tensor, objective: Objective, report: Report) -> None:
        super().__init__(start)
        self._objective, self._report = Held(objective), report
        self._unit = lbfgs_unit(start)
        self._pixels = start.detach().clone(memory_format=torch.contiguous_format)
        self._point = (self._pixels / self._unit).flatten()
        self._trial, self._best = self._point.clone(), self._point.clone()
        self._gradient = torch.zeros_like(self._point)
        self._hessian = InverseHessian(start.numel(), HISTORY, start.device)
        self._step, self._slope = (torch.zeros((), device=start.device) for _ in range(2))
        self._scale = torch.ones((), device=start.device)
        self._least = torch.full((), torch.inf, device=start.device)
        self._names: tuple[str, ...] = ()
        self._figures = torch.empty(0)
        # the first evaluation is a warm-up, too
        captures = may_capture(start)
        self._evaluated = Replayed(self._evaluate, captures, WARM_UPS - 1)
        self._advanced = Replayed(self._advance, captures, shared=self._evaluated)

    # -- what the device does ---------------------------------------------------------------

    def _place(self) -> None:
        """Make the trial picture."""
        torch.addcmul(self._point, self._hessian.direction, self._step, out=self._trial)
        torch.mul(self._trial.view_as(self._pixels), self._unit, out=self._pixels)

    def _evaluate(self, first: bool = False) -> None:
        """Compute losses, gradient and slope of the trial, and keep the best trial."""
        self._place()
        losses, gradient = self._objective.evaluate(self._pixels, self._scale)
        torch.mul(gradient, self._unit, out=self._gradient.view_as(self._pixels))
        total = losses["total"].float()
        if first:
            self._scale.copy_(first_scale(self._gradient))
            self._gradient.mul_(self._scale)
            self._names = tuple(losses)
            self._figures = torch.zeros(len(losses) + 4, device=total.device)
        better = total < self._least
        torch.where(better, self._trial, self._best, out=self._best)
        torch.where(better, total, self._least, out=self._least)
        figures = [
            total * self._scale,
            torch.dot(self._gradient, self._hessian.direction),
            self._slope,
            torch.linalg.vector_norm(self._gradient, torch.inf),
        ]
        values = [losses[name].float() for name in self._names]
        torch.stack([*figures, *values], out=self._figures)

    def _advance(self) -> None:
        """Move to the trial, and find the next direction and its slope."""
        self._point.addcmul_(self._hessian.direction, self._step)
        self._hessian.update(self._gradient, self._step)
        self._find_slope()

    def _find_slope(self) -> None:
        self._slope.copy_(torch.dot(self._gradient, self._hessian.direction))

    # -- what the host does -----------------------------------------------------------------

    def descend(self, rate: float, evaluations: int) -> None:
        """Run L-BFGS from the present point; see the base class."""
        self._hessian.start()
        end = self.count + evaluations
        now, _ = self._try(0.0)
        if now.stationary:
            return
        self._hessian.start(self._gradient)
        self._find_slope()
        step = min(1.0, 1.0 / float(self._gradient.abs().sum())) * rate
        while self.count < end:
            limit = end - self.count
            first, slope = self._try(step)
            if slope > 0:
                # rounding has spoilt the direction
                return
            origin = Point(0.0, now.loss, slope, self._hessian.gradient)
            now = strong_wolfe(origin, first, lambda t: self._try(t)[0], self.keep, limit)
            self._restore(now)
            if self.count < end and now.step and not now.stationary:
                self._advanced()
            else:
                self._point.addcmul_(self._hessian.direction, self._step)
                return
            step = rate

    def _try(self, step: float) -> tuple[Point, float]:
        """Return the point at a step along the direction, and the slope at step 0."""
        assert self.budget is not None
        if self.count >= self.budget:
            raise BudgetUsed
        self._step.fill_(step)
        if self._objective.renews(self.count):
            self._place()
            self._objective.renew(self._pixels)
        if self.count == 0:
            self._evaluate(first=True)
        else:
            self._evaluated()
        figures = self._figures.to("cpu", copy=True)
        losses = dict(zip(self._names, figures[4:], strict=True))
        self._report(self.count, losses)
        self.note(losses["total"])
        loss, slope, at_start, largest = figures[:4].tolist()
        return Point(step, loss, slope, stationary=largest <= 0), at_start

    def keep(self, point: Point) -> Point:
        """Return a point with its gradient in a tensor of its own."""
        if point.gradient is not None:
            return point
        return replace(point, gradient=self._gradient.clone())

    def _restore(self, point: Point) -> None:
        """Put step and gradient of a point into the buffers of the last trial."""
        self._step.fill_(point.step)
        if point.gradient is not None:
            self._gradient.copy_(point.gradient)

    def go_back(self) -> None:
        """Return to the best picture so far, and reset the record of progress."""
        super().go_back()
        self._point.copy_(self._best)

    def pixels(self) -> torch.Tensor:
        """Return the picture of the last trial."""
        return self._pixels

    def final_image(self) -> torch.Tensor:
        """Return the picture at the present point; see ``finite_image``."""
        torch.mul(self._point.view_as(self._pixels), self._unit, out=self._pixels)
        return self.finite_image().clone()

    def release(self) -> None:
        """Free the graphs."""
        self._evaluated.release()
        self._advanced.release()
