"""Measures how fast processes run the calibration kernel, alone or side by side.

``python -m nstbench.generate.kernel_rate`` is such a process. It reads requests, ``THREADS
SECONDS`` in a line, and answers each with the number of its runs per second.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nstbench

Split = tuple[int, int]
"""A number of processes and the threads of each."""

_SECONDS = 0.5
_ROUNDS = 3


def rates(splits: Sequence[Split]) -> Mapping[Split, float]:
    """Return split -> runs of the kernel per second of all its processes together.

    The splits are measured in turns, three times half a second each; the median counts. A split
    whose processes fail has no entry.

    Args:
        splits: numbers of processes and threads.
    """
    found: dict[Split, list[float]] = {split: [] for split in splits}
    with _processes(max(count for count, _ in splits)) as processes:
        for _ in range(_ROUNDS):
            for count, threads in splits:
                used = processes[:count]
                for process in used:
                    _send(process, f"{threads} {_SECONDS}")
                answers = [_answer(process) for process in used]
                if None not in answers:
                    found[count, threads].append(sum(a for a in answers if a is not None))
    return {split: statistics.median(values) for split, values in found.items() if values}


@contextlib.contextmanager
def _processes(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes and wait until all are ready; end them after the block."""
    package = str(Path(nstbench.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "nstbench.generate.kernel_rate"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
            | os.environ
            | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            start_new_session=True,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            _answer(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> float | None:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    return float(line) if line else None


def _tell(rate: float) -> None:
    sys.stdout.write(f"{rate}\n")
    sys.stdout.flush()


def main() -> None:
    """Answer requests until standard input is closed."""
    import torch

    from nstbench.generate.clock import calibrate

    device = torch.device("cpu")
    calibrate(device, 1)
    _tell(0.0)
    for line in sys.stdin:
        threads, seconds = line.split()
        torch.set_num_threads(int(threads))
        start, runs = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < float(seconds):
            calibrate(device, 1)
            runs += 1
        _tell(runs / spent)


if __name__ == "__main__":
    main()
