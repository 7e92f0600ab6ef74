"""Adam and SGD on pixels in buffers that stay in place, so that a CUDA graph can replay a step.

Pixels, gradient, losses and the optimiser's state are allocated once per level of the pyramid.
Losses are read every tenth step only, because reading waits for the device. The first steps run as
usual (:mod:`nstbench.nn.optimise.replay`); the first one finds the scale of the gradient. New
targets of an objective are found between two replays.
"""

from __future__ import annotations

import math

import torch

from nstbench.contracts import Diverged
from nstbench.nn.optimise.held import Held
from nstbench.nn.optimise.minimise import (
    CHECK_EVERY,
    EXPLODED,
    Descent,
    Objective,
    Report,
    first_scale,
    make_optimiser,
)
from nstbench.nn.optimise.replay import WARM_UPS, Replayed, may_capture, side_stream


def descend_in_buffers(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return what :func:`nstbench.nn.optimise.minimise.minimise` does, for Adam and SGD.

    On a CUDA device, steps are replays of one graph. ``report`` is called for ten steps at a time.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: optimiser and number of evaluations, at least 1.
        report: receives the index of each evaluation and its losses on the CPU.

    Raises:
        Diverged: see :func:`nstbench.nn.optimise.minimise.minimise`.
    """
    with side_stream(start.device):
        return _Buffers(start, objective, descent, report).run()


class _Buffers:
    """The tensors of one descent, and the loop over its steps."""

    def __init__(
        self, start: torch.Tensor, objective: Objective, descent: Descent, report: Report
    ) -> None:
        self._pixels = start.detach().clone(memory_format=torch.contiguous_format)
        self._pixels.requires_grad_().grad = torch.zeros_like(self._pixels)
        self._objective, self._report, self._count = Held(objective), report, descent.iterations
        self._optimiser = make_optimiser(self._pixels, descent)
        self._scale = torch.ones((), device=start.device)
        self._names: tuple[str, ...] = ()
        self._history = torch.empty(0)
        self._row = torch.zeros(1, dtype=torch.int64, device=start.device)
        self._limit = math.inf
        self._last_finite = start.detach().clamp(0.0, 1.0)
        # the first step is a warm-up, too
        self._replayed = Replayed(self._step, may_capture(start), WARM_UPS - 1)

    def run(self) -> torch.Tensor:
        """Return the pixels after all steps."""
        try:
            for index in range(self._count):
                self._run_step(index)
                done = index + 1
                if done % CHECK_EVERY == 0 or done == self._count:
                    self._read(index - index % CHECK_EVERY, done)
        finally:
            self._replayed.release()
        image = self._pixels.detach()
        if not bool(torch.isfinite(image).all()):
            raise Diverged(self._count, self._last_finite)
        return image

    def _run_step(self, index: int) -> None:
        if self._objective.renews(index):
            self._objective.renew(self._pixels.detach())
        if index == 0:
            self._step(first=True)
        else:
            self._replayed()

    def _step(self, first: bool = False) -> None:
        """Evaluate losses and gradient, note the losses, and move the pixels; all in place."""
        gradient = self._pixels.grad
        assert gradient is not None
        losses, new = self._objective.evaluate(self._pixels, self._scale)
        gradient.copy_(new)
        if first:
            self._names = tuple(losses)
            self._history = torch.zeros(CHECK_EVERY, len(self._names), device=gradient.device)
            self._scale.copy_(first_scale(gradient))
            gradient.mul_(self._scale)
        values = torch.stack([losses[name].float() for name in self._names])
        self._history.index_copy_(0, self._row, values[None])
        self._row.add_(1).remainder_(CHECK_EVERY)
        self._optimise()

    def _optimise(self) -> None:
        """Move the pixels; Adam must know of a graph, and warns if it is told without one."""
        recording = self._pixels.is_cuda and torch.cuda.is_current_stream_capturing()
        for group in self._optimiser.param_groups:
            if "capturable" in group:
                group["capturable"] = recording
        self._optimiser.step()

    def _read(self, begin: int, end: int) -> None:
        """Report the losses of steps ``begin`` to ``end`` - 1, and check them."""
        rows = self._history[: end - begin].to("cpu", copy=True)
        for index, row in zip(range(begin, end), rows, strict=True):
            self._report(index, dict(zip(self._names, row, strict=True)))
        totals = rows[:, self._names.index("total")]
        if begin == 0:
            self._limit = float(totals.max()) * EXPLODED
        bad = (~torch.isfinite(totals) | (totals > self._limit)).nonzero()
        if len(bad):
            raise Diverged(begin + int(bad[0]), self._last_finite)
        self._last_finite = self._pixels.detach().clamp(0.0, 1.0)
