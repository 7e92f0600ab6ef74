"""Cost in proportion to the work: to the number of units, and to the number of pixels."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from measure import add_row, seconds_of
from test_bench_feed_forward import network_of
from test_bench_gatys import ours

from nstbench import registry
from nstbench.config import build_config
from nstbench.conformance import example
from nstbench.contracts import Picture
from nstbench.nn.inference import for_inference
from nstbench.nn.optimise import Descent, minimise
from nstbench.pipeline import plan_run
from nstbench.runner import Runner

CPU = torch.device("cpu")
UNITS = 4


@pytest.mark.bench
def test_units_cost_the_same_however_many_there_are(
    benchmark, tmp_path, picture_folders, network_weights
):
    """Time per unit of 1x, 4x and 16x as many, with everything that a worker does for one."""
    contents, styles = map(str, picture_folders)
    config = build_config(
        {
            "methods": [{"name": "gatys_2015", "params": {"iterations": 8, "init": "content"}}],
            "contents": contents, "styles": styles, "size": 64, "seeds": range(UNITS * 16 // 4),
            "device": "cpu", "threads": 2, "out": tmp_path / "run",
        }
    )  # fmt: skip
    config, store, plan = plan_run(config)
    assert len(plan.units) == UNITS * 16
    runner = Runner(store, "cpu", config.threads or 1)
    # in the order of styles, so that each is prepared as often as its share
    units = sorted(plan.units, key=lambda unit: unit.seed)

    def seconds_per_unit(count: int) -> float:
        def work() -> None:
            for unit in units[:count]:
                assert runner.run(unit, lambda _: None)["status"] == "done"

        return seconds_of(work, CPU) / count

    seconds_per_unit(UNITS)
    rounds: dict[int, list[float]] = {1: [], 4: [], 16: []}

    def once() -> None:
        for factor, found in rounds.items():
            # few units are repeated, so that all three cover about the same time
            repeats = max(1, 4 // factor)
            found.append(statistics.mean(seconds_per_unit(UNITS * factor) for _ in range(repeats)))

    benchmark.pedantic(once, rounds=3)
    for factor in (4, 16):
        row = add_row(
            benchmark,
            list(zip(rounds[factor], rounds[1], strict=True)),
            case=f"A unit of {UNITS * factor} (Gatys, 64 px)",
            yardstick=f"a unit of {UNITS}",
            limit=1.05,
        )
        assert 0.95 <= row.ratio <= row.limit


def gatys_step(size: int) -> Any:
    content, _, objective = ours(size, CPU)
    return lambda: minimise(content.pixels, objective, Descent("adam", 1), lambda *_: None)


def johnson_pass(size: int) -> Any:
    cls = registry.load("methods", "johnson_2016")
    method: Any = cls(cls.Params())
    method.device = CPU
    method.network = for_inference(network_of(method), method.params, CPU)
    content = Picture(example(size, size).pixels, "content")
    generator = torch.Generator()
    return lambda: method.stylize(content, generator=generator, on_step=lambda _: None)


@pytest.mark.bench
@pytest.mark.parametrize("make", [gatys_step, johnson_pass])
def test_a_pixel_costs_the_same_from_128_to_1024(benchmark, make):
    sizes = (128, 256, 512, 1024)
    calls = {size: make(size) for size in sizes}
    rounds: dict[int, list[float]] = {size: [] for size in sizes}
    for call in calls.values():
        call()

    def once() -> None:
        for size, call in calls.items():
            # as many pixels of each size
            repeats = 1 if size > 256 else 4
            found = statistics.mean(seconds_of(call, CPU) for _ in range(repeats))
            rounds[size].append(found / size**2)

    benchmark.pedantic(once, rounds=3)
    base = rounds[256]
    rows = [
        add_row(
            benchmark,
            list(zip(rounds[size], base, strict=True)),
            case=f"A pixel of {size} px, {make.__name__.replace('_', ' ')}",
            yardstick="a pixel of 256 px",
            limit=2.0 if size == 128 else 1.5,
        )
        for size in sizes
        if size != 256
    ]
    # what a step costs besides its pixels shows at 128 px; from there on only they may
    ratios = [1.0, *(row.ratio for row in rows[1:])]
    assert max(ratios) <= 1.5 * min(ratios)
    assert rows[0].ratio <= 2.0


def peak_of(tmp_path: Path, code: str) -> int:
    """Return the peak resident set in bytes of a program of its own."""
    import subprocess
    import sys

    tail = "\nfrom pathlib import Path\nprint(Path('/proc/self/status').read_text())"
    found = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    )
    line = next(line for line in found.stdout.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


STYLIZE = """
import torch
from nstbench import registry
from nstbench.allocator import keep_freed_memory
from nstbench.conformance import example
keep_freed_memory()
cls = registry.load("methods", "gatys_2015")
method = cls(cls.Params(iterations=3, precision={precision!r}, checkpointing={checkpointing}))
method.load(torch.device("cpu"))
method.prepare(example(1024, 1024, kind=1))
method.stylize(example(1024, 1024), generator=torch.Generator().manual_seed(0),
               on_step=lambda _: None)
"""


@pytest.mark.bench
def test_gatys_at_1024_px_takes_less_than_6_gib(benchmark, tmp_path, network_weights):
    peaks = {}

    def once() -> None:
        for checkpointing in (False, True):
            code = STYLIZE.format(precision="float32", checkpointing=checkpointing)
            peaks[checkpointing] = peak_of(tmp_path, code)

    benchmark.pedantic(once, rounds=1)
    benchmark.extra_info |= {"peak": peaks[False], "peak_with_checkpointing": peaks[True]}
    print(f"peaks: {peaks[False] / 2**30:.2f} GiB, checkpointing {peaks[True] / 2**30:.2f} GiB")
    assert peaks[False] < 6 * 2**30
    assert peaks[True] < 0.9 * peaks[False]
