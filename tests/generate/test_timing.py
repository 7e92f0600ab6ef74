"""Samples in turns with the calibration kernel, and the time of waiting for a core."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from nstbench.analysis.relative_speed import own_seconds
from nstbench.core.records import Samples
from nstbench.generate.clock import calibrate, one_sample, sample_with_kernel, waited

CPU = torch.device("cpu")
counts_waiting = pytest.mark.skipif(waited() is None, reason="the system does not count waiting")


def test_the_kernel_is_timed_before_and_after_every_sample():
    calls = []
    found, kernel = sample_with_kernel(lambda: calls.append(time.sleep(0.03)), CPU, 3)
    assert len(found.seconds) == 3
    assert len(kernel.seconds) == 4
    assert len(calls) == 3, "the trial call is a sample, too"
    assert min(found.seconds) >= 0.03


def test_quick_calls_are_averaged():
    calls = []
    found, _ = sample_with_kernel(lambda: calls.append(time.sleep(0.001)), CPU, 2)
    per_sample = (len(calls) - 3) / 2
    assert per_sample > 1
    assert min(found.seconds) >= 0.001, "a sample is the mean of its calls, not their sum"
    # Calls take longer on a busy machine, so there are fewer per sample.
    assert per_sample <= 20


def test_existing_samples_reduce_the_number_of_new_ones():
    def never():
        raise AssertionError

    found, kernel = sample_with_kernel(never, CPU, 3, done=3)
    assert found == Samples()
    assert len(kernel.seconds) == 1


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
