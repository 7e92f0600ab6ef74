"""Samples in turns with the calibration kernel, and the time of waiting for a core."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import cache

import pytest
import torch

from nstbench.analysis.relative_speed import own_seconds
from nstbench.core.records import Samples
from nstbench.generate import clock
from nstbench.generate.clock import calibrate, one_sample, sample_with_kernel, waited

CPU = torch.device("cpu")
counts_waiting = pytest.mark.skipif(waited() is None, reason="the system does not count waiting")


def test_the_kernel_takes_a_small_share_of_the_time(monkeypatch):
    now, runs = [0.0], []

    def kernel(device, repeats):
        now[0] += 0.1 * repeats
        runs.append(now[0])
        return Samples((0.1,) * repeats)

    def function():
        now[0] += 0.5
        calls.append(now[0])

    calls = []
    monkeypatch.setattr(clock, "calibrate", kernel)
    monkeypatch.setattr(clock, "kernel_of", cache(clock.Kernel))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    found, samples = sample_with_kernel(function, CPU, 40)
    assert len(found.seconds) == len(calls) == 40, "the trial call is a sample, too"
    # due 7.2 s after it ended: before the first call, and after 15 and 30 calls of 0.5 s
    assert [sum(call < run for call in calls) for run in runs] == [0, 15, 30]
    assert samples.seconds == (0.1,) * 9
    assert sum(samples.seconds) < 0.05 * now[0]
    # the next function shares the latest run
    assert sample_with_kernel(function, CPU, 2)[1].seconds == (0.1,) * 3
    assert len(runs) == 3


def test_quick_calls_are_averaged():
    calls = []
    found, _ = sample_with_kernel(lambda: calls.append(time.sleep(0.001)), CPU, 2)
    per_sample = (len(calls) - 3) / 2
    assert per_sample > 1
    assert min(found.seconds) >= 0.001, "a sample is the mean of its calls, not their sum"
    # Calls take longer on a busy machine, so there are fewer per sample.
    assert per_sample <= 20


def test_adding_samples_keeps_waits_only_if_both_have_them():
    known, unknown = Samples((1.0,), (0.1,)), Samples((2.0,))
    assert known + known == Samples((1.0, 1.0), (0.1, 0.1))
    assert known + unknown == Samples((1.0, 2.0))
    assert sum([known], Samples()) == known


@counts_waiting
def test_sleep_does_not_count_as_waiting_for_a_core():
    _, sample = one_sample(lambda: time.sleep(0.2), CPU)
    assert sample.seconds[0] >= 0.2
    assert own_seconds(sample.seconds, sample.waits)[0] >= 0.19


@counts_waiting
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned")
def test_time_of_another_program_counts_as_waiting():
    """With two programs on one core, wall-clock time is twice the processor time."""
    cores = os.sched_getaffinity(0)
    core = min(cores)
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**5))"
    os.sched_setaffinity(0, {core})
    hog = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)

        def work():
            start = time.thread_time()
            while time.thread_time() - start < 0.3:
                sum(range(1000))
            return time.thread_time() - start

        used, sample = one_sample(work, CPU)
    finally:
        hog.kill()
        hog.wait()
        os.sched_setaffinity(0, cores)
    assert sample.seconds[0] > 1.3 * used
    assert own_seconds(sample.seconds, sample.waits)[0] == pytest.approx(used, rel=0.15)


def test_calibration_has_the_wanted_number_of_samples():
    samples = calibrate(CPU, 2)
    assert len(samples.seconds) == 2
    assert min(samples.seconds) > 0


@pytest.mark.gpu
def test_a_gpu_measures_by_its_own_clock_as_well():
    device = torch.device("cuda")
    x = torch.rand(2048, 2048, device=device)
    _, found = one_sample(lambda: [x @ x for _ in range(20)], device)
    assert 0 < found.on_device[0] <= found.seconds[0] * 1.05
    many, kernel = sample_with_kernel(lambda: x @ x, device, 3)
    assert len(many.on_device) == len(many.seconds) == 3
    assert len(kernel.on_device) == len(kernel.seconds)


def test_a_cpu_has_no_other_clock():
    _, found = one_sample(lambda: None, CPU)
    assert found.on_device == ()
    both = Samples((1.0,), (0.0,), (0.5,))
    assert (both + both).on_device == (0.5, 0.5)
    assert (both + found).on_device == ()
