"""Executors: where units run. The store gives the guarantees, an executor only the speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from nstbench.records import Timing, Unit
from nstbench.runner import TimingRequest

OnStep = Callable[[Unit, int, int], None]


class Executor(Protocol):
    """What every executor can do."""

    def run(self, units: Sequence[Unit], on_step: OnStep) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Run units and yield each with its record, in the order in which they finish."""
        ...

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method alone on its device; a failure is its message."""
        ...

    def close(self) -> None:
        """Stop all workers."""
        ...
