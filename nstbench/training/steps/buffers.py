"""Steps of a training in buffers that stay in place, so that a CUDA graph can replay them.

A step launches several hundred kernels. That takes longer on the host of a GPU than the kernels
take themselves. A graph launches all of them at once. It needs fixed addresses: the numbers of
many steps are drawn ahead and copied to one buffer on the device, in which a counter on the device
finds the row of the present step; the sums of the losses and the learning rates stay in place, too.

CPUs run the same operations without a graph. So do the first steps on a GPU, in which libraries
allocate their memory, trainings in several processes, and steps that cannot be captured.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.core.errors import message_of
from nstbench.nn.cuda_graphs import record_graph
from nstbench.training.steps.crops import Source
from nstbench.training.trainable import Batch, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_log = logging.getLogger(__name__)

WARM_UP = 3
"""Number of steps of a phase that run before it is captured."""

_MOST_AHEAD, _BYTES_AHEAD = 64, 8 << 20


class Steps:
    """Runs the steps of a training, in any order, and sums up their losses.

    Args:
        fabric: Lightning Fabric, launched.
        training: networks and their training step; the networks are on the device.
        source: makes the batches.
        capture: let a CUDA graph replay the steps where that is possible.

    Attributes:
        training: the training.
        source: makes the batches.
        sums: sum of every loss since ``count`` was last 0, float64 on the device.
        count: number of steps in ``sums``.
        phase: the phase of the last step, see :meth:`Training.phase`; ``None`` before the first.
        captured: True while steps are replayed.
    """

    def __init__(
        self, fabric: Fabric, training: Training, source: Source, *, capture: bool = True
    ) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0
        self.phase: int | None = None
        self._fabric, self.training, self.source = fabric, training, source
        self._ahead: dict[str, torch.Tensor] = {}
        self._next, self._end = -1, -1
        # by phase: a training may go to and fro between its phases
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._runs: dict[int, int] = {}
        self._rates: dict[str, list[torch.Tensor]] = {}
        self._shown: dict[str, list[float]] = {}
        device = fabric.device
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None
        self._captures = capture and on_gpu and fabric.world_size == 1
        with self.on_stream():
            self._row = torch.zeros(1, dtype=torch.int64, device=device)
            self.prepare_optimisers()
        for network in training.networks.values():
            network.train()

    @property
    def captured(self) -> bool:
        """True while the steps of the last phase are replays of a graph."""
        return self.phase in self._graphs

    @contextlib.contextmanager
    def on_stream(self) -> Iterator[None]:
        """Launch what the block computes after the steps that were launched before it."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            yield

    def synchronize(self) -> None:
        """Wait until the device has done all steps."""
        if self.stream is not None:
            self.stream.synchronize()

    def run(self, index: int) -> None:
        """Launch step number ``index`` without waiting for the device."""
        with self.on_stream():
            self._look_ahead(index)
            phase = self.training.phase(index)
            runs = self._begin_phase(phase)
            self._show_rates()
            if not self._replayed(phase):
                self._step()
            if runs < WARM_UP:
                # Trainings share frozen weights, which the first step arranges for the device.
                self.synchronize()
            self._runs[phase] = runs + 1
            self._next = index + 1
            self.count += 1
            for scheduler in self.training.schedulers.values():
                scheduler.step()

    def sample_batch(self) -> Batch:
        """Return the batch of the sample sheet."""
        numbers = self._numbers(-1)
        return self._batch({n: t.to(self._fabric.device) for n, t in numbers.items()})

    def forget_losses(self) -> None:
        """Begin new sums of the losses."""
        self.count = 0
        for total in self.sums.values():
            total.zero_()

    def prepare_optimisers(self) -> None:
        """Let the optimisers keep their state on the device; call it after loading a state."""
        for name, optimiser in self.training.optimisers.items():
            can = all("capturable" in group for group in optimiser.param_groups)
            if self._captures and not can:
                self._leave_out(f"the optimiser {name} cannot be captured")
            on_gpu = self.stream is not None and self._fabric.world_size == 1 and can
            for group in optimiser.param_groups if can else ():
                group["capturable"] = on_gpu
                if "fused" in group:
                    group["fused"] = True if on_gpu else None
            if on_gpu:
                # It is captured, but not in the first steps, of which torch would warn.
                optimiser._warned_capturable_if_run_uncaptured = True
                groups = optimiser.param_groups
                device = self._fabric.device
                self._rates[name] = [torch.zeros((), device=device) for _ in groups]
                self._shown[name] = [0.0 for _ in groups]

    # -- what a step needs --------------------------------------------------------------------

    def _look_ahead(self, index: int) -> None:
        """Put the numbers of a step and of the next ones on the device."""
        if index == self._next and index < self._end:
            return
        first = self._numbers(index)
        if not self._ahead:
            size = sum(tensor.nbytes for tensor in first.values())
            rows = max(1, min(_MOST_AHEAD, _BYTES_AHEAD // max(1, size)))
            self._ahead = {
                name: torch.empty(
                    (rows, *tensor.shape), dtype=tensor.dtype, device=self._row.device
                )
                for name, tensor in first.items()
            }
        rows = len(next(iter(self._ahead.values())))
        steps = [first, *(self._numbers(index + i) for i in range(1, rows))]
        for name, buffer in self._ahead.items():
            drawn = torch.stack([numbers[name] for numbers in steps])
            if self.stream is not None:
                # torch keeps pinned memory until the copy is done
                drawn = drawn.pin_memory()
            buffer.copy_(drawn, non_blocking=True)
        self._row.zero_()
        self._next, self._end = index, index + rows

    def _numbers(self, index: int) -> dict[str, torch.Tensor]:
        """Return the numbers of the crops of a step and the draws of the training, on the host."""
        numbers, random = self.source.numbers(index)
        if type(self.training).draws is not Training.draws:
            generator = torch.Generator().manual_seed(int(random.integers(2**62)))
            drawn = self.training.draws(max(0, index), generator)
            numbers |= {f"draws.{name}": tensor for name, tensor in drawn.items()}
        return numbers

    def _batch(self, numbers: Mapping[str, torch.Tensor]) -> Batch:
        batch = self.source.crops(numbers)
        prefix = "draws."
        draws = {n.removeprefix(prefix): t for n, t in numbers.items() if n.startswith(prefix)}
        return Batch(batch.contents, batch.styles, draws, self.phase or 0)

    def _present_batch(self) -> Batch:
        return self._batch(
            {name: rows.index_select(0, self._row)[0] for name, rows in self._ahead.items()}
        )

    def _begin_phase(self, phase: int) -> int:
        """Return the number of steps of the phase so far; enter it if it is new."""
        entered = phase == self.phase or phase in self._runs
        self.phase = phase
        if not entered:
            self.training.enter(phase, self._present_batch())
        return self._runs.get(phase, 0)

    def _show_rates(self) -> None:
        """Copy learning rates that have changed to the device."""
        for name, rates in self._rates.items():
            groups = self.training.optimisers[name].param_groups
            for place, (group, rate) in enumerate(zip(groups, rates, strict=True)):
                if group["lr"] != self._shown[name][place]:
                    self._shown[name][place] = float(group["lr"])
                    rate.fill_(float(group["lr"]))

    # -- the step -----------------------------------------------------------------------------

    def _step(self) -> None:
        """Run one step. Everything here can be captured."""
        losses = self.training.step(self._present_batch(), self._descend)
        for name, value in losses.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros((), dtype=torch.float64, device=value.device)
            self.sums[name].add_(value.detach())
        self._row.add_(1)

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        optimiser = self.training.optimisers[name]
        # In a captured step, new gradients get addresses that belong to the graph.
        optimiser.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        if self._fabric.world_size > 1:
            self._average_gradients(optimiser)
        with self._rates_on_device(name, optimiser):
            optimiser.step()

    def _average_gradients(self, optimiser: Optimizer) -> None:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    mean = self._fabric.all_reduce(parameter.grad, reduce_op="mean")
                    assert isinstance(mean, torch.Tensor)
                    parameter.grad = mean

    @contextlib.contextmanager
    def _rates_on_device(self, name: str, optimiser: Optimizer) -> Iterator[None]:
        """Let the optimiser read learning rates on the device; schedules need them as numbers."""
        groups: list[dict[str, Any]] = optimiser.param_groups if name in self._rates else []
        numbers = [group["lr"] for group in groups]
        for group, rate in zip(groups, self._rates.get(name, ()), strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number

    # -- the graph ----------------------------------------------------------------------------

    def _replayed(self, phase: int) -> bool:
        """Replay a step; return False if there is no graph, or if operations are counted."""
        if is_in_torch_dispatch_mode():
            return False
        if self._captures and phase not in self._graphs and self._runs.get(phase, 0) >= WARM_UP:
            self._capture(phase)
        if phase not in self._graphs:
            return False
        self._graphs[phase].replay()
        return True

    def _capture(self, phase: int) -> None:
        """Record a step without running it; if that fails, all steps run without a graph."""
        try:
            self._graphs[phase] = record_graph(self._step, self.stream)
        except (RuntimeError, AssertionError) as error:
            self._leave_out(message_of(error))

    def _leave_out(self, reason: str) -> None:
        self._captures = False
        _log.warning("the steps of this training run without a CUDA graph: %s", reason)
