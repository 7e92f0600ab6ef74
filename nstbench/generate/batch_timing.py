"""Times batches of pairs, for the throughput of a method."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from typing import Literal

import torch

from nstbench.contracts import Method, Picture, PreparedPair
from nstbench.core.errors import ran_out_of_memory
from nstbench.generate.clock import sample, timed
from nstbench.generate.traces import ignore

_log = logging.getLogger(__name__)

_LARGEST_BATCH = 16
_REPEATS = 3
# The units of a run show the throughput of slower methods well enough.
_MOST_SECONDS = 1.0


def time_batch(
    method: Method,
    content: Picture,
    device: torch.device,
    wanted: int | Literal["auto"],
    latency: float,
    most_seconds: float = math.inf,
) -> tuple[int, tuple[float, ...], bool]:
    """Time ``stylize_batch`` on copies of one pair, three times after one untimed call.

    Out of memory halves the number of pairs, and a warning says so.

    Args:
        method: a loaded method with a prepared style.
        content: the content of all pairs.
        device: device to synchronise.
        wanted: number of pairs; ``"auto"`` for 16. It is reduced so that the pairs take at most
            a second one by one, and halved each time that memory does not suffice.
        latency: seconds of one pair.
        most_seconds: seconds that the calls may take; fewer pairs are timed if one by one they
            would take longer, and fewer times if they do take longer.

    Returns:
        The number of pairs, the seconds of each batch, and whether ``most_seconds`` left out
        larger or more batches; ``(1, (), limited)`` if no batch was timed.
    """
    most = _LARGEST_BATCH if wanted == "auto" else wanted
    most = min(most, int(_MOST_SECONDS / max(latency, 1e-9)))
    if most <= 1 or not method.does_batches():
        return 1, (), False
    calls = _REPEATS + (2 if device.type == "cuda" else 1)
    count = int(min(most, most_seconds / (calls * max(latency, 1e-9))))
    limited = count < most
    begin = time.perf_counter()
    while count > 1:
        batch = _batch(method, content, count)
        try:
            if device.type == "cuda":
                # the second call of a network records a graph
                batch()
            outputs, seconds = timed(batch, device)
            if any(isinstance(output, BaseException) for output in outputs):
                break
            left = most_seconds - (time.perf_counter() - begin)
            if left < seconds:
                return 1, (), True
            samples = sample(batch, device, _REPEATS, left)
            return count, samples, limited or len(samples) < _REPEATS
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        _log.warning(
            "memory does not suffice for %d pairs at once: %d are tried", count, count // 2
        )
        count //= 2
    return 1, (), limited


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
