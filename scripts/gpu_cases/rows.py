"""Rows of the report: what a part writes while it measures, and the table of all parts."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gpu_cases.promises import PROMISES, Promise
from nstbench.core.errors import lost_device, message_of

if TYPE_CHECKING:
    import torch

_PROMISED = {promise.key: promise for promise in PROMISES}
ROOT = Path(__file__).resolve().parents[2]
NOT_MEASURED = "not measured"


@dataclass(slots=True)
class Row:
    """A line of the report.

    Attributes:
        key: identifier of the case.
        part: module that measured it.
        case: text in the table.
        ours: value of nstbench.
        unit: ``"s"``, ``"/s"``, or another one, which is shown after the value.
        reference: value of the reference.
        compared_with: name of the reference.
        ratio: median of the ratios of neighbouring rounds.
        limit: the limits as a text; empty if there is none at this size and on this device.
        share: work per second over the ceiling of the device.
        result: ``met``, ``missed``, ``no limit`` or ``not measured: ...``.
        note: further facts.
        rounds: (ours, reference) of every round.
    """

    key: str
    part: str
    case: str
    ours: float | None = None
    unit: str = "s"
    reference: float | None = None
    compared_with: str = ""
    ratio: float | None = None
    limit: str = ""
    share: float | None = None
    result: str = "no limit"
    note: str = ""
    rounds: list[tuple[float, float]] = field(default_factory=list)


class Recorder:
    """Writes the rows of one part, each as soon as it is known.

    Args:
        part: name of the part.
        device: device to measure.
        file: JSON lines; one row each.
        folder: folder for runs and pictures, which the caller removes.
        seconds: time that the part may take from now on.
        rounds: most rounds of a case.
    """

    def __init__(
        self,
        part: str,
        device: torch.device,
        file: Path,
        folder: Path,
        seconds: float,
        rounds: int,
    ) -> None:
        self.part, self.device, self.folder, self.rounds = part, device, folder, rounds
        self._file, self._known = file, set[str]()
        self._end = time.monotonic() + seconds

    @property
    def full(self) -> bool:
        """True on a GPU, where cases have their full size and limits apply."""
        return self.device.type == "cuda"

    def left(self) -> float:
        """Return the seconds that this part may still take."""
        return self._end - time.monotonic()

    def choose(self, full: int, small: int) -> int:
        """Return the first number on a GPU, and the second one elsewhere."""
        return full if self.full else small

    def pairs(
        self,
        key: str,
        case: str,
        pairs: Sequence[tuple[float, float]],
        *,
        compared_with: str,
        flops: float | None = None,
        ceiling: float | None = None,
        note: str = "",
        unit: str = "s",
    ) -> None:
        """Record (ours, reference) values of rounds.

        Args:
            key: identifier; its promise, if there is one, gives the limits.
            case: text for the table.
            pairs: values of the rounds.
            compared_with: name of the reference.
            flops: operations of ours, if they were counted.
            ceiling: operations per second that the device can do.
            note: further facts.
            unit: unit of the values.
        """
        ours = median(own for own, _ in pairs)
        row = Row(
            key, self.part, case, ours, unit, median(other for _, other in pairs), compared_with,
            ratio=median(own / other if other else math.inf for own, other in pairs),
            share=flops / ours / ceiling if flops and ceiling else None,
            note=note,
            rounds=list(pairs),
        )  # fmt: skip
        self._judge(row)

    def value(
        self,
        key: str,
        case: str,
        ours: float,
        unit: str,
        note: str = "",
        share: float | None = None,
    ) -> None:
        """Record a value without a reference."""
        self._judge(Row(key, self.part, case, ours, unit, share=share, note=note))

    def missing(self, key: str, why: str) -> None:
        """Record that a promised case could not be measured, unless it has a row."""
        if key not in self._known:
            self._write(not_measured(_PROMISED[key], why))

    @contextmanager
    def attempt(self, *keys: str) -> Iterator[None]:
        """Record an error in a block as the reason why the cases of ``keys`` were not measured.

        An error after which the GPU cannot be used ends the part.
        """
        try:
            yield
        except Exception as error:
            for key in keys:
                self.missing(key, message_of(error).splitlines()[0][:200])
            if lost_device(error):
                raise
            traceback.print_exc()  # to the log

    def _judge(self, row: Row) -> None:
        promise = _PROMISED.get(row.key)
        if promise is not None and not self.full:
            row.key += "-small"
        elif promise is not None:
            assert row.ours is not None
            kept = promise.kept(row.ours, row.ratio, row.share)
            row.limit = promise.limit()
            row.result = {True: "met", False: "missed", None: "incomplete"}[kept]
        self._write(row)

    def _write(self, row: Row) -> None:
        self._known.add(row.key)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def not_measured(promise: Promise, why: str) -> Row:
    """Return the row of a promised case that has no number."""
    return Row(
        promise.key, promise.part, promise.case, None, limit=promise.limit(),
        result=f"{NOT_MEASURED}: {why}",
    )  # fmt: skip


def read_rows(file: Path) -> list[Row]:
    """Return the rows that a part has written; a line that was cut off does not count."""
    rows = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(Row(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return rows


def complete(rows: Sequence[Row], promises: Sequence[Promise], why: str) -> list[Row]:
    """Return rows, and one more for every promise without a row that has a limit."""
    known = {row.key for row in rows if row.limit}
    return [*rows, *(not_measured(p, why) for p in promises if p.key not in known)]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| case | ours | reference | ratio | limit | share of ceiling | result |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for row in rows:
        reference = "" if row.reference is None else f": {shown(row.reference, row.unit)}"
        cells = (
            row.case,
            shown(row.ours, row.unit),
            f"{row.compared_with}{reference}",
            "" if row.ratio is None else f"{row.ratio:.3g}",
            row.limit,
            "" if row.share is None else f"{row.share:.0%}",
            row.result + (f" ({row.note})" if row.note else ""),
        )
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def shown(value: float | None, unit: str) -> str:
    """Return a value with its unit."""
    if value is None:
        return ""
    if unit != "s":
        return f"{value:.4g}{unit}"
    for name, factor in (("s", 1), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def as_json(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Return facts about the machine and all rows as JSON; numbers that are not finite are null."""
    return json.dumps(_finite({**facts, "rows": [asdict(row) for row in rows]}), indent=1)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
