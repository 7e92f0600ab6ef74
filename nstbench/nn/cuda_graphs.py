"""Record CUDA graphs, and leave the device usable where that fails."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch


def record_graph(
    work: Callable[[], None], stream: torch.cuda.Stream | None = None, pool: Any = None
) -> torch.cuda.CUDAGraph:
    """Return a graph of what ``work`` launches; nothing of it is run.

    Args:
        work: launches kernels on tensors that stay in place, without waiting for the device. It
            has been called a few times before, so that libraries have allocated their memory.
        stream: the stream to record; torch's own one for recordings if ``None``.
        pool: memory pool to share, from ``graph.pool()`` or ``torch.cuda.graph_pool_handle()``.

    Raises:
        Exception: what ``work`` raised, or CUDA when it refused an operation. A device that is
            lost, and not only unable to record, raises here, too.
    """
    graph = torch.cuda.CUDAGraph()
    # objects that are freed at this time could call what a recording stream refuses
    collects = gc.isenabled()
    gc.disable()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            work()
    except Exception as error:
        _recover(graph)
        # the end of a recording that was broken off raises an error of its own
        if isinstance(error.__context__, Exception):
            raise error.__context__ from None
        raise
    finally:
        if collects:
            gc.enable()
    return graph


# torch's allocator keeps a reference to a graph whose recording has failed
_failed: list[torch.cuda.CUDAGraph] = []


def _recover(failed: torch.cuda.CUDAGraph) -> None:
    """Wait for the device, and end the recording for torch's random generator.

    The generator learns of the end of a recording only if it succeeds. Until then, every random
    number on the device is refused.
    """
    torch.cuda.synchronize()
    _failed.append(failed)
    with torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
        torch.zeros(1, device="cuda")
