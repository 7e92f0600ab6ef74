"""The only clock of the project: synchronised timing, calibration, memory."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from nstbench.core.glibc_malloc import give_back_memory
from nstbench.core.records import Samples

T = TypeVar("T")
OwnSeconds = Callable[[], float | None]

_SLOW_SECONDS = 10.0
_SLOW_REPEATS = 3
_BLOCK_SECONDS = 0.02
_BLOCK_CALLS = 1000
# A GPU answers a small picture faster than it is asked.
_CALIBRATION_SIZE = {"cuda": 256}
_CALIBRATION_SIZE_ELSEWHERE = 128


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was queued; a CPU has nothing queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(function: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Call a function and return its result and wall-clock seconds.

    The device is synchronised on both sides, so queued work of earlier calls is
    not counted and the function's own is.
    """
    synchronize(device)
    start = time.perf_counter()
    result = function()
    synchronize(device)
    return result, time.perf_counter() - start


def sample(
    function: Callable[[], Any], device: torch.device, repeats: int, done: int = 0
) -> tuple[float, ...]:
    """Time a function repeatedly; functions slower than 10 s are timed three times at least.

    Args:
        function: what to time; its result is dropped.
        device: device to synchronise.
        repeats: wanted number of samples.
        done: samples that exist already and count towards ``repeats``.
    """
    samples: list[float] = []
    while len(samples) + done < repeats:
        samples.append(timed(function, device)[1])
        if min(samples) > _SLOW_SECONDS:
            repeats = min(repeats, _SLOW_REPEATS)
    return tuple(samples)


def _no_clock() -> float | None:
    """Leave the timing to the clock here."""
    return None


def waited() -> float | None:
    """Return the seconds for which this thread was ready to run and another one had the core.

    The counter of Linux's scheduler (Documentation/scheduler/sched-stats.rst); it grows while
    other programs keep this one from running, and stands still while it runs or sleeps.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):
        return None


def one_sample(
    function: Callable[[], T], device: torch.device, own_seconds: OwnSeconds = _no_clock
) -> tuple[T, Samples]:
    """Call a function once and return its result and its sample.

    Where ``own_seconds`` answers with a number afterwards, that takes the place of the clock's.
    The counter of waiting is read outside of the timed part, where another program may step
    in, too; so no more counts as waiting than the time in which this thread did not run.
    """
    before, processor = waited(), time.thread_time()
    result, seconds = timed(function, device)
    idle = max(0.0, seconds - (time.thread_time() - processor))
    after = waited()
    own = own_seconds()
    if own is not None:
        return result, Samples((own,), (0.0,))
    waits = () if before is None or after is None else (min(after - before, idle),)
    return result, Samples((seconds,), waits)


def sample_beside_kernel(
    function: Callable[[], Any],
    device: torch.device,
    repeats: int,
    done: int = 0,
    own_seconds: OwnSeconds = _no_clock,
) -> tuple[Samples, Samples]:
    """Time a function and the calibration kernel in turns, so that both meet the same machine.

    A function of less than 20 ms is called several times for one sample, which is the mean
    of the calls: a single call of microseconds says more about the clock than about it.

    Args:
        function: what to time; its result is dropped.
        device: device to synchronise.
        repeats: wanted number of samples; see :func:`sample` for slow functions.
        done: samples that exist already and count towards ``repeats``.
        own_seconds: what the function says that its last call took; ``None`` to measure it.

    Returns:
        The samples of the function, and one more of the kernel: one before the first and
        one after each.
    """
    found, kernel, calls = Samples(), calibrate(device, 1), 1
    if repeats > done:
        trial = one_sample(function, device, own_seconds)[1]
        if _own(trial) < _BLOCK_SECONDS and own_seconds() is None:
            calls = _calls_per_sample(function, device)
        else:
            found, kernel = trial, kernel + calibrate(device, 1)
    while len(found.seconds) + done < repeats:
        found += _block(function, device, calls, own_seconds)
        kernel += calibrate(device, 1)
        if min(found.seconds) > _SLOW_SECONDS:
            repeats = min(repeats, _SLOW_REPEATS)
    return found, kernel


def _calls_per_sample(function: Callable[[], Any], device: torch.device) -> int:
    seconds = min(_own(one_sample(function, device)[1]) for _ in range(2))
    return max(1, min(_BLOCK_CALLS, round(_BLOCK_SECONDS / max(seconds, 1e-9))))


def _own(sample: Samples) -> float:
    return sample.seconds[0] - sum(sample.waits)


def _block(
    function: Callable[[], Any], device: torch.device, calls: int, own_seconds: OwnSeconds
) -> Samples:
    """Return the mean of several calls as one sample; each call is synchronised by itself."""
    if calls == 1:
        return one_sample(function, device, own_seconds)[1]

    def block() -> None:
        for _ in range(calls):
            timed(function, device)

    found = one_sample(block, device)[1]
    return Samples((found.seconds[0] / calls,), tuple(wait / calls for wait in found.waits))


@cache
def _calibration_network(device: torch.device) -> tuple[torch.nn.Module, torch.Tensor]:
    """VGG-16's convolutions with random weights: the work is the same, no download needed."""
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
    side = _CALIBRATION_SIZE.get(device.type, _CALIBRATION_SIZE_ELSEWHERE)
    picture = torch.rand(1, 3, side, side, generator=generator)
    return torch.nn.Sequential(*layers).to(device), picture.to(device)


def calibrate(device: torch.device, repeats: int = 3) -> Samples:
    """Time the fixed calibration kernel: a VGG-16 forward pass, float32.

    The picture has 256 px on CUDA and 128 px elsewhere.
    Latencies of two machines, or of one machine on two days, are compared after
    division by this number (measured in the same process, in turns with the samples).
    """
    network, picture = _calibration_network(device)
    with torch.inference_mode():
        _warm_up(device)
        found = (one_sample(lambda: network(picture), device)[1] for _ in range(repeats))
        return sum(found, Samples())


@cache
def _warm_up(device: torch.device) -> None:
    network, picture = _calibration_network(device)
    network(picture)


class PeakMemory:
    """Peak memory of a block above the level at its start.

    On CUDA this is the allocator's peak; on Linux the kernel's peak resident set
    of this process, which is reset at the start. Elsewhere it is ``None``.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak: int | None = None

    @contextlib.contextmanager
    def measure(self) -> Iterator[None]:
        """Measure the block; ``peak`` is set when it ends."""
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
        peak = _peak_rss()
        if level_rss is not None and peak is not None:
            self.peak = max(0, peak - level_rss)


def _reset_peak_rss() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    # memory that the allocator keeps would hide what the block needs
    give_back_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status_bytes("VmRSS")


def _peak_rss() -> int | None:
    return _status_bytes("VmHWM")


def _status_bytes(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None
