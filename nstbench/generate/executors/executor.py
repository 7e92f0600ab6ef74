"""Executors: where units run. The store gives the guarantees, an executor only the speed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from nstbench.core.records import Timing, Unit, UnitRecord
from nstbench.generate.method_timing import TimingRequest

Event = dict[str, Any]
OnStep = Callable[[Unit, int, int], None]
"""Receives a unit, a step and the number of steps; both are 0 when the unit begins."""


class WorkerDied(Exception):  # noqa: N818  an event, not a mistake of this program
    """The worker process ended without an answer."""


class WorkerTimeout(Exception):  # noqa: N818  an event, not a mistake of this program
    """The worker did not answer in time."""


class WorkerOutOfMemory(Exception):  # noqa: N818  an event, not a mistake of this program
    """The worker and what it started took more memory than they may."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker process is started with.

    Attributes:
        store: run folder.
        device: torch device.
        threads: CPU threads.
        timeout: seconds that a request may take.
        memory_limit: bytes that the worker and what it starts may keep resident.
        pairs_per_batch: most units that a request may hold; ``"auto"`` for as many as fit.
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
    """A process that does one request at a time."""

    def ask(self, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request and return the event that ends it; the events before go to ``on_event``.

        Raises:
            WorkerTimeout: if no answer came in time; the worker is gone.
            WorkerOutOfMemory: if it took too much memory; the worker is gone.
            WorkerDied: if it ended.
        """
        ...

    def close(self) -> None:
        """Stop the worker and everything it started."""
        ...

    def kill(self) -> None:
        """Stop the worker at once, from whatever thread."""
        ...


class Executor(Protocol):
    """What every executor can do."""

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
            units: what to run.
            on_step: receives the progress of units, in the caller's thread.
            costs: variant -> expected seconds of a unit, for the order.
            outdated: key -> ``finished`` of records that exist and do not count.
            batched: variants whose methods can do several pairs at once.
        """
        ...

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method alone on its device; a failure is its message."""
        ...

    def finish(self) -> None:
        """Begin no further unit; :meth:`run` ends when those in work are done."""
        ...

    def close(self) -> None:
        """Stop all workers; units in work have no result."""
        ...
