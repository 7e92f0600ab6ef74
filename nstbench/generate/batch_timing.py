"""Times batches of pairs, for the throughput of a method."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch

from nstbench.contracts import Method, Picture, PreparedPair
from nstbench.core.errors import ran_out_of_memory
from nstbench.generate.clock import sample, timed
from nstbench.generate.traces import ignore

_LARGEST_BATCH = 16
_REPEATS = 3
# The units of a run show the throughput of slower methods well enough.
_MOST_SECONDS = 10.0


def time_batch(
    method: Method,
    content: Picture,
    device: torch.device,
    wanted: int | Literal["auto"],
    latency: float,
) -> tuple[int, tuple[float, ...]]:
    """Time ``stylize_batch`` on copies of one pair, three times after one untimed call.

    Args:
        method: a loaded method with a prepared style.
        content: the content of all pairs.
        device: device to synchronise.
        wanted: number of pairs; ``"auto"`` for 16. It is reduced so that the pairs take at most
            10 s one by one, and halved each time that memory does not suffice.
        latency: seconds of one pair.

    Returns:
        The number of pairs and the seconds of each batch; ``(1, ())`` if no batch was timed.
    """
    most = _LARGEST_BATCH if wanted == "auto" else wanted
    count = min(most, int(_MOST_SECONDS / max(latency, 1e-9)))
    while count > 1 and method.does_batches():
        batch = _batch(method, content, count)
        try:
            outputs, _ = timed(batch, device)
            if any(isinstance(output, BaseException) for output in outputs):
                break
            return count, sample(batch, device, _REPEATS)
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        count //= 2
    return 1, ()


def _batch(method: Method, content: Picture, count: int) -> Callable[[], list[object]]:
    """Return a call of ``stylize_batch`` with ``count`` pairs that differ in their seed."""

    def stylize() -> list[object]:
        pairs = [
            PreparedPair(
                method=copy.copy(method),
                style="",
                content=content,
                generator=torch.Generator().manual_seed(place),
                on_step=ignore,
            )
            for place in range(count)
        ]
        return list(method.stylize_batch(pairs))

    return stylize
