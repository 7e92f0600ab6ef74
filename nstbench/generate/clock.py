"""Measures time and memory: synchronised timing, calibration kernel, peak memory."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from nstbench.core.glibc_malloc import give_back_memory
from nstbench.core.records import Samples

T = TypeVar("T")
OwnSeconds = Callable[[], float | None]
"""Returns the seconds that a method measured itself for its last call; None if it does not."""

KERNEL_RUNS = 3
"""Runs of the calibration kernel at a time; their median is not changed by one disturbed run."""

KERNEL_PAUSE = 24.0
"""Pause until the kernel runs again, in seconds of its last runs. It then takes at most 4 % of the
time of measuring."""

_SLOW_SECONDS = 10.0
_SLOW_REPEATS = 3
_BLOCK_SECONDS = 0.02
_BLOCK_CALLS = 1000
# On a GPU, a smaller picture would take less time than launching its kernels.
_CALIBRATION_SIZE = {"cuda": 256}
_DEFAULT_CALIBRATION_SIZE = 128


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work; a CPU queues none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(function: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Call a function and return its result and wall-clock seconds.

    The device is synchronised before and after the call. Queued work of earlier calls is
    therefore not counted, and the function's own work is.
    """
    synchronize(device)
    start = time.perf_counter()
    result = function()
    synchronize(device)
    return result, time.perf_counter() - start


def timed_by_both(
    function: Callable[[], T], device: torch.device
) -> tuple[T, float, tuple[float, ...]]:
    """Return what :func:`timed` does, and the seconds by the clock of the GPU.

    Events before and after the call measure them: the call's launches are not counted, unless the
    GPU waits for them. Other devices have no such clock, and the tuple is empty.
    """
    if device.type != "cuda":
        return *timed(function, device), ()
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def between() -> T:
            begin.record()
            result = function()
            end.record()
            return result

        result, seconds = timed(between, device)
        return result, seconds, (begin.elapsed_time(end) / 1000,)


def sample(
    function: Callable[[], Any], device: torch.device, repeats: int, most_seconds: float = math.inf
) -> tuple[float, ...]:
    """Time a function repeatedly; of a function slower than 10 s, take three samples at most.

    Args:
        function: the function to time; its result is dropped.
        device: device to synchronise.
        repeats: wanted number of samples.
        most_seconds: no sample begins that would end later than this, except the first.

    Returns:
        The seconds of each sample.
    """
    samples: list[float] = []
    while len(samples) < repeats:
        samples.append(timed(function, device)[1])
        if sum(samples) + min(samples) > most_seconds:
            break
        repeats = wanted_samples(repeats, samples)
    return tuple(samples)


def wanted_samples(repeats: int, seconds: Sequence[float]) -> int:
    """Return how many samples to take of a function with these samples; three if it is slow."""
    return min(repeats, _SLOW_REPEATS) if min(seconds, default=0) > _SLOW_SECONDS else repeats


def _no_clock() -> float | None:
    """Return None: the function does not measure itself."""
    return None


