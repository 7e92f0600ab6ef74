"""Timing from the units of the run: which of them are samples, and no calls of slow methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit_records import unit_record

from nstbench.core.records import UnitRecord
from nstbench.generate.executors.choose import resolve_workers
from nstbench.pipeline.job import execute
from nstbench.pipeline.timing_stage import own_samples
from nstbench.plan.config import RunConfig
from nstbench.plan.config_file import build_config
from nstbench.store.store import Store

MACHINE = {"device_name": "d"}

METHOD = """
import time
from pathlib import Path
import torch
from nstbench.contracts import Flexibility, Method, MethodInfo

class Slow(Method):
    info = MethodInfo("Slow", "me", 2026, "", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style.pixels

    def stylize(self, content, *, generator, on_step):
        with Path({log!r}).open("a") as log:
            log.write("call\\n")
        time.sleep({seconds})
        weights = torch.ones(3, 3, 1, 1) / 3
        return torch.nn.functional.conv2d(content.pixels, weights).clamp(0, 1)

    def expected_seconds(self, size):
        return {guess}
"""


def configuration(**given: object) -> RunConfig:
    return resolve_workers(
        build_config({"size": 64, "timing_repeats": 10, "device": "cpu", "threads": 1, **given})
    )


def record(seconds: float, **facts: object) -> UnitRecord:
    shared = {"size": 64, "device_name": "d", "threads": 1, "alone": True, "waits": (0.0,)}
    return unit_record("0f", "done", **{**shared, "seconds": seconds, **facts})


def count(records: list[UnitRecord], **given: object) -> int:
    found = own_samples(configuration(**given), records, 64, MACHINE)
    return len(found.latency.seconds) if found else 0


@pytest.mark.parametrize(
    ("records", "samples"),
    [
        ([record(1.5)] * 5, 5),
        ([record(1.5)] * 4, 0),
        ([record(4.5)], 1),
        ([record(0.5)] * 9, 0),
        ([record(4.5, alone=False)] * 5, 0),
        ([record(4.5, threads=2)] * 5, 0),
        ([record(9.0, waits=(8.5,))] * 5, 0),
    ],
)
def test_units_of_slow_methods_are_the_samples(records, samples):
    assert count(records) == samples


def test_an_observed_unit_is_a_sample_only_without_others():
    observed = record(7.0, observed=True)
    found = own_samples(configuration(), [observed, *[record(5.0)] * 2], 64, MACHINE)
    assert found is not None
    assert found.latency.seconds == (5.0, 5.0)
    assert count([observed]) == 1


def test_the_first_call_is_that_of_the_first_unit():
    later = record(5.0, started="2026-01-01T00:00:02")
    first = record(6.0, started="2026-01-01T00:00:01")
    found = own_samples(configuration(), [later, first], 64, MACHINE)
    assert found is not None
    assert found.first_call == 6.0


@pytest.mark.parametrize(("seconds", "slow"), [(1.1, True), (0.05, False)])
def test_a_slow_method_is_called_once_per_unit(picture_folders, tmp_path, seconds, slow):
    """The run's own units give latency, memory and operations; a quick method is repeated."""
    contents, styles = picture_folders
    log = tmp_path / "calls"
    file = tmp_path / "slow_one.py"
    file.write_text(METHOD.format(log=str(log), seconds=seconds, guess=2 * seconds))
    board = execute(
        build_config(
            {
                "methods": "slow_one",
                "plugins": (str(file),),
                "metrics": ("latency", "flops"),
                "contents": str(contents),
                "styles": str(styles),
                "size": 32,
                "limit": 2,
                "device": "cpu",
                "out": tmp_path / "run",
                "formats": ("csv",),
                "timing_repeats": 3,
                "seeds": "0,1",
                "workers": 1,
            }
        )
    )
    timing = board.timings[0]
    units = len(board.units)
    made = len(log.read_text().splitlines())
    flops = 2 * 3 * 3 * 32 * 32
    assert timing.flops == flops
    if not slow:
        assert timing.samples_from == "repeats"
        assert made > units
        return
    assert timing.samples_from == "generation"
    assert made == units
    assert len(timing.latency) == units - 1, "the observed unit is not a sample"
    records = [Store(Path(board.root)).record("slow_one", key) for key in board.units["key"]]
    observed = [r for r in records if r is not None and r.observed]
    assert len(observed) == 1
    assert observed[0].flops == flops
    assert observed[0].seconds is not None
    assert observed[0].seconds not in timing.latency
