"""Progress of a run and its processes, read from the run folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstbench.core.records import Status, UnitRecord
from nstbench.core.text import counted, readable_seconds
from nstbench.pipeline.time_spent import TimeLeft
from nstbench.plan.plan_file import read_plan
from nstbench.store.leases import BOARD, Owner, living_owners
from nstbench.store.run_info import read_info
from nstbench.store.store import Store

IN_WORK = "in work"
TO_DO = "to do"
STATES = (*Status, IN_WORK, TO_DO)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Progress of a run.

    Attributes:
        variants: variant -> state of :data:`STATES` -> number of its units.
        workers: processes that work on the run folder.
        seconds_left: estimated seconds of the units that are to do or in work.
    """

    variants: dict[str, Counter[str]]
    workers: list[Owner]
    seconds_left: float = 0.0

    @property
    def total(self) -> Counter[str]:
        """Number of units in each state."""
        return sum(self.variants.values(), Counter())


def read_status(root: Path) -> RunStatus:
    """Count the units of a run by state.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if its plan is damaged, or a newer nstbench wrote it.
    """
    info = read_info(root)
    # before the records: a unit that ends meanwhile counts as done
    workers = living_owners(root)
    in_work = {key for worker in workers for key in worker.keys}
    store = Store(root)
    variants: dict[str, Counter[str]] = {}
    records: list[UnitRecord] = []
    waiting: list[str] = []
    for unit in read_plan(root):
        record = None if "status" in unit else store.record(unit["plugin"], unit["key"])
        state = _state(unit, record, in_work)
        variants.setdefault(unit["method"], Counter())[state] += 1
        if record is not None:
            records.append(record)
        elif state in (IN_WORK, TO_DO):
            waiting.append(unit["method"])
    each = (info.get("config") or {}).get("workers") or 1
    left = TimeLeft(info.get("expected_seconds") or {}, waiting, each * max(1, len(workers)))
    for record in records:
        left.add(record, was_pending=False)
    return RunStatus(variants, workers, left.seconds)


def work_of(worker: Owner) -> str:
    """Return the work of a process in words."""
    if BOARD in worker.keys:
        return "times, scores and writes the board"
    return f"{counted(len(worker.keys), 'unit')} in work"


def time_left(status: RunStatus) -> str:
    """Return the estimated time of the units that are left, as a sentence; empty without any."""
    left = status.total[TO_DO] + status.total[IN_WORK]
    if not left:
        return ""
    when = "" if status.workers else ", once the run goes on"
    return f"{counted(left, 'unit')} left: about {readable_seconds(status.seconds_left)}{when}."


def _state(unit: dict[str, Any], record: UnitRecord | None, in_work: set[str]) -> str:
    if "status" in unit:
        return str(unit["status"])
    if record is not None:
        return str(record.status)
    return IN_WORK if unit["key"] in in_work else TO_DO
