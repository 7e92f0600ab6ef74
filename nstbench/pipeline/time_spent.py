"""Seconds of a run by stage, and of its methods."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from nstbench.core.records import UnitRecord

# the stages before and after generation, in order
_BEFORE, _AFTER = ("weights",), ("time", "score", "report")


class Spent:
    """Adds up the seconds of a run.

    Args:
        began: ``time.perf_counter()`` at the start.
        workers: number of workers that generate; at most the number of units.
    """

    def __init__(self, began: float, workers: int) -> None:
        self._began, self._workers = began, workers
        self._stages: dict[str, float] = {}
        self._stylize: defaultdict[str, float] = defaultdict(float)
        self._setup: dict[tuple[Any, ...], float] = {}

    @contextlib.contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Count a block as a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages[stage] = time.perf_counter() - start

    def add(self, record: UnitRecord) -> None:
        """Add the seconds of a unit; units of other processes do not count."""
        if record.from_other_process:
            return
        self._stylize[record.method] += record.seconds or 0.0
        # units that share a load or a preparation repeat its seconds; units that failed have none
        worker = record.process, record.method
        for seconds, style in ((record.load_seconds, ""), (record.prepare_seconds, record.style)):
            if seconds is not None:
                self._setup[(*worker, style)] = seconds

    def summary(self) -> dict[str, Any]:
        """Return wall-clock seconds, seconds of stages, and the workers' seconds by purpose.

        ``method_seconds`` splits ``stylize_seconds`` by variant.
        ``harness_seconds`` is the time of workers in generation outside of methods: starting
        processes, reading and writing pictures and records, waiting for work.
        """
        setup, stylize = sum(self._setup.values()), sum(self._stylize.values())
        generate = self._stages.get("generate", 0.0) * self._workers
        return {
            "wall_seconds": time.perf_counter() - self._began,
            "stage_seconds": dict(self._stages),
            "stylize_seconds": stylize,
            "method_seconds": dict(self._stylize),
            "setup_seconds": setup,
            "harness_seconds": max(0.0, generate - stylize - setup),
        }


def shares(info: Mapping[str, Any]) -> dict[str, float]:
    """Return the wall-clock seconds of a run by purpose, in order.

    Generation is split in proportion to its workers' time: ``stylize``, ``load and prepare``,
    ``harness``.

    Args:
        info: ``run.json``, or a board's ``info``.
    """
    stages = dict(info.get("stage_seconds", {}))
    generate = stages.pop("generate", 0.0)
    parts = {
        "stylize": info.get("stylize_seconds", 0.0),
        "load and prepare": info.get("setup_seconds", 0.0),
        "harness": info.get("harness_seconds", 0.0),
    }
    used = sum(parts.values())
    found = {name: stages[name] for name in _BEFORE if name in stages}
    found |= {name: generate * part / used for name, part in parts.items()} if used else {}
    found |= {name: stages[name] for name in _AFTER if name in stages}
    found["plan and rest"] = max(0.0, info.get("wall_seconds", 0.0) - sum(found.values()))
    return found
