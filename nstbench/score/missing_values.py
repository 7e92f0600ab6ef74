"""Collects the values that metrics do not have, and tells each cause once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nstbench.core.text import counted

_NAMED = 4

SET_REASON = (
    "set metrics compare all outputs with all styles, so values of incomplete sets are not "
    "comparable between methods"
)


class MissingValues:
    """The values of metrics that a run lacks, with their reasons."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._again: set[str] = set()

    def add(self, metrics: Iterable[str], unit: Mapping[str, Any], reason: str) -> None:
        """Add metrics without a value for one output, or for all outputs of a method.

        Args:
            metrics: names of the metrics.
            unit: the unit; ``content`` and ``style`` are empty for set metrics.
            reason: the reason, without a full stop.
        """
        place = {name: unit[name] for name in ("method", "content", "style", "size", "seed")}
        self.rows += [{**place, "metric": metric, "reason": reason} for metric in metrics]

    def again(self, reason: str) -> None:
        """Mark a reason that may be gone in the next run."""
        self._again.add(reason)

    def notes(self) -> list[str]:
        """Return one sentence for each reason: the metrics, the outputs and the reason."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            found.setdefault(row["reason"], []).append(row)
        return [self._note(reason, rows) for reason, rows in found.items()]

    def _note(self, reason: str, rows: list[dict[str, Any]]) -> str:
        metrics = list(dict.fromkeys(row["metric"] for row in rows))
        later = " (the next run or score tries again)" if reason in self._again else ""
        verb = "has" if len(metrics) == 1 else "have"
        return f"{named(metrics, 'metric')} {verb} no value for {_where(rows)}: {reason}{later}"


def named(names: list[str], noun: str) -> str:
    """Return names as a list of at most four and the number of the others.

    Example:
        >>> named(["a", "b", "c", "d", "e", "f"], "metric")
        'a, b, c, d and 2 more metrics'
    """
    more = len(names) - _NAMED
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {counted(more, f'more {noun}')}"


def _where(rows: list[dict[str, Any]]) -> str:
    """Return the outputs of the rows as text."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    units = {
        (row["method"], row["content"], row["style"], row["size"], row["seed"]) for row in rows
    }
    if not rows[0]["content"]:
        return f"the outputs of {named(methods, 'method')}"
    if len(units) == 1:
        return f"{methods[0]} · {rows[0]['content']} × {rows[0]['style']}"
    pairs = {(row["content"], row["style"]) for row in rows}
    if len(pairs) == 1:
        of = f"{rows[0]['content']} × {rows[0]['style']}"
        return f"{of} of {named(methods, 'method')}"
    return f"{counted(len(units), 'output')} of {named(methods, 'method')}"
