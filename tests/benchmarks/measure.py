"""Time two implementations in turns, and measure the peak speed of the machine."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from scipy.stats import binom

CONFIDENCE = 0.95
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table of ``make bench``.

    Attributes:
        case: name of the case.
        ours: seconds of nstbench.
        reference: seconds of the reference implementation.
        compared_with: name of the reference implementation.
        ratio: median of the ratios of neighbouring rounds, with its interval.
        limit: largest allowed ``ratio``.
        share: work per second over the measured ceiling of the device, if work was counted.
        per_second: pictures per second of nstbench, if the case produces pictures.
    """

    case: str
    ours: float
    reference: float
    compared_with: str
    ratio: float
    low: float
    high: float
    limit: float | None
    share: float | None
    per_second: float | None


ROWS: list[Row] = []
"""The measurements of this process, in order."""


def seconds_of(function: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds of a call: by CUDA events on a GPU, by the clock on other devices."""
    if device.type != "cuda":
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    function()
    end.record()
    torch.cuda.synchronize(device)
    return float(begin.elapsed_time(end)) / 1000


def repeat(function: Callable[[], Any], count: int) -> None:
    """Call a function several times."""
    for _ in range(count):
        function()


def alternate(
    own: Callable[[], Any], other: Callable[[], Any], *, rounds: int, device: torch.device
) -> list[tuple[float, float]]:
    """Return (ours, reference) seconds of rounds that follow an untimed one.

    The reference comes first in each round, so that changes of the machine affect both.
    """
    pairs = []
    for _ in range(rounds + 1):
        reference = seconds_of(other, device)
        pairs.append((seconds_of(own, device), reference))
    return pairs[1:]


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Compute float32 products of a GPU in float32; torch rounds inputs of convolutions to TF32."""
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cublas.allow_tf32
    cudnn.allow_tf32 = cublas.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, cublas.allow_tf32 = before


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return an interval of order statistics that covers the median in 95 % of all cases.

    With fewer than six values no such interval exists, and the range is returned.
    """
    ordered = sorted(values)
    skip = int(binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    skip = max(0, min(skip - 1, (len(ordered) - 1) // 2))
    return ordered[skip], ordered[-1 - skip]


def compare(
    benchmark: Any,
    own: Callable[[], Any],
    other: Callable[[], Any],
    *,
    case: str,
    compared_with: str,
    limit: float | None = None,
    rounds: int = 7,
    warm_up: bool = True,
    device: torch.device = CPU,
    flops: float | None = None,
    dtype: torch.dtype = torch.float32,
    pictures: int | None = None,
) -> Row:
    """Time ``own`` after ``other`` in rounds, so that changes of the machine affect both.

    Args:
        benchmark: fixture of pytest-benchmark.
        own: the implementation of nstbench.
        other: the reference implementation.
        case: name of the case, for the table.
        compared_with: name of ``other``, for the table.
        limit: largest allowed ratio; the caller asserts it.
        rounds: number of rounds.
        warm_up: whether an untimed round comes first.
        device: device of both.
        flops: floating-point operations of ``own``.
        dtype: number format in which ``own`` computes.
        pictures: number of pictures that ``own`` produces.
    """
    owns: list[float] = []
    others: list[float] = []
    benchmark.pedantic(
        lambda: owns.append(seconds_of(own, device)),
        setup=lambda: others.append(seconds_of(other, device)),
        rounds=rounds,
        warmup_rounds=int(warm_up),
    )
    pairs = list(zip(owns, others, strict=True))[-rounds:]
    return add_row(
        benchmark,
        pairs,
        case=case,
        compared_with=compared_with,
        limit=limit,
        share=None
        if flops is None
        else flops / statistics.median(p[0] for p in pairs) / ceiling(device, dtype),
        pictures=pictures,
    )


def add_row(
    benchmark: Any,
    pairs: Sequence[tuple[float, float]],
    *,
    case: str,
    compared_with: str,
    limit: float | None,
    share: float | None = None,
    pictures: int | None = None,
) -> Row:
    """Add a line of (ours, reference) seconds to the table and to pytest-benchmark's JSON."""
    ratios = [own / other for own, other in pairs]
    low, high = median_interval(ratios)
    row = Row(
        case=case,
        ours=statistics.median(own for own, _ in pairs),
        reference=statistics.median(other for _, other in pairs),
        compared_with=compared_with,
        ratio=statistics.median(ratios),
        low=low,
        high=high,
        limit=limit,
        share=share,
        per_second=None if pictures is None else pictures / statistics.median(p[0] for p in pairs),
    )
    ROWS.append(row)
    benchmark.extra_info |= {
        "compared_with": compared_with, "reference_s": row.reference, "ratio": row.ratio,
        "ratio_low": low, "ratio_high": high, "ceiling_share": share,
        "pictures_per_second": row.per_second,
    }  # fmt: skip
    return row


def side_on(device: torch.device) -> int:
    """Return the side of matrices whose product is long enough to reach the peak of a device."""
    return 8192 if device.type == "cuda" else 2048


@cache
def ceiling(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Return the floating-point operations per second of the best large kernel of a format.

    The better of a product of square matrices and of a 3 x 3 convolution of 256 channels,
    channels last, at 64 x 64 positions; a multiply-add is two operations.

    Args:
        device: device to measure.
        dtype: number format.
        side: of the matrices; that of :func:`side_on` if it is not given.
    """
    side = side or side_on(device)
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    maps = torch.rand(2, 256, 64, 64, device=device).to(dtype, memory_format=torch.channels_last)
    kernels = torch.rand(256, 256, 3, 3, device=device)
    kernels = kernels.to(dtype, memory_format=torch.channels_last)
    candidates: list[tuple[float, Callable[[], Any]]] = [
        (2 * side**3, lambda: left @ right),
        (2 * 2 * 64 * 64 * 256 * 256 * 9, lambda: torch.conv2d(maps, kernels, padding=1)),
    ]
    best = 0.0
    # the clock of an idle GPU takes some products to rise
    repeats = 40 if device.type == "cuda" else 12
    with torch.inference_mode():
        for (work, kernel), _ in itertools.product(candidates, range(repeats)):
            best = max(best, work / seconds_of(kernel, device))
    return best
