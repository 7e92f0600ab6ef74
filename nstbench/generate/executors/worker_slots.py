"""The workers of an executor, one per slot: started on first use, ended after a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nstbench.core.errors import NstbenchError, UsageError
from nstbench.generate.executors.executor import (
    Event,
    Worker,
    WorkerDiedError,
    WorkerMemoryError,
    WorkerSettings,
    WorkerTimeoutError,
)

StartWorker = Callable[[WorkerSettings, Callable[[], bool]], Worker]
"""Starts a worker and waits until it is ready; the second argument tells when to give up."""

_START_TRIES = 3


class WorkerSlots:
    """Starts, keeps and ends the worker of each slot. All methods may be called from any thread.

    Args:
        settings: slot -> settings of its worker.
        start: starts a worker; see :meth:`nstbench.generate.executors.pool.PoolExecutor._start`.

    Attributes:
        settings: as given.
        closing: True once the executor is being closed; no worker is started after that.
    """

    def __init__(self, settings: Mapping[int, WorkerSettings], start: StartWorker) -> None:
        self.settings = dict(settings)
        self.closing = False
        self._start = start
        self._workers: dict[int, Worker] = {}

    def __contains__(self, slot: int) -> bool:
        """Return True if the slot has a worker."""
        return slot in self._workers

    def get(self, slot: int, cancelled: Callable[[], bool] = lambda: False) -> Worker:
        """Return the worker of a slot; start one if there is none.

        Args:
            slot: number of the slot.
            cancelled: returns True during a long start once the worker is not needed any more.

        Raises:
            WorkerDiedError: if the executor is closing or the start was cancelled.
            UsageError: if the memory limit is below what a worker needs to start.
            NstbenchError: if no worker can be started.
        """
        if slot not in self._workers:
            self._workers[slot] = self._start_worker(self.settings[slot], cancelled)
        if self.closing:
            self.end(slot)
            raise WorkerDiedError("it was stopped")
        return self._workers[slot]

    def ask(self, slot: int, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request to the worker of a slot; see :meth:`Worker.ask`.

        A worker that lost its GPU during the request is ended, and the next request starts another.

        Raises:
            WorkerError: see :meth:`Worker.ask` and :meth:`get`.
        """
        event = self.get(slot).ask(request, on_event)
        if event.get("lost"):
            self.end(slot)
        return event

    def end(self, slot: int) -> None:
        """Stop the worker of a slot, if it has one."""
        worker = self._workers.pop(slot, None)
        if worker is not None:
            worker.close()

    def end_all(self, keep: int | None = None) -> None:
        """Stop the workers of all slots, except that of the slot ``keep``."""
        for slot in list(self._workers):
            if slot != keep:
                self.end(slot)

    def kill_all(self) -> None:
        """Kill all workers at once; they stay listed until :meth:`end_all`."""
        for worker in list(self._workers.values()):
            worker.kill()

    def _start_worker(self, settings: WorkerSettings, cancelled: Callable[[], bool]) -> Worker:
        for tries_left in reversed(range(_START_TRIES)):
            try:
                return self._start(settings, lambda: self.closing or cancelled())
            except WorkerMemoryError as error:
                raise UsageError(f"--memory-limit: {error}.") from None
            except (WorkerDiedError, WorkerTimeoutError) as error:
                if self.closing or cancelled():
                    raise WorkerDiedError(str(error)) from None
                if not tries_left:
                    raise NstbenchError(f"No worker process can be started: {error}") from None
        raise AssertionError("the last try returns or raises")
