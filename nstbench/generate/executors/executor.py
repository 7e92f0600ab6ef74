"""The interface of executors and workers. The store gives the guarantees, an executor the speed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from nstbench.core.records import Timing, Unit, UnitRecord
from nstbench.generate.method_timing import TimingRequest

Event = dict[str, Any]
OnStep = Callable[[Unit, int, int], None]
"""Receives a unit, a step and the number of steps; both are 0 when the unit begins."""


class WorkerError(Exception):
    """A worker ended before it answered a request."""


class WorkerDiedError(WorkerError):
    """The worker process ended by itself or was lost."""


class WorkerTimeoutError(WorkerError):
    """The worker did not answer within its time limit."""


class WorkerMemoryError(WorkerError):
    """The worker and the processes it started exceeded their memory limit."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker process.

    Attributes:
        store: run folder.
        device: torch device.
        threads: CPU threads.
        timeout: seconds that a request may take.
        memory_limit: bytes that the worker and the processes it starts may keep resident;
            None for no limit.
        pairs_per_batch: most units in one request; ``"auto"`` for as many as fit into memory.
        log: name of its log in the run folder's ``logs``.
    """

    store: Path
    device: str
    threads: int
    timeout: float
    memory_limit: int | None = None
    pairs_per_batch: int | Literal["auto"] = 1
    log: str = "worker.log"


class Worker(Protocol):
    """A process that answers one request at a time."""

    def ask(self, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request and return the event that ends it; earlier events go to ``on_event``.

        Raises:
            WorkerTimeoutError: if no answer came in time; the worker has been killed.
            WorkerMemoryError: if the memory limit was exceeded; the worker has been killed.
            WorkerDiedError: if the worker ended.
        """
        ...

    def close(self) -> None:
        """Stop the worker and everything it started."""
        ...

    def kill(self) -> None:
        """Stop the worker at once. May be called from any thread."""
        ...


class Executor(Protocol):
    """Runs units and timings in workers."""

    def run(
        self,
        units: Sequence[Unit],
        on_step: OnStep,
        costs: Mapping[str, float] | None = None,
        outdated: Mapping[str, str] | None = None,
        batched: Collection[str] = (),
    ) -> Iterator[tuple[Unit, UnitRecord]]:
        """Run units and yield each with its record, in the order in which they finish.

        Args:
            units: the units to run.
            on_step: receives the progress of units, in the caller's thread.
            costs: variant -> expected seconds of a unit; decides the order.
            outdated: key -> ``finished`` of records that exist and do not count.
            batched: variants whose methods can process several pairs at once.
        """
        ...

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method alone on its device; return the message of a failure."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Return a block during which no unit is a sample of speed.

        None runs, or several do, or they are recorded as not alone.
        """
        ...

    def goes_on(self) -> bool:
        """Return True if units run during :meth:`paused`."""
        ...

    def finish(self) -> None:
        """Begin no further unit; :meth:`run` ends when the running units are done."""
        ...

    def close(self) -> None:
        """Stop all workers; units that are still running have no result."""
        ...
