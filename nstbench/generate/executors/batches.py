"""Several units in one request: how many at once, and the request itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter

from nstbench.core.errors import StoreError
from nstbench.core.records import Unit, UnitRecord
from nstbench.generate.executors.executor import Event, OnStep
from nstbench.store.unit_records import sound_record

_FIRST_SIZE = 4
_LARGEST_SIZE = 16
_UNITS = TypeAdapter(Unit)

Ask = Callable[[Event, Callable[[Event], None]], Event]

WantedSize = int | Literal["auto"]


class BatchSizes:
    """Finds by trying how many units of a variant and size to run together.

    How many units fit into memory is not known in advance. ``"auto"`` begins with 4 and
    doubles after each success, up to 16. After a failed batch, later ones have at most half
    as many units, whatever size was wanted. All methods may be called from any thread.

    Args:
        batched: variants whose methods can process several pairs at once.
    """

    def __init__(self, batched: Collection[str]) -> None:
        self._batched = frozenset(batched)
        self._lock = threading.Lock()
        self._sizes: dict[tuple[str, int], int] = {}
        self._limits: dict[tuple[str, int], int] = {}

    def of(self, unit: Unit, wanted: WantedSize) -> int:
        """Return how many units like this one to run together, at least 1."""
        if unit.method not in self._batched:
            return 1
        with self._lock:
            kind = unit.method, unit.size
            size = self._sizes.get(kind, _FIRST_SIZE) if wanted == "auto" else wanted
            return min(size, self._limits.get(kind, size))

    def fitted(self, unit: Unit, count: int) -> None:
        """Record that a batch of ``count`` units succeeded."""
        with self._lock:
            kind = unit.method, unit.size
            if count >= self._sizes.get(kind, _FIRST_SIZE):
                self._sizes[kind] = min(2 * count, _LARGEST_SIZE)

    def failed(self, unit: Unit, count: int) -> int:
        """Record that a batch of ``count`` units failed; return the most units of later ones."""
        with self._lock:
            kind = unit.method, unit.size
            self._limits[kind] = min(max(1, count // 2), self._limits.get(kind, count))
            return self._limits[kind]


def plain_unit(unit: Unit) -> dict[str, Any]:
    """Return a unit as JSON data, the form in which it is sent to a worker."""
    plain: dict[str, Any] = _UNITS.dump_python(replace(unit, parts=dict(unit.parts)), mode="json")
    return plain


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """Why a batch failed as a whole.

    Attributes:
        reason: as text.
        memory: True if memory did not suffice for so many units.
    """

    reason: str
    memory: bool = False


def ask_for_batch(
    ask: Ask, units: Sequence[Unit], alone: bool, on_step: OnStep
) -> Sequence[UnitRecord] | BatchFailure:
    """Return the records of units that a worker runs together, or why the batch failed.

    Args:
        ask: sends a request to the worker; see :meth:`Worker.ask`.
        units: units of one variant and size.
        alone: True if no other worker runs on its machine.
        on_step: receives their progress.

    Raises:
        WorkerTimeoutError: if the batch took longer than its units may take one by one.
        WorkerMemoryError: if the memory limit was exceeded.
        WorkerDiedError: if the worker ended.
        StoreError: if the run folder cannot be written.
    """

    def report(event: Event) -> None:
        on_step(units[event["place"]], event["index"], event["total"])

    for unit in units:
        on_step(unit, 0, 0)
    request = {"do": "batch", "units": [plain_unit(unit) for unit in units], "alone": alone}
    answer = ask(request, report)
    if answer["event"] == "error":
        raise StoreError(str(answer["message"]))
    records = answer.get("records")
    if records is None:
        return BatchFailure(str(answer["message"]), bool(answer.get("memory")))
    return [sound_record(record) for record in records]
