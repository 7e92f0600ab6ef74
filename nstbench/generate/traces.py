"""The trace of a unit: its steps with their times and losses, as a file in the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable

from nstbench.core.records import Step, Unit
from nstbench.store.atomic_files import write_json
from nstbench.store.store import Store

Report = Callable[[Step], None]


class Trace:
    """Collects the steps of a unit.

    Losses are converted to numbers only when the trace is written, so that waiting for the
    device does not count as time of the method.

    Args:
        report: receives each step, too.
    """

    def __init__(self, report: Report) -> None:
        self._steps: list[tuple[float, Step]] = []
        self._report = report
        self._start = time.perf_counter()

    def start(self) -> None:
        """Start the clock, from which the seconds of all steps count, and drop earlier steps."""
        self._steps.clear()
        self._start = time.perf_counter()

    def __call__(self, step: Step) -> None:
        """Add a step and report it."""
        self._steps.append((time.perf_counter() - self._start, step))
        self._report(step)

    def write(self, store: Store, unit: Unit) -> None:
        """Write the trace of a unit, unless it has no steps.

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
        trace = {"method": unit.method, "plugin": unit.plugin, "steps": rows}
        write_json(store.trace_path(unit.key), trace)


def ignore(step: Step) -> None:
    """Ignore a step."""
