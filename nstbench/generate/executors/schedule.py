"""Which worker does which unit next: groups that share a loaded method, longest first."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nstbench.core.records import Unit

_LOOK_AGAIN_SECONDS = 0.5
# Another slot may have no worker any more: after this time the same one may try again.
_BARRED_SECONDS = 10.0


@dataclass(eq=False, slots=True)
class Task:
    """A unit on its way to a result.

    Attributes:
        unit: the unit.
        lost: slots whose workers ended without an answer over it, one entry a time.
        alone: True once it ran out of memory beside other units.
        apart: True once a batch failed that it was in.
        barred: monotonic time until which slots that lost it leave it to others.
        look_again: monotonic time before which another process is at it; 0 if none is.
    """

    unit: Unit
    lost: list[int] = field(default_factory=list)
    alone: bool = False
    apart: bool = False
    barred: float = 0.0
    look_again: float = 0.0

    @property
    def fresh(self) -> bool:
        """True if nobody has tried it before."""
        return not (self.lost or self.alone or self.apart or self.look_again)


@dataclass(eq=False, slots=True)
class _Group:
    """Units of one method variant and size, and the slots that work on them."""

    cost: float
    units: deque[Unit] = field(default_factory=deque)
    slots: list[int] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds of work that nobody has begun."""
        return self.cost * len(self.units)


class Schedule:
    """Hands units to slots. All methods may be called from any thread.

    A slot stays with its group (a method variant at a size) until that is used up, so that
    weights and the prepared style are used again. Then it takes the group with most work
    that nobody works on, and when there is none, helps with the one that has most work left,
    from its other end, where another style is due. A single slot keeps the plan's order.

    Args:
        units: what to run, in the plan's order.
        slots: number of slots.
        costs: variant -> expected seconds of one of its units.
    """

    def __init__(
        self, units: Sequence[Unit], slots: int, costs: Mapping[str, float] | None = None
    ) -> None:
        self._slots = slots
        self._changed = threading.Condition()
        self._stopped = False
        self._working = 0
        self._alone_works = False
        self._again: list[Task] = []
        self._last: deque[Task] = deque()
        self._apart: deque[Task] = deque()
        groups: dict[tuple[str, int], _Group] = {}
        for unit in units:
            key = unit.variant, unit.size
            if key not in groups:
                groups[key] = _Group((costs or {}).get(unit.variant, 1.0))
            groups[key].units.append(unit)
        self._groups = list(groups.values())
        if slots > 1:
            self._groups.sort(key=lambda group: -group.left)
        self._current: dict[int, _Group] = {}

    def next(self, slot: int) -> Task | None:
        """Return the next task of a slot, which must end in one of the methods below.

        Waits while units in work elsewhere may come back. Returns ``None`` when everything
        has its result, or after :meth:`stop`.
        """
        with self._changed:
            while not self._stopped:
                task = self._take(slot)
                if task is not None:
                    self._working += 1
                    self._alone_works = task.alone
                    return task
                if not self._working and not self._unfinished():
                    break
                self._changed.wait(self._pause())
            return None

    def beside(self, slot: int, task: Task, most: int) -> list[Task]:
        """Return further tasks to do at once with a fresh one that :meth:`next` returned.

        They are of its variant and size; each must end by itself as that one must. Slots that
        have no group, and none to choose, are left their share.
        """
        with self._changed:
            group = self._current.get(slot)
            if most < 1 or self._stopped or not task.fresh or group is None:
                return []
            free = any(other.units and not other.slots for other in self._groups)
            share = 1 if free else 1 + self._slots - len(self._current)
            count = min(most, len(group.units), (len(group.units) + share) // share - 1)
            self._working += count
            return [Task(self._next_of(group, slot)) for _ in range(count)]

    def done(self, task: Task) -> None:
        """Take note that a task has its result."""
        self._give_back(task, lambda: None)

    def lost(self, task: Task, slot: int) -> None:
        """Take back a task whose worker ended; another slot gets it, if there is one."""
        task.lost.append(slot)
        task.barred, task.look_again = time.monotonic() + _BARRED_SECONDS, 0.0
        self._give_back(task, lambda: self._again.append(task))

    def crowded(self, task: Task) -> None:
        """Take back a task that ran out of memory; it runs last, and beside nothing."""
        task.alone = True
        self._give_back(task, lambda: self._last.append(task))

    def split(self, task: Task) -> None:
        """Take back a task of a batch that failed; it is due at once, by itself."""
        task.apart = True
        self._give_back(task, lambda: self._apart.append(task))

    def elsewhere(self, task: Task) -> None:
        """Take back a task that cannot begin here, or that another process works on."""
        task.look_again = time.monotonic() + _LOOK_AGAIN_SECONDS
        place = self._last if task.alone else self._again
        self._give_back(task, lambda: place.append(task))

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """True after :meth:`stop`."""
        return self._stopped

    @property
    def exhausted(self) -> bool:
        """True if nothing is left to hand out; what is in work may still come back."""
        with self._changed:
            return self._stopped or not self._unfinished()

    # -- choosing, with the lock held -----------------------------------------------------

    def _take(self, slot: int) -> Task | None:
        if self._alone_works and self._working:
            return None
        task = self._lost_by_others(slot)
        if task is not None:
            return task
        if self._apart:
            return self._apart.popleft()
        unit = self._from_group(slot)
        if unit is not None:
            return Task(unit)
        if self._again:
            return self._due()
        if self._last and not self._working and self._last[0].look_again <= time.monotonic():
            return self._last.popleft()
        return None

    def _lost_by_others(self, slot: int) -> Task | None:
        now = time.monotonic()
        for index, task in enumerate(self._again):
            untried = len(set(task.lost)) < self._slots and now < task.barred
            if task.lost and not task.look_again and not (untried and slot in task.lost):
                return self._again.pop(index)
        return None

    def _due(self) -> Task | None:
        now = time.monotonic()
        for index, task in enumerate(self._again):
            if task.look_again and task.look_again <= now:
                return self._again.pop(index)
        return None

    def _from_group(self, slot: int) -> Unit | None:
        group = self._current.get(slot)
        if group is None or not group.units:
            group = self._choose(slot)
        if group is None:
            return None
        return self._next_of(group, slot)

    def _next_of(self, group: _Group, slot: int) -> Unit:
        # a helper works from the end, so that it shares no style with those before it
        helps = group.slots[0] != slot
        return group.units.pop() if helps else group.units.popleft()

    def _choose(self, slot: int) -> _Group | None:
        old = self._current.pop(slot, None)
        if old is not None:
            old.slots.remove(slot)
        self._groups = [group for group in self._groups if group.units]
        if not self._groups:
            return None
        free = next((group for group in self._groups if not group.slots), None)
        group = free or max(self._groups, key=lambda group: group.left)
        group.slots.append(slot)
        self._current[slot] = group
        return group

    def _unfinished(self) -> bool:
        waiting = self._again or self._last or self._apart
        return bool(waiting or any(group.units for group in self._groups))

    def _pause(self) -> float | None:
        """Return the seconds until a task that waits is due."""
        waiting = (*self._again, *self._last)
        times = [due for task in waiting if (due := task.look_again or task.barred)]
        return max(0.05, min(times) - time.monotonic()) if times else None

    def _give_back(self, task: Task, place: Callable[[], None]) -> None:
        with self._changed:
            self._working -= 1
            self._alone_works = False
            place()
            self._changed.notify_all()
