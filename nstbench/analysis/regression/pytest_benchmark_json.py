"""Latencies to and from the JSON files of pytest-benchmark, so that its tools can be used.

Format: pytest-benchmark's documentation, "Comparing past runs", and what
``pytest --benchmark-json`` writes: ``{"machine_info", "commit_info", "benchmarks": [{"name",
"fullname", "params", "extra_info", "stats": {"data": [seconds, ...], ...}}], "datetime"}``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nstbench.analysis.regression.baseline import Baseline, Entry, MetricFacts
from nstbench.core.errors import UsageError
from nstbench.core.records import Scope, Timing

FORMAT_VERSION = "5.0.0"
_EXTRA = ("latency_waits", "calibration", "calibration_waits", "samples_from", "size", "threads",
          "device", "device_name", "simd")  # fmt: skip
LATENCY = MetricFacts("Latency", 1, Scope.TIMING, "speed", "s", higher_is_better=False)


def as_pytest_benchmark(baseline: Baseline) -> dict[str, Any]:
    """Return the timings of a baseline as pytest-benchmark would have written them.

    Raises:
        UsageError: if the baseline has no timing.
    """
    timed = [entry for entry in baseline.entries if entry.timing and entry.timing.latency]
    if not timed:
        raise UsageError(f"The baseline {baseline.name} has no timings to export.")
    facts = baseline.environment
    return {
        "machine_info": {
            "node": "",
            "machine": "",
            "python_version": facts.get("python", ""),
            "system": facts.get("platform", ""),
            "cpu": {"brand_raw": facts.get("cpu", ""), "count": facts.get("cores")},
        },
        "commit_info": {
            "id": facts.get("git", ""),
            "time": baseline.saved,
            "dirty": str(facts.get("git", "")).endswith("+"),
            "project": "nstbench",
            "branch": "",
        },
        "benchmarks": [_benchmark(entry, entry.timing) for entry in timed if entry.timing],
        "datetime": baseline.saved,
        "version": FORMAT_VERSION,
    }


def _benchmark(entry: Entry, timing: Timing) -> dict[str, Any]:
    facts = {**timing.environment, "size": timing.size, "device": timing.device}
    extra = {
        name: list(value) if isinstance(value, tuple) else value
        for name in _EXTRA
        if (value := getattr(timing, name, facts.get(name))) is not None
    }
    name = f"{entry.method}[{entry.size}]"
    return {
        "group": f"{entry.size} px",
        "name": name,
        "fullname": f"nstbench::{name}",
        "params": {"size": entry.size},
        "param": str(entry.size),
        "extra_info": extra,
        "options": {"disable_gc": False, "timer": "perf_counter", "min_rounds": 1,
                    "max_time": 0.0, "min_time": 0.0, "warmup": True},
        "stats": _stats(np.asarray(timing.latency)),
    }  # fmt: skip


def _stats(data: np.ndarray) -> dict[str, Any]:
    low, median, high = (float(v) for v in np.quantile(data, [0.25, 0.5, 0.75]))
    spread = float(data.std(ddof=1)) if len(data) > 1 else 0.0
    mean = float(data.mean())
    distance = high - low
    outside = int(((data < low - 1.5 * distance) | (data > high + 1.5 * distance)).sum())
    return {
        "min": float(data.min()), "max": float(data.max()), "mean": mean, "stddev": spread,
        "rounds": len(data), "median": median, "iqr": distance, "q1": low, "q3": high,
        "iqr_outliers": outside, "stddev_outliers": int((np.abs(data - mean) > spread).sum()),
        "outliers": f"{int((np.abs(data - mean) > spread).sum())};{outside}",
        "ld15iqr": float(data.min()), "hd15iqr": float(data.max()),
        "ops": 1 / mean if mean else 0.0, "total": float(data.sum()), "iterations": 1,
        "data": data.tolist(),
    }  # fmt: skip


def read_pytest_benchmark(path: Path) -> Baseline:
    """Read the samples of a pytest-benchmark file as a baseline, one entry per benchmark.

    Calibration is taken from ``extra_info``, where :func:`as_pytest_benchmark` puts it. Without
    it the latencies can be compared on the same machine only.

    Raises:
        UsageError: if the file cannot be read or has no samples.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON file: {error}.") from None
    if not isinstance(data, dict) or not data.get("benchmarks"):
        raise UsageError(
            f"{path} holds no benchmarks. `pytest --benchmark-json={path.name}` writes such files."
        )
    machine = data.get("machine_info") or {}
    processor = (machine.get("cpu") or {}).get("brand_raw", "")
    entries = tuple(_entry(benchmark, processor, path) for benchmark in data["benchmarks"])
    return Baseline(
        name=path.stem,
        saved=str(data.get("datetime") or ""),
        version="",
        environment={
            "device": entries[0].timing.device if entries[0].timing else "cpu",
            "device_name": processor,
            "cpu": processor,
            "python": machine.get("python_version", ""),
            "platform": machine.get("system", ""),
            "git": (data.get("commit_info") or {}).get("id", ""),
        },
        metrics={"latency": LATENCY},
        pictures={},
        entries=entries,
    )


def _entry(benchmark: dict[str, Any], processor: str, path: Path) -> Entry:
    extra = benchmark.get("extra_info") or {}
    samples = (benchmark.get("stats") or {}).get("data")
    name = str(benchmark.get("name", ""))
    if not samples:
        raise UsageError(
            f"{path}: the benchmark '{name}' has no raw samples. Write the file with "
            "--benchmark-json, or with --benchmark-save-data beside --benchmark-save."
        )
    size = int(extra.get("size", 0))
    method = name.removesuffix(f"[{size}]") if size else name
    timing = Timing(
        variant=method, method=method, size=size, device=str(extra.get("device", "cpu")),
        latency=tuple(samples), first_call=0.0, load=0.0, prepare=(), peak_memory=None,
        parameters=None, calibration=tuple(extra.get("calibration", ())),
        environment={"threads": extra.get("threads"),
                     "device_name": extra.get("device_name", processor),
                     "simd": extra.get("simd", "")},
        samples_from=str(extra.get("samples_from", "repeats")),
        latency_waits=tuple(extra.get("latency_waits", ())),
        calibration_waits=tuple(extra.get("calibration_waits", ())),
    )  # fmt: skip
    return Entry(method, method, size, {}, {}, (), {}, {}, timing)
