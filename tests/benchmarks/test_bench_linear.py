"""Time grows linearly with the number of units and with the number of pixels."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from gatys_pair import descend
from measure import add_row, seconds_of

from nstbench.core.glibc_malloc import with_large_pages
from nstbench.generate.conformance.method_checks import example
from nstbench.generate.runner import Runner
from nstbench.nn.generators.runtime import InferenceParams, for_inference, inference
from nstbench.nn.generators.transformation_network import Design, TransformationNetwork
from nstbench.pipeline.job import plan_run
from nstbench.plan.config_file import build_config
from nstbench.plugins import registry

pytestmark = pytest.mark.usefixtures("on_cpu", "as_in_a_worker")

CPU = torch.device("cpu")
UNITS = 4


@pytest.mark.bench
def test_time_per_unit_does_not_depend_on_their_number(
    benchmark, tmp_path, picture_folders, network_weights
):
    """Time per unit for 1x, 4x and 16x as many units, with all work of a worker."""
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
    # ordered by style, so that the number of prepared styles grows in proportion
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
            # smaller numbers are repeated, so that all three take about the same time
            repeats = max(1, 4 // factor)
            found.append(statistics.mean(seconds_per_unit(UNITS * factor) for _ in range(repeats)))

    benchmark.pedantic(once, rounds=3)
    for factor in (4, 16):
        row = add_row(
            benchmark,
            list(zip(rounds[factor], rounds[1], strict=True)),
            case=f"A unit of {UNITS * factor} (Gatys, 64 px)",
            compared_with=f"a unit of {UNITS}",
            limit=1.05,
        )
        assert 0.95 <= row.ratio <= row.limit


def gatys_steps(size: int) -> Callable[[int], object]:
    """Return a function that runs the given number of steps of gatys_2015 with Adam."""
    cls = registry.load("methods", "gatys_2015")
    method: Any = cls(cls.Params(optimizer="adam"))
    method.load(CPU)
    with torch.no_grad():
        targets = method.style_targets(example(size, size, 1))
    content = example(size, size)
    objective = method.objective(content, targets, 1.0)
    return lambda count: descend(content.pixels, objective, count)


def dumoulin_passes(size: int) -> Callable[[int], object]:
    """Return a function that runs the network of Dumoulin et al. the given number of times."""
    params = InferenceParams()
    design = Design(normalisation="conditional", padding="mirror", upsampling="nearest")
    network = for_inference(TransformationNetwork(design), params, CPU)
    condition = torch.ones(1, network.conditioned_values)
    pixels = example(size, size).pixels.contiguous(memory_format=torch.channels_last)

    def passes(count: int) -> None:
        with inference(params, CPU):
            for _ in range(count):
                network(pixels, condition)

    return passes


@pytest.mark.bench
@pytest.mark.parametrize("make", [gatys_steps, dumoulin_passes])
def test_time_per_pixel_is_constant_from_128_to_1024_px(benchmark, make, network_weights):
    """Johnson's network is left out: with its border of 40 px, 128 px are 2.3 times as many."""
    sizes = (128, 256, 512, 1024)
    calls = {size: make(size) for size in sizes}
    rounds: dict[int, list[float]] = {size: [] for size in sizes}
    for call in calls.values():
        call(2)

    def once() -> None:
        for size, call in calls.items():
            # the same number of pixels for each size
            count = (max(sizes) // size) ** 2
            rounds[size].append(seconds_of(partial(call, count), CPU) / count / size**2)

    benchmark.pedantic(once, rounds=11)
    dearest, cheapest = (
        by(sizes, key=lambda size: statistics.median(rounds[size])) for by in (max, min)
    )
    row = None
    for size in sizes:
        if size != cheapest:
            row_of_size = add_row(
                benchmark,
                list(zip(rounds[size], rounds[cheapest], strict=True)),
                case=f"A pixel of {size} px, {make.__name__.replace('_', ' ')}",
                compared_with=f"a pixel of {cheapest} px",
                limit=1.5,
            )
            row = row_of_size if size == dearest else row
    assert row is not None
    assert row.ratio <= row.limit


def peak_of(code: str) -> int:
    """Return the peak resident set in bytes of a program in a new process."""
    tail = "\nfrom pathlib import Path\nprint(Path('/proc/self/status').read_text())"
    found = subprocess.run(
        [sys.executable, "-c", code + tail],
        env=with_large_pages(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in found.stdout.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


STYLIZE = """
import torch
from nstbench.plugins import registry
from nstbench.core.glibc_malloc import keep_freed_memory
from nstbench.generate.conformance.method_checks import example
keep_freed_memory()
cls = registry.load("methods", "gatys_2015")
method = cls(cls.Params(iterations=3, precision={precision!r}, checkpointing={checkpointing}))
method.load(torch.device("cpu"))
method.prepare(example(1024, 1024, kind=1))
method.stylize(example(1024, 1024), generator=torch.Generator().manual_seed(0),
               on_step=lambda _: None)
"""


@pytest.mark.bench
def test_gatys_at_1024_px_takes_less_than_6_gib(benchmark, network_weights):
    peaks = {}

    def once() -> None:
        for checkpointing in (False, True):
            code = STYLIZE.format(precision="float32", checkpointing=checkpointing)
            peaks[checkpointing] = peak_of(code)

    benchmark.pedantic(once, rounds=1)
    benchmark.extra_info |= {"peak": peaks[False], "peak_with_checkpointing": peaks[True]}
    print(f"peaks: {peaks[False] / 2**30:.2f} GiB, checkpointing {peaks[True] / 2**30:.2f} GiB")
    assert peaks[False] < 6 * 2**30
    assert peaks[True] < 0.9 * peaks[False]
