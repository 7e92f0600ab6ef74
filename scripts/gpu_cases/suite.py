"""The starter suite with all methods, metrics, timing and report."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from gpu_cases.programs import OutOfTime, nstbench
from gpu_cases.rows import Recorder
from nstbench.pipeline.time_spent import shares
from nstbench.store.atomic_files import read_json
from nstbench.store.store import Store

SMALL = (
    "--methods", "content_copy,reinhard_2001", "--limit", "2", "--size", "64", "--metrics", "ssim",
)  # fmt: skip


def run(record: Recorder) -> None:
    """Measure and record."""
    with record.attempt("suite"):
        measure(record)


def measure(record: Recorder) -> None:
    """Run the suite after a small run, and record its time."""
    device = ("--device", str(record.device))
    # set-up: weights, lists of plug-ins, compiled Python files
    nstbench(
        record, "run", *SMALL, *device, "--timing-repeats", "0",
        "--out", str(record.folder / "setup"),
    )  # fmt: skip
    out = record.folder / "starter"
    chosen = ("--methods", "all") if record.full else (*SMALL, "--timing-repeats", "1")
    title = "Starter suite, everything" if record.full else "Starter suite, two methods, 64 px"
    start = time.perf_counter()
    try:
        # exit code 1: a method has no output
        nstbench(
            record, "run", "--suite", "starter", *chosen, *device, "--profile", "--out", str(out),
            accepted=(0, 1),
        )  # fmt: skip
        note = described(out)
    except OutOfTime:
        note = "cut off"
    record.value("suite", title, time.perf_counter() - start, "s", note)


def described(out: Path) -> str:
    """Return the numbers of units by status and the seconds by stage of a run."""
    store = Store.open(out)
    statuses = Counter(
        str(unit.status)
        for folder in sorted((out / "outputs").iterdir())
        for unit in store.records(folder.name)
    )
    units = ", ".join(f"{count} units {status}" for status, count in sorted(statuses.items()))
    stages = shares(read_json(out / "run.json"))
    return f"{units}; " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())
