"""Seconds of a run by stage and by method, and the seconds that are left."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nstbench.core.records import Status, UnitRecord

# the stages before and after generation, in order
_BEFORE, _AFTER = ("weights",), ("time", "score", "report")

KERNEL_SECONDS_PER_PIXEL = 2.5e-6
"""Seconds of the calibration kernel per pixel where the guesses of methods were measured."""

_KERNEL_SAMPLES = 3


class Spent:
    """Adds up the seconds of a run.

    Args:
        began: ``time.perf_counter()`` at the start.
        workers: number of workers that generate; at most the number of units.
    """

    def __init__(self, began: float, workers: int) -> None:
        self._began, self._workers = began, workers
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = began
        self._stylize: defaultdict[str, float] = defaultdict(float)
        self._setup: dict[tuple[Any, ...], float] = {}

    @contextlib.contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Count a block as a stage; the seconds of a block inside it count for that one only."""
        self._count()
        self._open.append(stage)
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def seconds_of(self, stage: str) -> float:
        """Return the wall-clock seconds of a stage that has ended."""
        return self._stages.get(stage, 0.0)

    def _count(self) -> None:
        """Add the seconds since the last call to the innermost open stage."""
        now = time.perf_counter()
        if self._open:
            self._stages[self._open[-1]] += now - self._since
        self._since = now

    def add(self, record: UnitRecord) -> None:
        """Add the seconds of a unit; units of other processes do not count."""
        if record.from_other_process:
            return
        self._stylize[record.method] += record.seconds or 0.0
        # units that share a load or a preparation repeat its exact seconds; failed units have none
        worker = record.process, record.method
        for seconds, style in ((record.load_seconds, ""), (record.prepare_seconds, record.style)):
            if seconds is not None:
                self._setup[(*worker, style, seconds)] = seconds

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


def kernel_seconds_per_pixel(device: str, threads: int) -> float:
    """Time the calibration kernel and return its median in seconds per pixel.

    Args:
        device: torch device.
        threads: CPU threads of a worker.
    """
    import torch

    from nstbench.generate.clock import calibrate

    # see calibrate() for the two sizes
    side = 256 if device.startswith("cuda") else 128
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = calibrate(torch.device(device), _KERNEL_SAMPLES).seconds
    finally:
        torch.set_num_threads(before)
    return statistics.median(seconds) / side**2


class TimeLeft:
    """Estimates the seconds until all units are done, from the units that are done.

    The first finished unit of a variant replaces the estimate of the plan, and later ones are
    averaged with it.

    Args:
        costs: variant -> estimated seconds of one unit.
        pending: the variants of the units to run, one entry per unit.
        workers: number of units that run at the same time.
    """

    def __init__(self, costs: Mapping[str, float], pending: Iterable[str], workers: int) -> None:
        self._costs, self._workers = costs, max(1, workers)
        self._left = Counter(pending)
        self._measured: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, record: UnitRecord, *, was_pending: bool = True) -> None:
        """Count a finished unit; a unit that is done measures its variant.

        Args:
            record: its record.
            was_pending: False for a unit that was not among the pending ones.
        """
        if was_pending:
            self._left[record.method] -= 1
        if record.status is Status.DONE and record.seconds is not None:
            self._measured[record.method].append(record.seconds)

    def cost(self, method: str) -> float:
        """Return the seconds of one unit of a variant."""
        measured = self._measured.get(method)
        if measured:
            return sum(measured) / len(measured)
        return self._costs.get(method, 0.0)

    @property
    def seconds(self) -> float:
        """Seconds until all units are done."""
        work = sum(self.cost(method) * max(0, count) for method, count in self._left.items())
        # the last units cannot be shared by all workers
        slots = min(self._workers, max(1, sum(max(0, count) for count in self._left.values())))
        return work / slots


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
