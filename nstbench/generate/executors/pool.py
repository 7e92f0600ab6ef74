"""What executors share: a thread per slot drives one worker and decides what its end means."""

from __future__ import annotations

import contextlib
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from nstbench.core.errors import NstbenchError, StoreError, UsageError
from nstbench.core.records import Status, Timing, Unit, UnitRecord
from nstbench.generate.executors.batches import BatchSizes, ask_for_batch, plain_unit
from nstbench.generate.executors.executor import (
    OnStep,
    Worker,
    WorkerDied,
    WorkerOutOfMemory,
    WorkerSettings,
    WorkerTimeout,
)
from nstbench.generate.executors.schedule import Schedule, Task
from nstbench.generate.method_timing import TimingRequest
from nstbench.store.leases import Claims
from nstbench.store.store import Store
from nstbench.store.unit_records import sound_record

_LOST_RETRIES = 3
_START_TRIES = 3
_TIMER = -1
_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Progress:
    unit: Unit
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class _Result:
    unit: Unit
    record: UnitRecord


@dataclass(frozen=True, slots=True)
class _SlotEnded:
    error: BaseException | None


class PoolExecutor(ABC):
    """Runs units in one worker per slot; subclasses say what a worker is.

    A unit that ends its worker is tried again, three times and by other slots where there
    are some; one that runs out of memory once more, alone; one that is too slow or raises
    an error never. The end of a worker is an end of its unit and of nothing else. Units of
    a batch that fails as a whole are run again one by one, which counts as their first try.

    Args:
        slots: what the worker of each slot is started with.
        timing: the same for the worker that times; that of the first slot if None.
        claims: how processes on the same run folder keep out of each other's way.
    """

    def __init__(
        self,
        *slots: WorkerSettings,
        timing: WorkerSettings | None = None,
        claims: Claims | None = None,
    ) -> None:
        self._settings = dict(enumerate(slots))
        self._slots = len(slots)
        self._timer = 0 if slots == (timing or slots[0],) else _TIMER
        self._settings[self._timer] = timing or slots[0]
        self._store = Store(slots[0].store)
        self._claims = claims
        self._workers: dict[int, Worker] = {}
        self._threads: list[threading.Thread] = []
        self._schedule: Schedule | None = None
        self._batches = BatchSizes(())
        self._finishing = False
        self._closed = False

    @abstractmethod
    def _start(self, settings: WorkerSettings, needless: Callable[[], bool]) -> Worker:
        """Start a worker and wait until it is ready.

        Args:
            settings: what to start it with.
            needless: tells, during a long wait, that it has become pointless.

        Raises:
            WorkerDied: if it ended before, or has become needless.
            WorkerTimeout: if it took too long.
            WorkerOutOfMemory: if its memory limit is less than any worker needs.
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
            NstbenchError: if no worker can be started; a UsageError if that lies in the limit
                of memory.
        """
        slots = min(self._slots, len(units))
        self._schedule = Schedule(units, slots, costs)
        self._batches = BatchSizes(batched)
        if self._finishing:
            self._schedule.stop()
        events: queue.SimpleQueue[_Progress | _Result | _SlotEnded] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._drive, args=(slot, self._schedule, outdated or {}, events), daemon=True
            )
            for slot in range(slots)
        ]
        for thread in self._threads:
            thread.start()
        while slots:
            # Ctrl-C just before a wait is noticed after it, and an event may be hours away
            try:
                event = events.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(event, _Progress):
                on_step(event.unit, event.step, event.steps)
            elif isinstance(event, _Result):
                yield event.unit, event.record
            elif event.error is not None:
                raise event.error
            else:
                slots -= 1

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method with nothing beside it; a failure is its message."""
        for slot in set(self._workers) - {self._timer}:
            self._end(slot)
        timing = TypeAdapter(TimingRequest).dump_python(request, mode="json")
        message = ""
        for _ in range(1 + _LOST_RETRIES):
            try:
                worker = self._get_worker(self._timer)
                event = worker.ask({"do": "time", "timing": timing}, lambda event: None)
            except WorkerDied as error:
                message = str(error)
                self._end(self._timer)
                continue
            except (WorkerTimeout, WorkerOutOfMemory) as error:
                self._end(self._timer)
                return str(error)
            if event["event"] == "error":
                return str(event["message"])
            return TypeAdapter(Timing).validate_python(event["timing"])
        return message

    def finish(self) -> None:
        """Begin no further unit."""
        self._finishing = True
        if self._schedule is not None:
            self._schedule.stop()

    def close(self) -> None:
        """Stop all workers; where a unit is still in work, at once and without a record."""
        self._closed = True
        self.finish()
        if any(thread.is_alive() for thread in self._threads):
            for worker in list(self._workers.values()):
                worker.kill()
            for thread in self._threads:
                thread.join(timeout=2)
        for slot in list(self._workers):
            self._end(slot)

    # -- in the thread of a slot ----------------------------------------------------------

    def _drive(
        self, slot: int, schedule: Schedule, outdated: Mapping[str, str], events: Any
    ) -> None:
        error = None
        try:
            # a unit is taken by who can begin it, and waits for nobody's node
            while self._is_ready(slot, schedule) and (task := schedule.next(slot)) is not None:
                if slot not in self._workers:
                    # it came back after this slot had seen nothing left to do
                    schedule.elsewhere(task)
                    continue
                wanted = self._batches.of(task.unit, self._settings[slot].pairs_per_batch)
                tasks = [task, *schedule.beside(slot, task, wanted - 1)]
                tasks = [task for task in tasks if self._is_ours(task, schedule)]
                if len(tasks) == 1:
                    self._work(slot, tasks[0], schedule, outdated, events)
                elif tasks:
                    self._work_batch(slot, tasks, schedule, outdated, events)
        # whatever it is, the caller's thread must hear of it
        except BaseException as caught:
            error = None if self._closed else caught
        events.put(_SlotEnded(error))

    def _is_ours(self, task: Task, schedule: Schedule) -> bool:
        """Claim a task, or give it back to the schedule."""
        if self._claims is None or self._claims.take(task.unit.key):
            return True
        schedule.elsewhere(task)
        return False

    def _is_ready(self, slot: int, schedule: Schedule) -> bool:
        """Have a worker if there is work left; return False after :meth:`close`."""
        if not schedule.exhausted:
            with contextlib.suppress(WorkerDied):
                self._get_worker(slot, lambda: schedule.exhausted)
        return not self._closed

    def _work(
        self,
        slot: int,
        task: Task,
        schedule: Schedule,
        outdated: Mapping[str, str],
        events: Any,
    ) -> None:
        """Bring a task to its result, or give it back to the schedule."""
        give_back = schedule.done
        try:
            record = self._done_elsewhere(task.unit, outdated)
            if record is None:
                record = self._attempt(slot, task, events)
        except WorkerDied:
            record, give_back = None, lambda task: schedule.lost(task, slot)
        except WorkerOutOfMemory:
            record, give_back = None, schedule.crowded
        finally:
            if self._claims is not None:
                self._claims.release(task.unit.key)
        if record is not None:
            events.put(_Result(task.unit, record))
        give_back(task)

    def _work_batch(
        self,
        slot: int,
        tasks: Sequence[Task],
        schedule: Schedule,
        outdated: Mapping[str, str],
        events: Any,
    ) -> None:
        """Bring tasks to their results together, or give them back to be done one by one."""
        records = {task: self._done_elsewhere(task.unit, outdated) for task in tasks}
        left = [task for task, record in records.items() if record is None]
        if left:
            found = self._attempt_batch(slot, [task.unit for task in left], events)
            records |= zip(left, found, strict=True)
        for task, record in records.items():
            if self._claims is not None:
                self._claims.release(task.unit.key)
            if record is None:
                schedule.split(task)
            else:
                events.put(_Result(task.unit, record))
                schedule.done(task)

    def _done_elsewhere(self, unit: Unit, outdated: Mapping[str, str]) -> UnitRecord | None:
        """Return the record that another process wrote since the plan was made, marked as such."""
        if self._claims is None:
            return None
        record = self._store.record(unit.method, unit.key)
        if record is None or record.finished == outdated.get(unit.key):
            return None
        return replace(record, from_other_process=True)

    def _attempt(self, slot: int, task: Task, events: Any) -> UnitRecord:
        """Return the record of a unit.

        Raises:
            WorkerDied: if its worker was lost and it should be tried again.
            WorkerOutOfMemory: if it should be tried again alone.
        """
        if task.alone:
            # memory that idle workers keep is missing as well
            for other in list(self._workers):
                self._end(other)
        unit, started = task.unit, _now()
        request = {
            "do": "unit",
            "unit": plain_unit(unit),
            "alone": self._has_the_machine(),
            "last": task.alone,
        }
        try:
            worker = self._get_worker(slot)
            events.put(_Progress(unit, 0, 0))
            event = worker.ask(
                request, lambda event: events.put(_Progress(unit, event["index"], event["total"]))
            )
        except WorkerTimeout as error:
            return self._obituary(slot, unit, Status.TIMEOUT, str(error), started)
        except WorkerOutOfMemory as error:
            self._end(slot)
            if not task.alone:
                raise
            return self._obituary(slot, unit, Status.OOM, str(error), started)
        except WorkerDied as error:
            self._end(slot)
            if self._closed or len(task.lost) < _LOST_RETRIES:
                raise
            message = f"{error}, {1 + len(task.lost)} times"
            return self._obituary(slot, unit, Status.FAILED, message, started)
        if event["event"] == "error":
            raise StoreError(str(event["message"]))
        record = sound_record(event["record"])
        if record.status is Status.OOM and not task.alone:
            raise WorkerOutOfMemory(record.message)
        return record

    def _attempt_batch(
        self, slot: int, units: Sequence[Unit], events: Any
    ) -> Sequence[UnitRecord | None]:
        """Return the records of units that were run together; nothing for all if that failed."""
        try:
            worker = self._get_worker(slot)
            found = ask_for_batch(
                worker,
                units,
                self._has_the_machine(),
                lambda unit, *step: events.put(_Progress(unit, *step)),
            )
        except (WorkerDied, WorkerTimeout, WorkerOutOfMemory):
            self._end(slot)
            found = None
        if found is None:
            self._batches.failed(units[0], len(units))
            return [None] * len(units)
        self._batches.fitted(units[0], len(units))
        return found

    def _has_the_machine(self) -> bool:
        """Return True if nothing else runs beside a worker, of this process or another."""
        return self._slots == 1 and not (self._claims and self._claims.company)

    def _get_worker(self, slot: int, needless: Callable[[], bool] = lambda: False) -> Worker:
        if slot not in self._workers:
            self._workers[slot] = self._start_worker(self._settings[slot], needless)
        if self._closed:
            self._end(slot)
            raise WorkerDied("it was stopped")
        return self._workers[slot]

    def _start_worker(self, settings: WorkerSettings, needless: Callable[[], bool]) -> Worker:
        for tries_left in reversed(range(_START_TRIES)):
            try:
                return self._start(settings, lambda: self._closed or needless())
            except WorkerOutOfMemory as error:
                raise UsageError(f"--memory-limit: {error}.") from None
            except (WorkerDied, WorkerTimeout) as error:
                if self._closed or needless():
                    raise WorkerDied(str(error)) from None
                if not tries_left:
                    raise NstbenchError(f"No worker process can be started: {error}") from None
        raise AssertionError("the last try returns or raises")

    def _end(self, slot: int) -> None:
        worker = self._workers.pop(slot, None)
        if worker is not None:
            worker.close()

    def _obituary(
        self, slot: int, unit: Unit, status: Status, message: str, started: str
    ) -> UnitRecord:
        """UnitRecord the end of a unit whose worker cannot do it itself any more."""
        self._end(slot)
        settings = self._settings[slot]
        record = UnitRecord.of(
            unit,
            status,
            message=message,
            started=started,
            finished=_now(),
            device=settings.device,
            threads=settings.threads,
        )
        self._store.write_record(record)
        return record


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
