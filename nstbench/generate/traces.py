"""The steps of a unit with the time they arrived: its trace in the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable

from nstbench.core.records import Step, Unit
from nstbench.store.atomic_files import write_json
from nstbench.store.store import Store

Report = Callable[[Step], None]


class Trace:
    """Collects steps; losses are read after the clock stopped.

    Args:
        report: receives each step as well.
    """

    def __init__(self, report: Report) -> None:
        self._steps: list[tuple[float, Step]] = []
        self._report = report
        self._start = time.perf_counter()

    def start(self) -> None:
        """Count the seconds from here."""
        self._start = time.perf_counter()

    def __call__(self, step: Step) -> None:
        """Take a step."""
        self._steps.append((time.perf_counter() - self._start, step))
        self._report(step)

    def write(self, store: Store, unit: Unit) -> None:
        """Write the trace of a unit, if there were steps.

        Raises:
            StoreError: if the run folder cannot be written.
        """
        if not self._steps:
            return
        rows = [
            {
                "step": step.index,
                "seconds": seconds,
                **{name: float(value) for name, value in step.losses.items()},
            }
            for seconds, step in self._steps
        ]
        trace = {"variant": unit.variant, "method": unit.method, "steps": rows}
        write_json(store.trace_path(unit.key), trace)


def ignore(step: Step) -> None:
    """Take no notice of a step."""
