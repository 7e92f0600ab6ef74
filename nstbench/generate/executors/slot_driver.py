"""The thread of one slot: takes tasks from the schedule, runs them and reports the results."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nstbench.core.environment import utc_now
from nstbench.core.errors import StoreError
from nstbench.core.records import Status, Unit, UnitRecord
from nstbench.generate.executors.batches import (
    BatchFailure,
    BatchSizes,
    ask_for_batch,
    plain_unit,
)
from nstbench.generate.executors.executor import (
    WorkerDiedError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from nstbench.generate.executors.schedule import Schedule, Task
from nstbench.generate.executors.worker_slots import WorkerSlots
from nstbench.store.leases import Leases
from nstbench.store.store import Store
from nstbench.store.unit_records import sound_record

_log = logging.getLogger(__name__)

DEATH_RETRIES = 3
"""How often a unit is tried again after the worker died that ran it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A unit reached a step; ``step`` and ``steps`` are 0 when the unit begins."""

    unit: Unit
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Result:
    """A unit has its record."""

    unit: Unit
    record: UnitRecord


@dataclass(frozen=True, slots=True)
class SlotEnded:
    """A slot stopped; ``error`` is None unless an exception stopped it."""

    error: BaseException | None


SlotEvent = Progress | Result | SlotEnded


@dataclass(frozen=True, slots=True)
class SharedState:
    """State that all slots of one run share.

    Attributes:
        store: the run folder.
        workers: the workers of all slots.
        schedule: hands out the tasks.
        batch_sizes: units per batch, found by trying.
        leases: leases of this process in the run folder; None if no other process uses it.
        outdated: key -> ``finished`` of records that exist and do not count.
        events: receives progress, results and the ends of slots.
        single_slot: True if the executor has one slot only.
        company: set once this process works on the machine of the slot, too.
    """

    store: Store
    workers: WorkerSlots
    schedule: Schedule
    batch_sizes: BatchSizes
    leases: Leases | None
    outdated: Mapping[str, str]
    events: queue.SimpleQueue[SlotEvent]
    single_slot: bool
    company: threading.Event


class SlotDriver:
    """Drives the worker of one slot and decides about a unit whose worker ended.

    A unit whose worker dies is tried again three times, by other slots if there are some. A
    unit that runs out of memory is tried once more, alone. A unit that exceeds its time limit
    or raises an error is not tried again. Units of a batch that fails as a whole are run again
    one by one, or in halves while memory is the reason; the batch does not count as a try.

    Args:
        slot: number of the slot.
        shared: state that all slots of the run share.
    """

    def __init__(self, slot: int, shared: SharedState) -> None:
        self._slot = slot
        self._store = shared.store
        self._workers = shared.workers
        self._schedule = shared.schedule
        self._batch_sizes = shared.batch_sizes
        self._leases = shared.leases
        self._outdated = shared.outdated
        self._emit: Callable[[SlotEvent], None] = shared.events.put
        self._single_slot = shared.single_slot
        self._company = shared.company

    def run(self) -> None:
        """Run tasks until none is left; the last event is :class:`SlotEnded`."""
        error = None
        try:
            # Take a unit only once this slot has a worker ready.
            while self._is_ready() and (task := self._schedule.next(self._slot)) is not None:
                if self._slot not in self._workers:
                    # The task came back after this slot had seen nothing left to do.
                    self._schedule.postponed(task)
                else:
                    self._run_with_similar(task)
        # The caller's thread raises every error again.
        except BaseException as caught:
            error = None if self._workers.closing else caught
        self._emit(SlotEnded(error))

    def _is_ready(self) -> bool:
        """Start a worker if there is work left; return False once the executor is closing."""
        if not self._schedule.exhausted:
            with contextlib.suppress(WorkerDiedError):
                self._workers.get(self._slot, lambda: self._schedule.exhausted)
        return not self._workers.closing

    def _run_with_similar(self, task: Task) -> None:
        """Run a task, in one batch with others like it where its method does batches."""
        most = self._workers.settings[self._slot].pairs_per_batch
        size = self._batch_sizes.of(task.unit, most)
        tasks = [task, *self._schedule.more_for_batch(self._slot, task, size - 1)]
        leased = [task for task in tasks if self._lease_file(task)]
        if len(leased) == 1:
            self._run_one(leased[0])
        elif leased:
            self._run_batch(leased)

    def _lease_file(self, task: Task) -> bool:
        """Lease a task; give it back to the schedule if another process has it."""
        if self._leases is None or self._leases.take(task.unit.key):
            return True
        self._schedule.postponed(task)
        return False

    def _release(self, task: Task) -> None:
        if self._leases is not None:
            self._leases.release(task.unit.key)

    def _run_one(self, task: Task) -> None:
        """Run a task to its record, or give it back to the schedule."""
        record = None
        give_back = self._schedule.done
        try:
            record = self._record_of_another_process(task.unit) or self._attempt(task)
        except WorkerDiedError:
            give_back = self._give_back_after_death
        except WorkerMemoryError:
            give_back = self._schedule.ran_out_of_memory
        finally:
            self._release(task)
        if record is not None:
            self._report(task.unit, record)
        give_back(task)

    def _report(self, unit: Unit, record: UnitRecord) -> None:
        self._schedule.measured(unit, record.seconds)
        self._emit(Result(unit, record))

    def _give_back_after_death(self, task: Task) -> None:
        self._schedule.worker_died(task, self._slot)

    def _run_batch(self, tasks: Sequence[Task]) -> None:
        """Run tasks to their records together, or give them back to be run one by one."""
        records = {task: self._record_of_another_process(task.unit) for task in tasks}
        left = [task for task, record in records.items() if record is None]
        if left:
            new = self._attempt_batch([task.unit for task in left])
            records |= zip(left, new, strict=True)
        for task, record in records.items():
            self._release(task)
            if record is None:
                self._schedule.batch_failed(task)
            else:
                self._report(task.unit, record)
                self._schedule.done(task)

    def _record_of_another_process(self, unit: Unit) -> UnitRecord | None:
        """Return the record that another process wrote since the plan was made, marked as such."""
        if self._leases is None:
            return None
        record = self._store.record(unit.plugin, unit.key)
        if record is None or record.finished == self._outdated.get(unit.key):
            return None
        return replace(record, from_other_process=True)

    def _attempt(self, task: Task) -> UnitRecord:
        """Return the record of a unit.

        Raises:
            WorkerDiedError: if the worker died and the unit should be tried again.
            WorkerMemoryError: if the unit should be tried again alone.
            StoreError: if the run folder cannot be written.
        """
        if task.alone:
            # Idle workers keep memory that the unit may need.
            self._workers.end_all()
        unit, started = task.unit, utc_now("milliseconds")
        request = {
            "do": "unit",
            "unit": plain_unit(unit),
            "alone": self._is_alone(),
            "last": task.alone,
            "observe": task.observed,
        }
        try:
            self._workers.get(self._slot)
            self._emit(Progress(unit, 0, 0))
            event = self._workers.ask(
                self._slot,
                request,
                lambda event: self._emit(Progress(unit, event["index"], event["total"])),
            )
        except WorkerTimeoutError as error:
            return self._write_failure(unit, Status.TIMEOUT, str(error), started)
        except WorkerMemoryError as error:
            self._workers.end(self._slot)
            if not task.alone:
                raise
            return self._write_failure(unit, Status.OOM, str(error), started)
        except WorkerDiedError as error:
            self._workers.end(self._slot)
            deaths = 1 + len(task.failed_slots)
            if self._workers.closing or deaths <= DEATH_RETRIES:
                raise
            return self._write_failure(unit, Status.FAILED, f"{error}, {deaths} times", started)
        if event["event"] == "error":
            raise StoreError(str(event["message"]))
        record = sound_record(event["record"])
        if record.status is Status.OOM and not task.alone:
            raise WorkerMemoryError(record.message)
        return record

    def _attempt_batch(self, units: Sequence[Unit]) -> Sequence[UnitRecord | None]:
        """Return the records of units that were run together; None for all if that failed.

        If memory did not suffice, the two halves are run one after the other.
        """
        try:
            self._workers.get(self._slot)
            records = ask_for_batch(
                partial(self._workers.ask, self._slot),
                units,
                self._is_alone(),
                lambda unit, step, steps: self._emit(Progress(unit, step, steps)),
            )
        except WorkerError as error:
            self._workers.end(self._slot)
            records = BatchFailure(str(error), isinstance(error, WorkerMemoryError))
        if isinstance(records, BatchFailure):
            most = self._batch_sizes.failed(units[0], len(units))
            halves = records.memory and most > 1 and not self._workers.closing
            _log.warning(
                "%s at %d px: a batch of %d pairs failed (%s). They are done %s; later batches "
                "have at most %d.",
                units[0].method, units[0].size, len(units), records.reason,
                "in halves" if halves else "one by one", most,
            )  # fmt: skip
            if not halves:
                return [None] * len(units)
            middle = (len(units) + 1) // 2
            return [*self._attempt_batch(units[:middle]), *self._attempt_batch(units[middle:])]
        self._batch_sizes.fitted(units[0], len(units))
        return records

    def _is_alone(self) -> bool:
        """Return True if nothing else runs at the same time, as far as this process knows."""
        others = self._company.is_set() or (self._leases is not None and self._leases.company)
        return self._single_slot and not others

    def _write_failure(self, unit: Unit, status: Status, message: str, started: str) -> UnitRecord:
        """Write and return the record of a unit whose worker ended before it could do so."""
        self._workers.end(self._slot)
        settings = self._workers.settings[self._slot]
        record = UnitRecord.of(
            unit,
            status,
            message=message,
            started=started,
            finished=utc_now("milliseconds"),
            device=settings.device,
            threads=settings.threads,
        )
        self._store.write_record(record)
        return record