def waited() -> float | None:
    """Return the seconds in which this thread was ready to run and another one had the core.

    This is a counter of Linux's scheduler (Documentation/scheduler/sched-stats.rst). It grows
    while other programs keep the thread from running, and not while the thread runs or sleeps.

    Returns:
        Seconds since the thread started; None where the system does not count them.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):
        return None


def one_sample(
    function: Callable[[], T], device: torch.device, own_seconds: OwnSeconds = _no_clock
) -> tuple[T, Samples]:
    """Call a function once and return its result and its sample.

    If ``own_seconds`` returns a number after the call, it replaces the measured time. The
    counter of waiting is read outside the timed part, where another program may get the core
    as well. The waiting is therefore limited to the time in which this thread did not run.
    """
    before, processor = waited(), time.thread_time()
    result, seconds, on_device = timed_by_both(function, device)
    idle = max(0.0, seconds - (time.thread_time() - processor))
    after = waited()
    measured_itself = own_seconds()
    if measured_itself is not None:
        return result, Samples((measured_itself,), (0.0,))
    waits = () if before is None or after is None else (min(after - before, idle),)
    return result, Samples((seconds,), waits, on_device)


def sample_with_kernel(
    function: Callable[[], Any],
    device: torch.device,
    repeats: int,
    own_seconds: OwnSeconds = _no_clock,
    most_seconds: float = math.inf,
) -> tuple[Samples, Samples]:
    """Time a function and the calibration kernel in turns, on a machine in the same state.

    A function of less than 20 ms is called several times per sample, and the sample is the mean
    of the calls, because the clock is too coarse for a single call of microseconds.

    Args:
        function: the function to time; its result is dropped.
        device: device to synchronise.
        repeats: wanted number of samples; see :func:`sample` for slow functions.
        own_seconds: returns the seconds that the function measured itself, or None.
        most_seconds: no sample begins that would end later than this, except the first.

    Returns:
        The samples of the function, and those of the kernel from before the first sample to
        after the last one (:class:`Kernel`).
    """
    kernel = kernel_of(device)
    samples, calls = Samples(), 1
    begin = time.perf_counter()
    found = [kernel.latest()]
    trial = one_sample(function, device, own_seconds)[1]
    if _running_seconds(trial) < _BLOCK_SECONDS and own_seconds() is None:
        calls = _calls_per_sample(function, device)
    else:
        samples = trial
        found.append(kernel.latest())
    while len(samples.seconds) < repeats:
        next_seconds = calls * min(samples.seconds, default=0.0)
        if samples.seconds and time.perf_counter() - begin + next_seconds > most_seconds:
            break
        samples += _block(function, device, calls, own_seconds)
        found.append(kernel.latest())
        repeats = wanted_samples(repeats, samples.seconds)
    # one run of the kernel is one object
    return samples, sum({id(run): run for run in found}.values(), Samples())


def _calls_per_sample(function: Callable[[], Any], device: torch.device) -> int:
    """Return how many calls take about 20 ms."""
    seconds = min(_running_seconds(one_sample(function, device)[1]) for _ in range(2))
    return max(1, min(_BLOCK_CALLS, round(_BLOCK_SECONDS / max(seconds, 1e-9))))


def _running_seconds(sample: Samples) -> float:
    """Return the seconds of a single sample without those of waiting for a core."""
    return sample.seconds[0] - sum(sample.waits)


def _block(
    function: Callable[[], Any], device: torch.device, calls: int, own_seconds: OwnSeconds
) -> Samples:
    """Return the mean of several calls as one sample; the device is synchronised at each call."""
    if calls == 1:
        return one_sample(function, device, own_seconds)[1]

    on_device: list[float] = []

    def block() -> None:
        for _ in range(calls):
            on_device.extend(timed_by_both(function, device)[2])

    whole = one_sample(block, device)[1]
    return Samples(
        (whole.seconds[0] / calls,),
        tuple(wait / calls for wait in whole.waits),
        (sum(on_device) / calls,) if on_device else (),
    )


@cache
def _calibration_network(device: torch.device) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return VGG-16's convolutions and a picture; weights are random, so none are downloaded."""
    widths = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
    generator = torch.Generator().manual_seed(0)
    layers: list[torch.nn.Module] = []
    channels = 3
    for width in widths:
        if width == 0:
            layers.append(torch.nn.MaxPool2d(2))
            continue
        convolution = torch.nn.Conv2d(channels, width, kernel_size=3, padding=1, device="meta")
        weight = torch.empty(width, channels, 3, 3)
        weight.normal_(0, (2 / (9 * channels)) ** 0.5, generator=generator)
        convolution.weight = torch.nn.Parameter(weight)
        convolution.bias = torch.nn.Parameter(torch.zeros(width))
        layers += [convolution, torch.nn.ReLU()]
        channels = width
    side = _CALIBRATION_SIZE.get(device.type, _DEFAULT_CALIBRATION_SIZE)
    picture = torch.rand(1, 3, side, side, generator=generator)
    return torch.nn.Sequential(*layers).to(device), picture.to(device)


def calibrate(device: torch.device, repeats: int = 3) -> Samples:
    """Time the fixed calibration kernel: a VGG-16 forward pass, float32.

    The picture has 256 x 256 px on CUDA and 128 x 128 px on other devices. Latencies of two
    machines, or of one machine on two days, are compared after division by this time, which is
    measured in the same process and in turns with the samples.

    Args:
        device: device to run on.
        repeats: number of samples.
    """
    network, picture = _calibration_network(device)
    with torch.inference_mode():
        _warm_up(device)
        samples = (one_sample(lambda: network(picture), device)[1] for _ in range(repeats))
        return sum(samples, Samples())


@cache
def _warm_up(device: torch.device) -> None:
    """Run the kernel once per process, untimed."""
    network, picture = _calibration_network(device)
    network(picture)


class Kernel:
    """Runs the calibration kernel so seldom that it takes a small share of the time.

    Args:
        device: device to run on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._latest = Samples()
        self._due = 0.0

    def latest(self) -> Samples:
        """Return the latest samples of the kernel, and take new ones if they are due.

        They are due when the time since the latest ones is :data:`KERNEL_PAUSE` times as long as
        the kernel took.
        """
        if not self._latest.seconds or time.perf_counter() >= self._due:
            self._latest = calibrate(self._device, KERNEL_RUNS)
            self._due = time.perf_counter() + KERNEL_PAUSE * sum(self._latest.seconds)
        return self._latest


@cache
def kernel_of(device: torch.device) -> Kernel:
    """Return the kernel of a device, which all timings of this process share."""
    return Kernel(device)


class PeakMemory:
    """Measures the peak memory of a block in bytes, above the level at its start.

    On CUDA this is the peak of torch's allocator, on Linux the kernel's peak resident set of
    this process. It stays None on other systems.

    Args:
        device: device of the block.

    Attributes:
        peak: bytes, once the block has ended; None if not measured.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak: int | None = None

    @contextlib.contextmanager
    def measure(self) -> Iterator[None]:
        """Measure a block and set ``peak`` when it ends."""
        if self.device.type == "cuda":
            synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            level = torch.cuda.memory_allocated(self.device)
            yield
            synchronize(self.device)
            self.peak = torch.cuda.max_memory_allocated(self.device) - level
            return
        level_rss = _reset_peak_rss()
        yield
        peak = _status_bytes("VmHWM")
        if level_rss is not None and peak is not None:
            self.peak = max(0, peak - level_rss)


def _reset_peak_rss() -> int | None:
    """Reset the peak resident set; return the present one in bytes, or None without a reset."""
    if not sys.platform.startswith("linux"):
        return None
    # The block would reuse memory that the allocator keeps, and its need would not show.
    give_back_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int | None:
    """Return a field of /proc/self/status in bytes; None where it is missing."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None
