"""Decides which slot runs which unit next, so that a board exists early.

Quick groups (a method variant at a size) come first, each with all its pairs. Then all slow groups
work on the first pair, then on the second one, and so on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field

from nstbench.core.records import Unit

_POSTPONED_SECONDS = 0.5

SLOW_SECONDS = 1.0
"""A group whose units take longer than this runs pair by pair, after all quick groups."""

PAIRS_ONE_BY_ONE = 16
"""Units of a slow group that run one by one. Later turns double its number of units.

A turn loads the method, which takes about a tenth of a second. So loading takes a small share of
any run, and the board of the first pairs is early.
"""

OTHER_SLOTS_FIRST_SECONDS = 10.0
"""How long a task whose worker died waits for another slot.

After this time the same slot may take it again, because the others may have no worker.
"""


@dataclass(eq=False, slots=True)
class Task:
    """A unit that has no result yet, and its earlier tries.

    Attributes:
        unit: the unit.
        failed_slots: slots whose worker died while it ran the unit, one entry per try.
        alone: True once it ran out of memory; no other unit may run at the same time.
        unbatched: True once a batch with this unit failed.
        observed: True for one unit of a slow group, whose memory and operations are measured.
        others_first_until: monotonic time in seconds until which ``failed_slots`` may not
            take it.
        not_before: monotonic time in seconds before which it is not tried again; 0 if it was
            not postponed.
    """

    unit: Unit
    failed_slots: list[int] = field(default_factory=list)
    alone: bool = False
    unbatched: bool = False
    observed: bool = False
    others_first_until: float = 0.0
    not_before: float = 0.0

    @property
    def untried(self) -> bool:
        """True if the task was neither tried nor postponed before."""
        return not (self.failed_slots or self.alone or self.unbatched or self.not_before)


@dataclass(eq=False, slots=True)
class _Group:
    """Units of one method variant and size that no slot has taken, and the slots of the group.

    Attributes:
        cost: expected seconds of a unit; the mean of the finished units once there are some.
        units: units that no slot has taken.
        slots: slots that work on the group.
        taken: number of units that slots have taken.
        measured: number of units in the mean.
        observed: True once one of the units is observed (see :class:`Task`).
    """

    cost: float
    units: deque[Unit] = field(default_factory=deque)
    slots: list[int] = field(default_factory=list)
    taken: int = 0
    measured: int = 0
    observed: bool = False

    @property
    def slow(self) -> bool:
        """True if the group runs pair by pair."""
        return self.cost > SLOW_SECONDS

    @property
    def turn(self) -> int:
        """Number of units in a turn of a slow group that begins now."""
        return 1 if self.taken < PAIRS_ONE_BY_ONE else self.taken

    @property
    def seconds_left(self) -> float:
        """Expected seconds of the units that no slot has taken."""
        return self.cost * len(self.units)


class Schedule:
    """Hands units to slots. All methods may be called from any thread.

    A slot stays with a quick group (a method variant at a size) until the group has no units
    left, so that loaded weights and the prepared style are used again. Then it takes the quick
    group without a slot that has most work; a single slot takes them in the order of the plan.
    Without one, it takes a turn of the slow group without a slot that is behind the others in
    pairs. If every group has a slot, it helps the group with most work left and takes units from
    its end, which have another style; the first units of a slow group it takes in order.

    Args:
        units: the units to run, in the order of the plan.
        slots: number of slots.
        costs: variant -> expected seconds of one of its units; 1 where missing. The seconds of
            finished units replace it (:meth:`measured`).
    """

    def __init__(
        self, units: Sequence[Unit], slots: int, costs: Mapping[str, float] | None = None
    ) -> None:
        self._slots = slots
        self._changed = threading.Condition()
        self._stopped = False
        self._held = False
        self._running = 0
        self._alone_runs = False
        self._to_retry: list[Task] = []
        self._to_run_alone: deque[Task] = deque()
        self._unbatched: deque[Task] = deque()
        groups: dict[tuple[str, int], _Group] = {}
        for unit in units:
            key = unit.method, unit.size
            if key not in groups:
                groups[key] = _Group((costs or {}).get(unit.method, 1.0))
            groups[key].units.append(unit)
        self._groups = list(groups.values())
        self._by_key = groups
        if slots > 1:
            self._groups.sort(key=lambda group: -group.seconds_left)
        self._current: dict[int, _Group] = {}
        self._turn_left: dict[int, int] = {}
        pairs = dict.fromkeys(_pair(unit) for unit in units)
        self._place = {pair: place for place, pair in enumerate(pairs)}

    def next(self, slot: int) -> Task | None:
        """Return the next task of a slot; each task must end in one of the methods below.

        Waits while units that run in other slots may come back. Returns ``None`` when every
        unit has its result, or after :meth:`stop`.
        """
        with self._changed:
            while not self._stopped:
                task = None if self._held else self._take(slot)
                if task is not None:
                    self._running += 1
                    self._alone_runs = task.alone
                    return task
                if not self._running and not self._unfinished():
                    break
                self._changed.wait(self._pause())
            return None

    def more_for_batch(self, slot: int, task: Task, most: int) -> list[Task]:
        """Return up to ``most`` further tasks to run in one batch with an untried task.

        They have its variant and size. Each must end in one of the methods below. Slots
        without a group and without a group to choose keep an equal share of the units.
        """
        with self._changed:
            group = self._current.get(slot)
            if most < 1 or self._stopped or not task.untried or group is None:
                return []
            free = any(other.units and not other.slots for other in self._groups)
            share = 1 if free else 1 + self._slots - len(self._current)
            count = min(most, len(group.units), (len(group.units) + share) // share - 1)
            self._running += count
            return [Task(self._next_of(group, slot)) for _ in range(count)]

    def measured(self, unit: Unit, seconds: float | None) -> None:
        """Correct the expected cost of a unit's group by a finished unit, if it was measured."""
        if seconds is None:
            return
        with self._changed:
            group = self._by_key[unit.method, unit.size]
            group.measured += 1
            share = 1 / group.measured
            group.cost = share * seconds + (1 - share) * group.cost

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hand out no task during the block; running ones go on."""
        with self._changed:
            self._held = True
        try:
            yield
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def idle(self, seconds: float) -> bool:
        """Wait until no task runs, and return True, or until ``seconds`` have passed."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def done(self, task: Task) -> None:
        """Record that a task has its result."""
        self._give_back(task)

    def worker_died(self, task: Task, slot: int) -> None:
        """Take back a task whose worker died; another slot gets it, if there is one."""
        task.failed_slots.append(slot)
        task.others_first_until = time.monotonic() + OTHER_SLOTS_FIRST_SECONDS
        task.not_before = 0.0
        self._give_back(task, self._to_retry)

    def ran_out_of_memory(self, task: Task) -> None:
        """Take back a task that ran out of memory; it runs last, while no other unit runs."""
        task.alone = True
        self._give_back(task, self._to_run_alone)

    def batch_failed(self, task: Task) -> None:
        """Take back a task of a batch that failed; it is due at once, as a single unit."""
        task.unbatched = True
        self._give_back(task, self._unbatched)

    def postponed(self, task: Task) -> None:
        """Take back a task that cannot begin now: no worker, or another process has it."""
        task.not_before = time.monotonic() + _POSTPONED_SECONDS
        self._give_back(task, self._to_run_alone if task.alone else self._to_retry)

    def stop(self) -> None:
        """Hand out no further task."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """True after :meth:`stop`."""
        return self._stopped

    @property
    def exhausted(self) -> bool:
        """True if no task is left to hand out; a running one may still come back."""
        with self._changed:
            return self._stopped or not self._unfinished()

    # -- choosing, with the lock held -----------------------------------------------------

    def _take(self, slot: int) -> Task | None:
        if self._alone_runs and self._running:
            return None
        task = self._due_after_death(slot)
        if task is not None:
            return task
        if self._unbatched:
            return self._unbatched.popleft()
        unit = self._from_group(slot)
        if unit is not None:
            return self._task_of(unit)
        if self._to_retry:
            return self._due_after_pause()
        if not self._to_run_alone or self._running:
            return None
        due = self._to_run_alone[0].not_before <= time.monotonic()
        return self._to_run_alone.popleft() if due else None

    def _task_of(self, unit: Unit) -> Task:
        group = self._by_key[unit.method, unit.size]
        observed = group.slow and not group.observed
        group.observed |= observed
        return Task(unit, observed=observed)

    def _due_after_death(self, slot: int) -> Task | None:
        """Return a task whose worker died and that this slot may take."""
        now = time.monotonic()
        for index, task in enumerate(self._to_retry):
            if not task.failed_slots or task.not_before:
                continue
            others_left = len(set(task.failed_slots)) < self._slots
            wait = others_left and now < task.others_first_until
            if not (wait and slot in task.failed_slots):
                return self._to_retry.pop(index)
        return None

    def _due_after_pause(self) -> Task | None:
        """Return a postponed task whose pause is over."""
        now = time.monotonic()
        for index, task in enumerate(self._to_retry):
            if task.not_before and task.not_before <= now:
                return self._to_retry.pop(index)
        return None

    def _from_group(self, slot: int) -> Unit | None:
        group = self._current.get(slot)
        over = group is not None and group.slow and self._turn_left.get(slot, 0) < 1
        if group is None or not group.units or over:
            group = self._choose(slot)
        if group is None:
            return None
        return self._next_of(group, slot)

    def _next_of(self, group: _Group, slot: int) -> Unit:
        self._turn_left[slot] = self._turn_left.get(slot, 0) - 1
        in_order = group.slow and group.taken < PAIRS_ONE_BY_ONE
        group.taken += 1
        # A helper works from the end, where the style differs from that of the other slots.
        helps = group.slots[0] != slot and not in_order
        return group.units.pop() if helps else group.units.popleft()

    def _choose(self, slot: int) -> _Group | None:
        old = self._current.pop(slot, None)
        if old is not None:
            old.slots.remove(slot)
        self._groups = [group for group in self._groups if group.units]
        if not self._groups:
            return None
        free = [group for group in self._groups if not group.slots]
        group = (
            next((group for group in free if not group.slow), None)
            or min(free, key=lambda group: self._place[_pair(group.units[0])], default=None)
            or max(self._groups, key=lambda group: group.seconds_left)
        )
        group.slots.append(slot)
        self._current[slot] = group
        self._turn_left[slot] = group.turn
        return group

    def _unfinished(self) -> bool:
        waiting = self._to_retry or self._to_run_alone or self._unbatched
        return bool(waiting or any(group.units for group in self._groups))

    def _pause(self) -> float | None:
        """Return the seconds until a waiting task is due; None if no task waits."""
        waiting = (*self._to_retry, *self._to_run_alone)
        times = [due for task in waiting if (due := task.not_before or task.others_first_until)]
        return max(0.05, min(times) - time.monotonic()) if times else None

    def _give_back(self, task: Task, waiting: MutableSequence[Task] | None = None) -> None:
        """End the run of a task; put it into a list of waiting tasks if one is given."""
        with self._changed:
            self._running -= 1
            self._alone_runs = False
            if waiting is not None:
                waiting.append(task)
            self._changed.notify_all()


def _pair(unit: Unit) -> tuple[str, str, int]:
    return unit.content.name, unit.style.name, unit.seed
