"""Measure the gain of more workers and the cost of large plans on this machine.

    python scripts/scaling.py workers    # two local workers compared with one, on Gatys units
    python scripts/scaling.py ray        # two workers under Ray compared with two local ones
    python scripts/scaling.py plan       # a plan of 1,000,000 units: seconds and memory
    python scripts/scaling.py store      # a run of 200,000 records: status, and continuing the run

Each command prints its measurements with their limits. It ends with exit code 1 if a limit is
missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from PIL import Image

LEAST_SPEEDUP = 1.8
LEAST_SHARE_OF_LOCAL = 0.95
PLAN_UNITS, MOST_PLAN_SECONDS, MOST_PLAN_BYTES = 1_000_000, 30.0, 2**30
RECORDS, MOST_STORE_SECONDS = 200_000, 20.0
GATYS = "gatys_2015:iterations={iterations},coarse_scales=[],coarse_iterations=[],init=content"
SIDE = 100
"""Number of contents and of styles in large plans. The number of seeds sets the number of units."""

FAKE = """
from nstbench.contracts import Flexibility, Method, MethodInfo

class Fake(Method):
    info = MethodInfo("Fake", "", 2026, "", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        pass

    def stylize(self, content, *, generator, on_step):
        return content.pixels.clone()
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def workers(
    repeats: Annotated[int, typer.Option(help="Runs of each kind, in alternation.")] = 3,
    units: Annotated[int, typer.Option(help="Units of a run.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 160,
    iterations: Annotated[int, typer.Option(help="Steps of Gatys' method.")] = 60,
) -> None:
    """Compare two local workers of one thread with one."""
    options = units, size, iterations
    single = "local", 1, *options
    double = "local", 2, *options
    ratios = in_turns(repeats, single, double)
    report("throughput of two workers over one", ratios, LEAST_SPEEDUP)


@app.command()
def ray(
    repeats: Annotated[int, typer.Option(help="Runs of each kind, in alternation.")] = 3,
    units: Annotated[int, typer.Option(help="Units of a run.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 160,
    iterations: Annotated[int, typer.Option(help="Steps of Gatys' method.")] = 60,
) -> None:
    """Compare two workers of one thread under Ray with two local ones."""
    options = units, size, iterations
    ratios = in_turns(repeats, ("local", 2, *options), ("ray", 2, *options))
    report("throughput of Ray over local workers", ratios, LEAST_SHARE_OF_LOCAL)


def in_turns(repeats: int, first: tuple[Any, ...], second: tuple[Any, ...]) -> list[float]:
    """Return the throughput of the second kind of run over the first, once per repeat.

    The kinds alternate in being first, so a machine that slows down favours neither of them.
    """
    ratios = []
    for repeat in range(repeats):
        kinds = (first, second) if repeat % 2 == 0 else (second, first)
        rates = {kind: throughput(*kind) for kind in kinds}
        ratios.append(rates[second][0] / rates[first][0])
        shown = ", ".join(
            f"{kind[0]} with {kind[1]}: {rate:.3f} units/s" for kind, (rate, _) in rates.items()
        )
        typer.echo(
            f"{shown}, ratio {ratios[-1]:.3f}; ratio without waiting for a processor "
            f"{rates[second][1] / rates[first][1]:.3f}; load {os.getloadavg()[0]:.1f}"
        )
    return ratios


def throughput(
    executor: str, count: int, units: int, size: int, iterations: int
) -> tuple[float, float]:
    """Return the units per second of all workers, by wall-clock time, and without waiting.

    The time of a worker is measured from the start of its first unit to the end of its last one:
    loading networks, preparing styles, stylizing, reading and writing. Starting processes,
    planning, scoring and the report are not included. The second number leaves out the seconds in
    which ``stylize`` waited for a processor that other programs used.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable, "-m", "nstbench", "run", "--out", str(out), "--size", str(size),
            "--methods", GATYS.format(iterations=iterations), "--limit", str(units // 2),
            "--contents-per-style", "2", "--metrics", "ssim", "--format", "csv", "--device", "cpu",
            "--executor", executor, "--workers", str(count), "--threads", "1",
            "--timing-repeats", "0",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        records = [json.loads(path.read_bytes()) for path in out.glob("outputs/*/*/*.json")]
    if len(records) != units or {record["status"] for record in records} != {"done"}:
        raise SystemExit(f"{len(records)} of {units} units have a record, or not all are done")
    processes = {record["process"] for record in records}
    if len(processes) != count:
        raise SystemExit(f"only {len(processes)} of {count} workers ran a unit")
    rate = rate_without_waiting = 0.0
    for process in processes:
        done = [record for record in records if record["process"] == process]
        began = min(datetime.fromisoformat(record["started"]) for record in done)
        ended = max(datetime.fromisoformat(record["finished"]) for record in done)
        seconds = (ended - began).total_seconds()
        rate += len(done) / seconds
        rate_without_waiting += len(done) / (seconds - sum(sum(r["waits"]) for r in done))
    return rate, rate_without_waiting


@app.command()
def plan() -> None:
    """Measure planning many units of a fake method, with writing the plan and scheduling it."""
    from nstbench.generate.executors.schedule import Schedule
    from nstbench.pipeline.job import plan_run
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.plan.plan_file import write_plan

    with large_run(PLAN_UNITS) as settings:
        start = time.perf_counter()
        config, store, made = plan_run(settings)
        planned = time.perf_counter() - start
        TerminalListener().planned(made)
        write_plan(store, made, {})
        Schedule(made.pending, 2, made.costs)
        seconds = time.perf_counter() - start
    typer.echo(f"{len(made.units):,} units of {config.size} px; {planned:.1f} s for the plan alone")
    if len(made.units) != PLAN_UNITS:
        raise SystemExit(f"the plan has {len(made.units)} units instead of {PLAN_UNITS}")
    report_most("plan, shown, written and scheduled [s]", seconds, MOST_PLAN_SECONDS)
    report_most("peak memory of the process [MiB]", peak_bytes() / 2**20, MOST_PLAN_BYTES / 2**20)


@app.command()
def store() -> None:
    """Measure the status of a large run, and the time until its one missing unit is done."""
    from nstbench.pipeline.job import plan_run
    from nstbench.plan.plan_file import write_plan

    with large_run(RECORDS) as settings:
        _, run, made = plan_run(settings)
        write_plan(run, made, {})
        missing = made.units[len(made.units) // 2]
        write_records(run, made.units, settings)
        path = run.record_path(missing.plugin, missing.key)
        path.unlink()
        arguments = ["status", str(run.root)]
        start = time.perf_counter()
        answer = subprocess.run(
            [sys.executable, "-m", "nstbench", *arguments],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        typer.echo(answer.stdout)
        if f"{RECORDS - 1}" not in answer.stdout:
            raise SystemExit("the status does not print the number of records")
        report_most("nstbench status [s]", seconds, MOST_STORE_SECONDS)
        file = settings.out.with_suffix(".yaml")
        file.write_text(settings.model_dump_json(exclude_defaults=True))
        start = time.perf_counter()
        command = [sys.executable, "-m", "nstbench", "run", "--config", str(file)]
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not path.exists() and driver.poll() is None:
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        if driver.poll() is None:
            for process in (*psutil.Process(driver.pid).children(recursive=True), driver):
                process.kill()
        driver.wait()
        if not path.exists():
            raise SystemExit("the missing unit was not run")
        report_most("nstbench run until the missing unit is done [s]", seconds, MOST_STORE_SECONDS)


@contextlib.contextmanager
def large_run(units: int) -> Iterator[Any]:
    """Yield the configuration of a run with tiny pictures and a fake method."""
    from nstbench.plan.config_file import build_config

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        for role in ("contents", "styles"):
            (folder / role).mkdir()
            for index in range(SIDE):
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / role / f"{role[0]}{index:03}.png")
        (folder / "fake.py").write_text(FAKE)
        yield build_config(
            {
                "methods": "fake", "plugins": (folder / "fake.py",), "size": 32,
                "contents": str(folder / "contents"), "styles": str(folder / "styles"),
                "seeds": tuple(range(units // SIDE**2)), "metrics": ("ssim",), "device": "cpu",
                "threads": 1, "timing_repeats": 0, "formats": ("csv",), "out": folder / "run",
            }
        )  # fmt: skip


def write_records(run: Any, units: Any, settings: Any) -> None:
    """Write a record and a picture for each unit, as a worker does.

    A real run makes the first record. The others are copies of it with the fields of their unit.
    """
    from nstbench.pipeline.job import execute
    from nstbench.store.store import Store

    real = settings.model_copy(update={"limit": 1, "seeds": (0,), "out": settings.out / "real"})
    board = execute(real)
    key = board.units["key"][0]
    template = Store(real.out).record("fake", key)
    picture = Store(real.out).output_path("fake", key).read_bytes()
    source = run.root / "picture.png"
    for index, unit in enumerate(units):
        path, output = run.record_path("fake", unit.key), run.output_path("fake", unit.key)
        record = template | {
            "key": unit.key, "content": unit.content.name, "style": unit.style.name,
            "seed": unit.seed, "unit_seed": unit.unit_seed, "parts": dict(unit.parts),
            "output": str(output.relative_to(run.root)),
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1, sort_keys=True))
        # hard links save a gigabyte; file systems limit the number of links to a file
        if index % 30_000 == 0:
            source.unlink(missing_ok=True)
            source.write_bytes(picture)
        output.hardlink_to(source)


def peak_bytes() -> int:
    """Return the peak resident memory of this process in bytes, without its children."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def report(what: str, ratios: list[float], least: float) -> None:
    """Print the median of ratios, and end with exit code 1 if it is too small."""
    median = statistics.median(ratios)
    typer.echo(f"{what}: {median:.3f} ({min(ratios):.3f} to {max(ratios):.3f}), at least {least}")
    if median < least:
        raise SystemExit(1)


def report_most(what: str, value: float, most: float) -> None:
    """Print a number, and end with exit code 1 if it is too large."""
    typer.echo(f"{what}: {value:.1f}, at most {most:g}")
    if value > most:
        raise SystemExit(1)


if __name__ == "__main__":
    app()
