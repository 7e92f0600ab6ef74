"""Time to a board: the stages of a run, a busy machine, and the choice of workers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measure import CPU, add_row, seconds_of

from nstbench.core.environment import available_cores
from nstbench.generate.executors.choose import choose_workers
from nstbench.store.atomic_files import read_json
from nstbench.store.run_info import read_timings

pytestmark = [pytest.mark.bench, pytest.mark.usefixtures("on_cpu", "network_weights")]

QUICK = "content_copy,reinhard_2001,histogram_matching"
SLOW = "gatys_2015,li_wand_2016,champandard_2016:maps=auto"
MOST_LOADED = 2.5
KERNEL_SHARE = 0.05


def run(out: Path, methods: str, *options: str) -> dict[str, Any]:
    """Run methods on pairs of the starter suite in a process of its own; return ``run.json``."""
    command = [sys.executable, "-m", "nstbench", "run", "--suite", "starter", "--methods", methods]
    command += ["--device", "cpu", "--format", "html", "--out", str(out), *options]
    subprocess.run(command, check=True, capture_output=True)
    return read_json(out / "run.json")


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy with another program during a block."""
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**5))"
    hogs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(available_cores())]
    try:
        time.sleep(0.5)
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_timing_takes_a_small_part_of_a_run_with_slow_methods(benchmark, tmp_path):
    """Slow methods are not called again, and the calibration kernel is a small part."""
    infos = []
    benchmark.pedantic(
        lambda: infos.append(run(tmp_path / "run", f"{QUICK},{SLOW}", "--limit", "3")), rounds=1
    )
    stages = infos[0]["stage_seconds"]
    add_row(
        benchmark,
        [(stages["time"], stages["generate"])],
        case="stage time of 3 quick and 3 slow methods, 3 pairs",
        compared_with="stage generate",
        limit=0.5,
    )
    assert stages["time"] <= 0.5 * stages["generate"]
    timings = {timing.method: timing for timing in read_timings(tmp_path / "run")}
    slow = [t for t in timings.values() if min(t.latency) >= 1.0]
    assert all(timing.samples_from == "generation" for timing in slow)
    # a run of the kernel that two timings share is one run
    kernels = {k for t in timings.values() if t.samples_from == "repeats" for k in t.calibration}
    share = add_row(
        benchmark,
        [(sum(kernels), stages["time"])],
        case="calibration kernels",
        compared_with="stage time",
        limit=KERNEL_SHARE,
    )
    assert share.ratio <= KERNEL_SHARE


def test_a_busy_machine_slows_a_run_down_by_its_share(benchmark, tmp_path):
    """With another program on every core, a run takes at most 2.5 times as long."""
    pairs = []

    def both() -> None:
        place = tmp_path / str(len(pairs))
        methods = f"{QUICK},{SLOW}"
        quiet = seconds_of(lambda: run(place / "quiet", methods, "--limit", "3"), CPU)
        with busy_cores():
            loaded = seconds_of(lambda: run(place / "loaded", methods, "--limit", "3"), CPU)
        pairs.append((loaded, quiet))

    benchmark.pedantic(both, rounds=1)
    row = add_row(
        benchmark,
        pairs,
        case="a run of 3 pairs with another program on every core",
        compared_with="the same on a quiet machine",
        limit=MOST_LOADED,
    )
    assert row.ratio <= MOST_LOADED


@pytest.mark.skipif(available_cores() < 2, reason="one core leaves no choice")
@pytest.mark.parametrize("busy", [False, True])
def test_the_chosen_split_is_not_slower_than_the_other(benchmark, tmp_path, busy):
    """Generation with the chosen workers takes at most 1.2 times as long as with the others."""
    cores = available_cores()
    with busy_cores() if busy else contextlib.nullcontext():
        choice = choose_workers(cores)
        splits = {(1, cores), (2, cores // 2)}
        own = choice.workers, choice.threads
        other = next(split for split in sorted(splits) if split != own)

        def seconds(split: tuple[int, int]) -> float:
            out = tmp_path / f"{split[0]}x{split[1]}"
            options = ["--workers", str(split[0]), "--threads", str(split[1]), "--limit", "2"]
            return run(out, SLOW, *options, "--timing-repeats", "0")["stage_seconds"]["generate"]

        pairs: list[tuple[float, float]] = []
        benchmark.pedantic(lambda: pairs.append((seconds(own), seconds(other))), rounds=1)
    row = add_row(
        benchmark,
        pairs,
        case=f"chosen: {own[0]} x {own[1]} on a {'busy' if busy else 'quiet'} machine",
        compared_with=f"{other[0]} x {other[1]}",
        limit=1.2,
    )
    assert row.ratio <= 1.2
