"""Run a function of buffers, and replay it as a CUDA graph after a few calls.

An evaluation of the loss launches some hundred kernels, which takes a GPU's host longer than the
kernels take. A graph launches all of them at once. It needs fixed addresses: everything that the
function reads or writes must be a buffer that was allocated before.

Graphs of one minimisation share their memory. Those of two levels of a pyramid do not: the graph
of a level is freed before the next level records its own, and its memory with it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from nstbench.nn.cuda_graphs import record_graph

_log = logging.getLogger(__name__)

WARM_UPS = 3
"""Ordinary calls before a graph is recorded, as torch advises: libraries and autograd then have
chosen their kernels and allocated their workspaces."""


def may_capture(pixels: torch.Tensor) -> bool:
    """Return True on a GPU, unless operations are being counted: replays cannot be counted."""
    return pixels.is_cuda and not is_in_torch_dispatch_mode()


@contextlib.contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Let a GPU compute in a stream of its own, as recording demands; CPUs have none.

    Work before the block ends first, and work after the block waits for it.
    """
    if device.type != "cuda":
        yield
        return
    current, stream = torch.cuda.current_stream(device), _stream(device)
    stream.wait_stream(current)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        current.wait_stream(stream)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


class Replayed:
    """A function of buffers; on a GPU, a graph after some ordinary calls.

    Args:
        work: reads and writes buffers, without waiting for the device. It is called inside
            :func:`side_stream`.
        captures: record a graph. If that fails, the reason is logged, and all calls are ordinary.
        warm_ups: ordinary calls before.
        shared: another function whose graph may use the same memory, because the results of both
            are buffers.
    """

    def __init__(
        self,
        work: Callable[[], None],
        captures: bool,
        warm_ups: int = WARM_UPS,
        shared: Replayed | None = None,
    ) -> None:
        self._work = work
        self._captures = captures
        self._before = warm_ups
        self._shared = shared
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run or replay the function once."""
        if self._captures and self._graph is None and self._before <= 0:
            self._captures = self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._before -= 1
            self._work()

    def release(self) -> None:
        """Free the graph and its memory at once; the function must not be called any more.

        The function usually belongs to the object that calls it. Without this, both would wait for
        the garbage collector.
        """
        del self._work, self._graph, self._shared

    def _capture(self) -> bool:
        """Record the function without running it; return whether that worked."""
        before = self._shared._graph if self._shared is not None else None
        pool = before.pool() if before is not None else None
        try:
            graph = record_graph(self._work, torch.cuda.current_stream(), pool)
        # CUDA, torch and plug-ins raise many classes here; what is wrong for good is raised again
        # by the next ordinary call
        except Exception as error:
            _log.warning("steps are not replayed as a CUDA graph, which is slower: %s", error)
            return False
        self._graph = graph
        return True
