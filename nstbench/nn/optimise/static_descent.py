"""Adam and SGD on pixels in buffers that stay in place, so that a CUDA graph can replay a step.

A step of image optimisation launches some hundred kernels, which takes a GPU's host longer than
the kernels take. A graph launches all of them at once. It needs fixed addresses: pixels, gradient,
losses and the optimiser's state are allocated once per level of the pyramid. Losses are read every
tenth step only, because reading waits for the device.

The first step runs as usual: it finds the scale of the gradient and lets the libraries allocate
their memory. Steps in which an objective renews its targets run as usual, too. If a step cannot be
captured, all of them do.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.contracts import Diverged
from nstbench.core.errors import ran_out_of_memory
from nstbench.nn.optimise.minimise import (
    CHECK_EVERY,
    EXPLODED,
    Descent,
    Objective,
    Renewing,
    Report,
    first_scale,
    make_optimiser,
)


def minimise_in_buffers(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return what :func:`nstbench.nn.optimise.minimise.minimise` does, for Adam and SGD.

    On a CUDA device, steps are replays of one graph. ``report`` is called for ten steps at a time.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: optimiser and number of evaluations.
        report: receives the index of each evaluation and its losses on the CPU.

    Raises:
        Diverged: see :func:`nstbench.nn.optimise.minimise.minimise`.
    """
    if descent.iterations == 0:
        return start.detach().clone()
    return _Buffers(start, objective, descent, report).run()


def may_capture(pixels: torch.Tensor) -> bool:
    """Return True on a GPU, unless operations are being counted: replays cannot be counted."""
    return pixels.is_cuda and not is_in_torch_dispatch_mode()


class _Buffers:
    """The tensors of one descent, and the loop over its steps."""

    def __init__(
        self, start: torch.Tensor, objective: Objective, descent: Descent, report: Report
    ) -> None:
        self._pixels = start.detach().clone(memory_format=torch.contiguous_format)
        self._pixels.requires_grad_().grad = torch.zeros_like(self._pixels)
        self._objective, self._report, self._count = objective, report, descent.iterations
        self._optimiser = make_optimiser(self._pixels, descent)
        self._scale = torch.ones((), device=start.device)
        self._names: tuple[str, ...] = ()
        self._history = torch.empty(0)
        self._row = torch.zeros(1, dtype=torch.int64, device=start.device)
        self._limit = math.inf
        self._last_finite = start.detach().clamp(0.0, 1.0)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captures = may_capture(start)

    def run(self) -> torch.Tensor:
        """Return the pixels after all steps."""
        for index in range(self._count):
            if index == 0 or self._renews(index) or not self._replayed(index):
                self._run_step(index)
            done = index + 1
            if done % CHECK_EVERY == 0 or done == self._count:
                self._read(index - index % CHECK_EVERY, done)
        image = self._pixels.detach()
        if not bool(torch.isfinite(image).all()):
            raise Diverged(self._count, self._last_finite)
        return image

    def _renews(self, index: int) -> bool:
        return isinstance(self._objective, Renewing) and index % self._objective.every == 0

    def _run_step(self, index: int) -> None:
        """Run a step without the graph."""
        if isinstance(self._objective, Renewing):
            self._objective.at(index)
        self._step(first=index == 0)

    def _replayed(self, index: int) -> bool:
        """Replay a step; return False if steps cannot be captured."""
        if self._captures and self._graph is None:
            self._captures = self._capture(index)
        if self._graph is None:
            return False
        self._graph.replay()
        return True

    def _capture(self, index: int) -> bool:
        """Record a step without running it; return whether that worked."""
        if isinstance(self._objective, Renewing):
            self._objective.at(index)
        graph = torch.cuda.CUDAGraph()
        try:
            with self._capturable(), torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:
            # a device that is lost, and not only unable to capture, raises here again
            torch.cuda.synchronize(self._pixels.device)
            if ran_out_of_memory(error):
                raise
            return False
        self._graph = graph
        return True

    @contextlib.contextmanager
    def _capturable(self) -> Iterator[None]:
        """Let a graph capture the optimiser, which warns where this is set without a graph."""
        groups = [group for group in self._optimiser.param_groups if "capturable" in group]
        for group in groups:
            group["capturable"] = True
        try:
            yield
        finally:
            for group in groups:
                group["capturable"] = False

    def _step(self, first: bool = False) -> None:
        """Evaluate losses and gradient, note the losses, and move the pixels; all in place."""
        gradient = self._pixels.grad
        assert gradient is not None
        leaf = self._pixels.detach().requires_grad_()
        with torch.enable_grad():
            losses = self._objective(leaf)
            (new,) = torch.autograd.grad(losses["total"] * self._scale, leaf)
        gradient.copy_(new)
        if first:
            self._names = tuple(losses)
            shape = (CHECK_EVERY, len(self._names))
            self._history = torch.zeros(shape, device=leaf.device)
            self._scale.copy_(first_scale(gradient))
            gradient.mul_(self._scale)
        values = torch.stack([losses[name].detach().float() for name in self._names])
        self._history.index_copy_(0, self._row, values[None])
        self._row.add_(1).remainder_(CHECK_EVERY)
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
