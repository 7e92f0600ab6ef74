"""Failures: units that are not done, unavailable plug-ins and skipped pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from nstbench.contracts import Availability, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.records import Status
from nstbench.report.parts import templates


@dataclass(frozen=True)
class Reason:
    """Units of one method with the same status and message."""

    message: str
    pairs: list[str]
    tracebacks: list[str]


@dataclass(frozen=True)
class Failure:
    """Units of one method with the same status."""

    method: str
    status: str
    of: int
    count: int
    reasons: list[Reason]


@dataclass(frozen=True)
class MissingValue:
    """Metrics that have no value for some outputs, for one reason."""

    metrics: list[str]
    reason: str
    places: list[str]


class Failures(Section):
    """Units without an output, and outputs without a value of a metric, with the reasons."""

    info: ClassVar[SectionInfo] = SectionInfo("Failures", order=70)

    def html(self, board: Board) -> str:
        """Return the tables, or one sentence if all units are done."""
        planned = board.units.groupby("method").size().to_dict()
        not_done = board.units[board.units["status"] != Status.DONE]
        grouped = not_done.groupby(["method", "status"], sort=False)
        return templates.render(
            "failures.html",
            failures=[_failure(key, units, planned) for key, units in grouped],
            units=len(not_done),
            planned=len(board.units),
            missing=_missing(board.missing),
            notes=[str(note) for note in board.info.get("notes") or []],
            unavailable=[
                *_unavailable("method", {n: c.availability for n, c in board.methods.items()}),
                *_unavailable("metric", {n: c.availability for n, c in board.metrics.items()}),
            ],
            skipped=[
                {"name": Path(str(s["path"])).name, "reason": str(s["reason"])}
                for s in board.info.get("skipped") or []
            ],
        )


def _failure(key: tuple[object, ...], units: pd.DataFrame, planned: dict) -> Failure:
    method, status = (str(part) for part in key)
    several = units["size"].nunique() > 1 or units["seed"].nunique() > 1
    form = "{content} × {style}, {size} px, seed {seed}" if several else "{content} × {style}"
    reasons = [
        _reason(str(message), same, form)
        for message, same in units.groupby("message", sort=False, dropna=False)
    ]
    return Failure(method, status, int(planned[method]), len(units), reasons)


def _reason(message: str, units: pd.DataFrame, form: str) -> Reason:
    pairs = [form.format_map(unit) for unit in units.to_dict("records")]
    tracebacks = [str(t) for t in dict.fromkeys(units["traceback"]) if isinstance(t, str) and t]
    return Reason(message, pairs, tracebacks)


def _missing(table: pd.DataFrame) -> list[MissingValue]:
    """Return the values that metrics do not have: one row per reason and list of metrics."""
    if table.empty:
        return []
    units = ["method", "content", "style", "size", "seed"]
    causes = table.groupby([*units, "reason"], sort=False, dropna=False)["metric"].agg(tuple)
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for cause, metrics in causes.items():
        assert isinstance(cause, tuple)
        method, content, style, _, _, reason = cause
        where = f"{method} · {content} × {style}" if content else str(method)
        rows.setdefault((str(reason), metrics), []).append(where)
    return [MissingValue(list(names), reason, places) for (reason, names), places in rows.items()]


def _unavailable(kind: str, states: dict[str, Availability]) -> list[dict[str, str]]:
    return [
        {"kind": kind, "name": name, "reason": state.reason, "remedy": state.remedy}
        for name, state in states.items()
        if not state.ok
    ]
