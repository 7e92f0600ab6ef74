"""Call a network by replaying a CUDA graph: one launch instead of one per kernel.

A pass through a trained network launches some hundred kernels, which takes a GPU's host longer
than the kernels take. A graph of them is recorded once per network and shapes, with inputs and
output at fixed addresses. Everything that differs between two calls must be an input of the
network: pixels, conditions of a style, noise.

The graphs of a network share their memory, because only one of them runs at a time. They are
freed together with the network, for example when a method opens another checkpoint.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.core.errors import ran_out_of_memory
from nstbench.nn.cuda_graphs import record_graph

_log = logging.getLogger(__name__)

MOST_GRAPHS = 4
"""Graphs of a network; the least recently used one is dropped for a fifth."""

_WARM_UPS = 3

Inputs = tuple[torch.Tensor, ...]
Shapes = tuple[tuple[torch.Size, torch.dtype], ...]


class Recorded:
    """A pass at fixed addresses.

    Args:
        function: computes an output of tensors, without waiting for the device.
        inputs: example inputs; they are copied.
        record: records a call of a function without arguments and returns the function that
            repeats it. :func:`graph` is that of CUDA. On a CPU, a function that calls again what
            it is given shows the same behaviour.
    """

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        inputs: Inputs,
        record: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        # tensors of the inference mode could not be written outside of it
        with torch.inference_mode(False), torch.no_grad():
            self._inputs = tuple(each.clone() for each in inputs)
        self._outputs: list[torch.Tensor] = []

        def once() -> None:
            # the tensor of the last call is the one that a repetition writes to
            self._outputs[:] = [function(*self._inputs)]

        self._repeat = record(once)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the output for inputs of the recorded shapes, in memory of its own."""
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._repeat()
        return self._outputs[0].clone()


def graph(device: torch.device, pool: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Return a function that records a call as a CUDA graph, and returns the graph's replay.

    Args:
        device: the device of all tensors.
        pool: ``torch.cuda.graph_pool_handle()``; graphs with the same one share memory.
    """

    def record(call: Callable[[], None]) -> Callable[[], None]:
        # libraries allocate and choose their kernels in the first calls
        stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                call()
        current.wait_stream(stream)
        return record_graph(call, pool=pool).replay

    return record


class Graphs:
    """The graphs of one network, one for each combination of shapes that was seen twice.

    A shape that is seen once only, as with photographs of many sizes, would not be worth the
    recording.

    Args:
        most: number of graphs that are kept.
    """

    def __init__(self, most: int = MOST_GRAPHS) -> None:
        self._most = most
        self._recorded: OrderedDict[Shapes, Recorded | None] = OrderedDict()
        self._refused: set[Shapes] = set()
        self._pool: Any = None
        self._works = True

    def __len__(self) -> int:
        """Return the number of recorded graphs."""
        return sum(recorded is not None for recorded in self._recorded.values())

    def call(
        self,
        function: Callable[..., torch.Tensor],
        inputs: Inputs,
        recorder: Callable[[], Callable[[Callable[[], None]], Callable[[], None]]],
    ) -> torch.Tensor:
        """Return ``function(*inputs)``, from the second call of these shapes on by a graph.

        Args:
            function: computes the output.
            inputs: its arguments.
            recorder: returns the function that records; see :class:`Recorded`.
        """
        shapes = tuple((each.shape, each.dtype) for each in inputs)
        if not self._works or shapes in self._refused:
            return function(*inputs)
        if shapes not in self._recorded:
            output = function(*inputs)
            self._keep(shapes, None)
            return output
        recorded = self._recorded[shapes]
        if recorded is None:
            try:
                recorded = Recorded(function, inputs, recorder())
            except RuntimeError as error:
                self._give_up(shapes, error)
                return function(*inputs)
        self._keep(shapes, recorded)
        return recorded(*inputs)

    def pool(self) -> Any:
        """Return the memory pool of this network's graphs on CUDA."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool

    def _keep(self, shapes: Shapes, recorded: Recorded | None) -> None:
        self._recorded[shapes] = recorded
        self._recorded.move_to_end(shapes)
        while len(self) > self._most or len(self._recorded) > 4 * self._most:
            oldest = next(iter(self._recorded))
            if self._recorded[oldest] is not None and torch.cuda.is_initialized():
                torch.cuda.synchronize()
            del self._recorded[oldest]

    def _give_up(self, shapes: Shapes, error: RuntimeError) -> None:
        """Record no graph of these shapes, or none at all if memory was not the reason."""
        self._works = ran_out_of_memory(error)
        self._refused.add(shapes)
        self._recorded.pop(shapes)
        sizes = ", ".join(str(tuple(shape)) for shape, _ in shapes)
        _log.warning("no CUDA graph can be recorded for inputs of %s: %s", sizes, error)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


_GRAPHS: WeakKeyDictionary[nn.Module, Graphs] = WeakKeyDictionary()


def graphs_of(network: nn.Module) -> Graphs:
    """Return the graphs of a network; they live as long as it does."""
    return _GRAPHS.setdefault(network, Graphs())


def may_record(inputs: Sequence[torch.Tensor]) -> bool:
    """Return True for a GPU, unless operations are being counted: replays cannot be counted."""
    cuda = bool(inputs) and all(each.is_cuda for each in inputs)
    gradients = torch.is_grad_enabled() and any(each.requires_grad for each in inputs)
    return cuda and not gradients and not is_in_torch_dispatch_mode()


def replayed(network: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """Return ``network(*inputs)``; on a GPU by a graph, once shapes have repeated.

    Args:
        network: a frozen network whose arguments are tensors.
        inputs: all on one device. Other tensors that the network uses must stay in place.
    """
    if not may_record(inputs):
        output: torch.Tensor = network(*inputs)
        return output
    device = inputs[0].device
    graphs = graphs_of(network)
    with torch.cuda.device(device):
        return graphs.call(network, inputs, lambda: graph(device, graphs.pool()))
