"""Progress of a run and its processes, read from the run folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstbench.core.records import Status
from nstbench.core.text import counted
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
    """

    variants: dict[str, Counter[str]]
    workers: list[Owner]

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
    read_info(root)
    # before the records: a unit that ends meanwhile counts as done
    workers = living_owners(root)
    in_work = {key for worker in workers for key in worker.keys}
    store = Store(root)
    variants: dict[str, Counter[str]] = {}
    for unit in read_plan(root):
        counts = variants.setdefault(unit["method"], Counter())
        counts[_state(store, unit, in_work)] += 1
    return RunStatus(variants, workers)


def work_of(worker: Owner) -> str:
    """Return the work of a process in words."""
    if BOARD in worker.keys:
        return "times, scores and writes the board"
    return f"{counted(len(worker.keys), 'unit')} in work"


def _state(store: Store, unit: dict[str, Any], in_work: set[str]) -> str:
    if "status" in unit:
        return str(unit["status"])
    record = store.record(unit["plugin"], unit["key"])
    if record is not None:
        return str(record.status)
    return IN_WORK if unit["key"] in in_work else TO_DO
