"""The only clock of the project: synchronised timing, calibration, memory."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_SLOW_SECONDS = 10.0
_SLOW_REPEATS = 3
CALIBRATION_SIZE = 256


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
    function: Callable[[], Any],
    device: torch.device,
    repeats: int,
    done: int = 0,
    own_seconds: Callable[[], float | None] | None = None,
) -> tuple[float, ...]:
    """Time a function repeatedly; functions slower than 10 s are timed three times at least.

    Args:
        function: what to time; its result is dropped.
        device: device to synchronise.
        repeats: wanted number of samples.
        done: samples that exist already and count towards ``repeats``.
        own_seconds: called after ``function``; a number takes the place of the clock's.
    """
    samples: list[float] = []
    while len(samples) + done < repeats:
        _, seconds = timed(function, device)
        own = own_seconds() if own_seconds else None
        samples.append(seconds if own is None else own)
        if min(samples) > _SLOW_SECONDS:
            repeats = min(repeats, _SLOW_REPEATS)
    return tuple(samples)


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
        convolution = torch.nn.utils.skip_init(
            torch.nn.Conv2d, channels, width, kernel_size=3, padding=1
        )
        with torch.no_grad():
            convolution.weight.normal_(0, (2 / (9 * channels)) ** 0.5, generator=generator)
            convolution.bias.zero_()
        layers += [convolution, torch.nn.ReLU()]
        channels = width
    picture = torch.rand(1, 3, CALIBRATION_SIZE, CALIBRATION_SIZE, generator=generator)
    return torch.nn.Sequential(*layers).to(device), picture.to(device)


def calibrate(device: torch.device, repeats: int = 3) -> tuple[float, ...]:
    """Time the fixed calibration kernel: a VGG-16 forward pass at 256 px, float32.

    Latencies of two machines, or of one machine on two days, are compared after
    division by this number (measured in the same process, around the samples).
    """
    network, picture = _calibration_network(device)
    with torch.inference_mode():
        network(picture)
        return tuple(timed(lambda: network(picture), device)[1] for _ in range(repeats))


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
    with contextlib.suppress(OSError, AttributeError):
        # memory that the allocator keeps would hide what the block needs
        ctypes.CDLL(None).malloc_trim(0)
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
