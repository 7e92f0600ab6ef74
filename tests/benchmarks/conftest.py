"""Fixtures of the benchmarks, and one table of all results at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from measure import ROWS, Row, ceiling

from nstbench.core.glibc_malloc import freed_memory_kept

_HERE = Path(__file__).parent
DEVICE = torch.device(os.environ.get("NSTBENCH_BENCH_DEVICE", "cpu"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def as_in_a_worker() -> Iterator[None]:
    """Let the C library keep freed memory, as in the workers of a run."""
    with freed_memory_kept():
        yield


@pytest.fixture
def on_cpu() -> None:
    """Skip if another device was requested, because this case measures the processor."""
    if DEVICE.type != "cpu":
        pytest.skip("a case of the processor")


@pytest.fixture
def device() -> torch.device:
    """Return the device named by NSTBENCH_BENCH_DEVICE."""
    return DEVICE


@pytest.fixture(autouse=True)
def _measuring(benchmark: Any) -> None:
    if benchmark.disabled:
        pytest.skip("a round that is not measured says nothing about speed")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print all measurements as one table."""
    if not ROWS:
        return
    terminalreporter.section("speed")
    terminalreporter.write_line(table(ROWS))
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        terminalreporter.write_line(
            f"Ceiling of {DEVICE} in {name}: {ceiling(DEVICE, dtype) / 1e9:,.0f} GFLOP/s"
        )


def table(rows: Iterable[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = [
        "| case | ours | reference | ratio | at most | share of ceiling | pictures per second |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:.2f}"
        share = "" if row.share is None else f"{row.share:.0%}"
        pictures = "" if row.per_second is None else f"{row.per_second:.3g}"
        other = f"{row.compared_with}: {_seconds(row.reference)}"
        lines.append(
            f"| {row.case} | {_seconds(row.ours)} | {other} | "
            f"{row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}] | {limit} | {share} | "
            f"{pictures} |"
        )
    return "\n".join(lines)


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
