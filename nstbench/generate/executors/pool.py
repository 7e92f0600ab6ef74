"""The common part of all executors: one thread per slot, one worker per slot."""

from __future__ import annotations

import contextlib
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from pydantic import TypeAdapter

from nstbench.core.records import Timing, Unit, UnitRecord
from nstbench.generate.executors.batches import BatchSizes
from nstbench.generate.executors.executor import (
    OnStep,
    Worker,
    WorkerDiedError,
    WorkerMemoryError,
    WorkerSettings,
    WorkerTimeoutError,
)
from nstbench.generate.executors.schedule import Schedule
from nstbench.generate.executors.slot_driver import (
    DEATH_RETRIES,
    Progress,
    Result,
    SharedState,
    SlotDriver,
    SlotEvent,
)
from nstbench.generate.executors.worker_slots import WorkerSlots
from nstbench.generate.method_timing import TimingRequest
from nstbench.store.leases import Leases
from nstbench.store.store import Store

_TIMING_SLOT = -1
_POLL_SECONDS = 0.25
_JOIN_SECONDS = 2.0


class PoolExecutor(ABC):
    """Runs units in one worker per slot; a subclass defines how a worker is started.

    See :class:`nstbench.generate.executors.slot_driver.SlotDriver` for retries and batches.

    Args:
        slots: settings of the worker of each slot.
        timing: settings of the worker that times; those of the first slot if None.
        leases: leases of this process, if several processes may use the run folder.
    """

    def __init__(
        self,
        *slots: WorkerSettings,
        timing: WorkerSettings | None = None,
        leases: Leases | None = None,
    ) -> None:
        self._slots = len(slots)
        self._timing_slot = 0 if slots == (timing or slots[0],) else _TIMING_SLOT
        settings = dict(enumerate(slots)) | {self._timing_slot: timing or slots[0]}
        self.workers = WorkerSlots(settings, lambda *given: self._start(*given))
        self._store = Store(slots[0].store)
        self._leases = leases
        self._threads: list[threading.Thread] = []
        self._schedule: Schedule | None = None
        self._finishing = False
        self._company = threading.Event()

    @abstractmethod
    def _start(self, settings: WorkerSettings, cancelled: Callable[[], bool]) -> Worker:
        """Start a worker and wait until it is ready.

        Args:
            settings: settings of the worker.
            cancelled: returns True during a long wait once the worker is not needed any more.

        Raises:
            WorkerDiedError: if it ended before it was ready, or the start was cancelled.
            WorkerTimeoutError: if it took too long.
            WorkerMemoryError: if its memory limit is less than any worker needs.
        """

    def run(
        self,
        units: Sequence[Unit],
        on_step: OnStep,
        costs: Mapping[str, float] | None = None,
        outdated: Mapping[str, str] | None = None,
        batched: Collection[str] = (),
    ) -> Iterator[tuple[Unit, UnitRecord]]:
        """Run units and yield each with its record, in the order in which they finish.

        Raises:
            StoreError: if the run folder cannot be written.
            UsageError: if the memory limit is below what a worker needs to start.
            NstbenchError: if no worker can be started.
        """
        self._company.clear()
        slots = min(self._slots, len(units))
        self._schedule = Schedule(units, slots, costs)
        if self._finishing:
            self._schedule.stop()
        shared = SharedState(
            store=self._store,
            workers=self.workers,
            schedule=self._schedule,
            batch_sizes=BatchSizes(batched),
            leases=self._leases,
            outdated=outdated or {},
            events=queue.SimpleQueue(),
            single_slot=self._slots == 1,
            company=self._company,
        )
        self._threads = [
            threading.Thread(target=SlotDriver(slot, shared).run, daemon=True)
            for slot in range(slots)
        ]
        for thread in self._threads:
            thread.start()
        yield from _results(shared.events, slots, on_step)

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method while no other worker runs; return the message of a failure."""
        self.workers.end_all(keep=self._timing_slot)
        timing = TypeAdapter(TimingRequest).dump_python(request, mode="json")
        message = ""
        for _ in range(1 + DEATH_RETRIES):
            try:
                event = self.workers.ask(
                    self._timing_slot, {"do": "time", "timing": timing}, lambda event: None
                )
            except WorkerDiedError as error:
                message = str(error)
                self.workers.end(self._timing_slot)
                continue
            except (WorkerTimeoutError, WorkerMemoryError) as error:
                self.workers.end(self._timing_slot)
                return str(error)
            if event["event"] == "error":
                return str(event["message"])
            return TypeAdapter(Timing).validate_python(event["timing"])
        return message

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let no unit of the block be a sample of speed; see :class:`Executor`.

        Units do not begin during the block if they take the cores that the caller computes on. A
        unit of a single slot may be a sample, so it is finished before the block begins. Units
        with a device of their own go on: from the first block on they are recorded as not alone,
        and later blocks need not wait.
        """
        beside = self.goes_on() and (self._slots > 1 or self._company.is_set())
        if self._schedule is None or beside:
            yield
            return
        with self._schedule.held():
            # Ctrl-C is noticed between two waits
            while self._slots == 1 and not self._schedule.idle(_POLL_SECONDS):
                pass
            if not self.goes_on():
                yield
                return
            self._company.set()
        yield

    def goes_on(self) -> bool:
        """Return True if units run during :meth:`paused`."""
        return self._slots > 1 and not self._shares_cores()

    def _shares_cores(self) -> bool:
        """Return True if the slots compute on the processor of this process."""
        return False

    def finish(self) -> None:
        """Begin no further unit."""
        self._finishing = True
        if self._schedule is not None:
            self._schedule.stop()

    def close(self) -> None:
        """Stop all workers; units that are still running are killed and leave no record."""
        self.workers.closing = True
        self.finish()
        if any(thread.is_alive() for thread in self._threads):
            self.workers.kill_all()
            for thread in self._threads:
                thread.join(timeout=_JOIN_SECONDS)
        self.workers.end_all()


def _results(
    events: queue.SimpleQueue[SlotEvent], slots: int, on_step: OnStep
) -> Iterator[tuple[Unit, UnitRecord]]:
    """Yield the results of slots and report their progress until all slots have ended."""
    while slots:
        # An event may be hours away. Ctrl-C just before a wait is noticed only after the wait.
        try:
            event = events.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(event, Progress):
            on_step(event.unit, event.step, event.steps)
        elif isinstance(event, Result):
            yield event.unit, event.record
        elif event.error is not None:
            raise event.error
        else:
            slots -= 1
