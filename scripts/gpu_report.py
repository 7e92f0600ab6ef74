"""Measure what nstbench promises for GPUs, as one table; ``gpu_report.sh`` calls it.

Every part (``gpu_cases.promises.PARTS``) runs in a process of its own with a time limit, so that
an error of the GPU, a crash or a slow case costs its own rows only. The table and the JSON are
written again after every part.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "scripts", "tests", "tests/benchmarks")
sys.path[:0] = [str(ROOT / name) for name in FOLDERS]

from gpu_cases.promises import PARTS, PROMISES  # noqa: E402
from gpu_cases.rows import Recorder, Row, as_json, complete, read_rows, table  # noqa: E402

LEAST_SECONDS = 5.0
"""A part is not started with less time than this."""
_END_AFTER = 5.0
_FOLDERS_OF_USERS = ("NSTBENCH_CACHE", "NSTBENCH_WEIGHTS", "NSTBENCH_CHECKPOINTS")
_PACKAGES = ("torch", "torchvision", "torchmetrics", "lpips", "pytest", "numpy")


def main(arguments: list[str] | None = None) -> int:
    """Run the parts and print the table.

    Returns:
        0; 1 if a limit of a GPU was missed, or if a case of a GPU could not be measured.
    """
    options = _parse(arguments)
    if options.part:
        return run_part(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu_report.log").unlink(missing_ok=True)
    facts = machine(options)
    begin = time.monotonic()
    rows: list[Row] = []
    for part, most in PARTS.items():
        promised = [promise for promise in PROMISES if promise.part == part]
        left = options.budget - (time.monotonic() - begin)
        if part not in options.only:
            found, why = [], "not selected"
        elif left < LEAST_SECONDS:
            found, why = [], f"the budget of {options.budget:g} s is used"
        else:
            started = time.monotonic()
            found, why = measured(part, options, min(most, left))
            facts["seconds"][part] = round(time.monotonic() - started, 1)
            _say(f"{part}: {facts['seconds'][part]} s")
            if found:
                _say(table(found))
        rows += complete(found, promised, why)
        facts["total_s"] = round(time.monotonic() - begin, 1)
        _write(options.out, rows, facts)
    sys.stdout.write(_text(rows, facts))
    bad = [row for row in rows if row.result != "met" and row.limit]
    measurable = options.device.startswith("cuda") and set(options.only) == set(PARTS)
    return int(any(row.result == "missed" for row in bad) or (measurable and bool(bad)))


def measured(part: str, options: argparse.Namespace, seconds: float) -> tuple[list[Row], str]:
    """Measure a part in a new process; return its rows, and why others are missing."""
    folder = Path(tempfile.mkdtemp(prefix="gpu_report-"))
    file = folder / "rows.jsonl"
    command = [
        sys.executable, str(Path(__file__).resolve()), "--part", part, "--device", options.device,
        "--budget", str(seconds), "--rounds", str(options.rounds), "--out", str(folder),
    ]  # fmt: skip
    log = options.out / "gpu_report.log"
    try:
        with log.open("a", encoding="utf-8") as stream:
            stream.write(f"\n===== {part} =====\n")
            stream.flush()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
        rows = read_rows(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if code is None:
        return rows, f"the part took more than {seconds:.0f} s"
    if code != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
        return rows, f"the process ended with code {code}: {last[:200]}"
    return rows, "needs a GPU" if options.device == "cpu" else "left out for lack of time"


def run_part(options: argparse.Namespace) -> int:
    """Measure one part in this process, and write its rows into the folder ``out``."""
    import torch

    module = importlib.import_module(f"gpu_cases.{options.part}")
    file = options.out / "rows.jsonl"
    device = torch.device(options.device)
    module.run(Recorder(options.part, device, file, options.out, options.budget, options.rounds))
    return 0


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Return facts about the machine, for the JSON file and the lines above the table."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return {
        "gpu": _gpu() if options.device.startswith("cuda") else "none",
        "device": options.device,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions,
        "budget_s": options.budget,
        "seconds": {},
    }


def _environment() -> dict[str, str]:
    """Return the variables of a part, which works in another folder: with absolute paths."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [str(ROOT), *(str(Path(name).absolute()) for name in given if name)]
    found = os.environ | {"PYTHONPATH": os.pathsep.join(folders), "PYTHONUNBUFFERED": "1"}
    for name in _FOLDERS_OF_USERS:
        if found.get(name):
            found[name] = str(Path(found[name]).expanduser().absolute())
    return found


def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi failed: {error}"
    return "; ".join(found.stdout.split("\n")).strip("; ")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what nstbench promises for GPUs.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds for all parts")
    parser.add_argument("--rounds", type=int, default=7, help="most rounds of a case")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_report"), help="folder")
    parser.add_argument("--only", help=f"parts, separated by commas: {','.join(PARTS)}")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.only = options.only.split(",") if options.only else list(PARTS)
    unknown = sorted(set(options.only) - set(PARTS))
    if unknown:
        parser.error(f"--only: {unknown[0]} is not a part; choose from {','.join(PARTS)}")
    if options.budget <= 0:
        parser.error("--budget: give a positive number of seconds")
    if options.rounds < 1:
        parser.error("--rounds: give a number of at least 1")
    if not options.device.startswith("cuda") and options.device != "cpu":
        parser.error(f"--device: {options.device} is not a device; choose cuda, cuda:N or cpu")
    if options.device.startswith("cuda") and not options.part and not _has_gpu():
        parser.error("--device: torch finds no GPU here; use --device cpu for the small cases")
    return options


def _has_gpu() -> bool:
    """Ask a new process, because this one must not use the GPU."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started, if they still run."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
            process.wait(_END_AFTER)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _write(folder: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    (folder / "gpu_report.json").write_text(as_json(rows, facts), encoding="utf-8")
    (folder / "gpu_report.md").write_text(_text(rows, facts), encoding="utf-8")


def _text(rows: list[Row], facts: dict[str, Any]) -> str:
    lines = [f"* {name.removesuffix('_s')}: {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", table(rows), ""])


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
