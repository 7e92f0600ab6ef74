"""The timing stage takes a limited time, the quickest methods first, and names what is missing."""

from __future__ import annotations

import time
from itertools import count

import pytest
import torch

from nstbench.generate import batch_timing, clock
from nstbench.generate.batch_timing import time_batch
from nstbench.generate.clock import sample, sample_with_kernel
from nstbench.pipeline.job import execute
from nstbench.pipeline.timing_stage import timing_limit
from nstbench.plan.config import RunConfig
from nstbench.plan.config_file import build_config

CPU = torch.device("cpu")

METHOD = """
import time
from pydantic import Field
from nstbench.contracts import Flexibility, Method, MethodInfo, Parameters

class Sleeper(Method):
    info = MethodInfo("Sleeper", "me", 2026, "", "test", Flexibility.ARBITRARY)

    class Params(Parameters):
        seconds: float = Field(0.001, description="seconds of a call")

    def prepare(self, style):
        pass

    def does_batches(self):
        return True

    def stylize_batch(self, pairs):
        return [self.stylize(p.content, generator=p.generator, on_step=p.on_step) for p in pairs]

    def stylize(self, content, *, generator, on_step):
        time.sleep(self.params.seconds)
        return content.pixels.flip(-1)
"""


@pytest.fixture
def slow_run(picture_folders, tmp_path):
    """Return a function that runs the method with several durations, with a limited timing."""
    contents, styles = picture_folders
    file = tmp_path / "sleeper.py"
    file.write_text(METHOD)

    def run(limit, *seconds, **given):
        return execute(
            build_config(
                {
                    "methods": ",".join(f"sleeper:seconds={each}" for each in seconds),
                    "plugins": (str(file),), "metrics": ("latency",), "contents": str(contents),
                    "styles": str(styles), "size": 32, "limit": 1, "device": "cpu", "threads": 1,
                    "workers": 1, "out": tmp_path / "run", "formats": ("csv",),
                    "timing_seconds": limit, **given,
                }
            )
        )  # fmt: skip

    return run


def note_of(board):
    """Return the note about the limit; empty if there is none."""
    return next((note for note in board.info["notes"] if "timing was limited" in note), "")


def test_slow_methods_get_fewer_samples_or_no_timing_and_the_note_names_them(slow_run):
    board = slow_run(3.0, 2.5, 0.25, 0.001, pairs_per_batch=4)
    assert board.info["stage_seconds"]["time"] < 4.0
    timings = {timing.method: timing for timing in board.timings}
    quick, medium = (timings.pop(f"sleeper:seconds={each}") for each in (0.001, 0.25))
    assert not timings, "a timing of the slowest takes more than 5 s"
    assert (len(quick.latency), quick.batch, quick.left_out) == (10, 4, ())
    assert 1 <= len(medium.latency) < 10
    assert {"samples", "batches"} <= set(medium.left_out)
    assert medium.batch_seconds == () or medium.batch < 4
    note = note_of(board)
    assert "whole timings (sleeper:seconds=2.5)" in note
    assert "; samples (sleeper:seconds=0.25)" in note
    assert "0.001" not in note
    # the same command goes on with what is missing
    again = slow_run(7.0, 2.5, 0.25, 0.001, pairs_per_batch=4)
    assert len(again.timings) == 3
    assert quick in again.timings


def test_without_slow_methods_nothing_is_left_out(slow_run):
    board = slow_run(None, 0.001)
    assert [timing.left_out for timing in board.timings] == [()]
    assert note_of(board) == ""


def test_the_limit_is_a_quarter_of_generation_and_at_least_a_minute():
    assert timing_limit(RunConfig(), 40.0) == 60.0
    assert timing_limit(RunConfig(), 4000.0) == 1000.0
    assert timing_limit(RunConfig(timing_seconds=5.0), 4000.0) == 5.0


@pytest.fixture
def now(monkeypatch):
    """Replace the clock by one that only the tested function advances."""
    time_now = [0.0]
    for module in (clock, batch_timing):
        monkeypatch.setattr(module.time, "perf_counter", lambda: time_now[0])
    monkeypatch.setattr(clock, "waited", lambda: None)
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    return time_now


@pytest.mark.parametrize(("limit", "samples"), [(0.0, 1), (7.0, 3), (8.0, 4), (1e9, 9)])
def test_no_sample_begins_that_would_end_too_late(now, monkeypatch, limit, samples):
    def call():
        now[0] += 2.0

    kernel = type("Kernel", (), {"latest": lambda self: clock.Samples((0.1,) * 3)})
    monkeypatch.setattr(clock, "kernel_of", lambda device: kernel())
    assert len(sample(call, CPU, 9, limit)) == samples
    now[0] = 0.0
    assert len(sample_with_kernel(call, CPU, 9, most_seconds=limit)[0].seconds) == samples


@pytest.mark.parametrize(
    ("limit", "pairs", "samples"), [(0.3, 1, 0), (0.8, 2, 3), (3.2, 8, 3), (1e9, 10, 3)]
)
def test_batches_shrink_to_the_time_that_is_left(now, limit, pairs, samples):
    class Method:
        def does_batches(self):
            return True

        def stylize_batch(self, given):
            now[0] += 0.1 * len(given)
            return [None] * len(given)

    found = time_batch(Method(), None, CPU, "auto", 0.1, limit + 1e-9)
    assert (found[0], len(found[1]), found[2]) == (pairs, samples, limit < 1e9)
    assert now[0] <= limit + 1e-6


def test_batches_that_are_slower_than_expected_are_not_repeated(now):
    class Method:
        calls = count()

        def does_batches(self):
            return True

        def stylize_batch(self, given):
            next(self.calls)
            now[0] += 9.0
            return [None] * len(given)

    method = Method()
    assert time_batch(method, None, CPU, 4, 0.1, 16.0) == (1, (), True)
    assert next(method.calls) == 1
