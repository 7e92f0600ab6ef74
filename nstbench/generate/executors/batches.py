"""Several units in one request: how they are asked for, and how many of them at once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import TypeAdapter

from nstbench.core.errors import StoreError
from nstbench.core.records import Unit, UnitRecord
from nstbench.generate.executors.executor import Event, OnStep, Worker
from nstbench.store.unit_records import sound_record

_FIRST = 4
_MOST = 16
_UNITS = TypeAdapter(Unit)

Wanted = int | Literal["auto"]


class BatchSizes:
    """The number of units of a variant and size that are to be run together, found by trying.

    Nobody tells how many fit into memory: ``"auto"`` begins with 4 and doubles while that
    works, up to 16. Where a batch fails, later ones have half as many, whatever was wanted.
    May be used from any thread.

    Args:
        batched: variants whose methods can do several pairs at once.
    """

    def __init__(self, batched: Collection[str]) -> None:
        self._batched = frozenset(batched)
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, int], int] = {}
        self._most: dict[tuple[str, int], int] = {}

    def of(self, unit: Unit, wanted: Wanted) -> int:
        """Return how many units like this one to run together."""
        if unit.variant not in self._batched:
            return 1
        with self._lock:
            kind = unit.variant, unit.size
            size = self._sizes.get(kind, _FIRST) if wanted == "auto" else wanted
            return min(size, self._most.get(kind, size))

    def fitted(self, unit: Unit, count: int) -> None:
        """Take note that a batch of ``count`` was done."""
        with self._lock:
            kind = unit.variant, unit.size
            if count >= self._sizes.get(kind, _FIRST):
                self._sizes[kind] = min(2 * count, _MOST)

    def failed(self, unit: Unit, count: int) -> None:
        """Take note that a batch of ``count`` has failed."""
        with self._lock:
            kind = unit.variant, unit.size
            self._most[kind] = min(max(1, count // 2), self._most.get(kind, count))


def plain_unit(unit: Unit) -> dict[str, Any]:
    """Return a unit as it travels to a worker."""
    plain: dict[str, Any] = _UNITS.dump_python(replace(unit, parts=dict(unit.parts)), mode="json")
    return plain


def ask_for_batch(
    worker: Worker, units: Sequence[Unit], alone: bool, on_step: OnStep
) -> Sequence[UnitRecord] | None:
    """Return the records of units that a worker runs together; ``None`` if it could not.

    Args:
        worker: who is asked.
        units: units of one variant and size.
        alone: nothing else runs on its machine.
        on_step: receives their progress.

    Raises:
        WorkerTimeout: if it took longer than that many single units may.
        WorkerOutOfMemory: if it took too much memory.
        WorkerDied: if the worker ended.
        StoreError: if the run folder cannot be written.
    """

    def report(event: Event) -> None:
        on_step(units[event["place"]], event["index"], event["total"])

    for unit in units:
        on_step(unit, 0, 0)
    request = {"do": "batch", "units": [plain_unit(unit) for unit in units], "alone": alone}
    answer = worker.ask(request, report)
    if answer["event"] == "error":
        raise StoreError(str(answer["message"]))
    records = answer.get("records")
    return None if records is None else [sound_record(record) for record in records]
