"""Times one method variant at one size, inside a worker process."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from nstbench.contracts import Method, Picture
from nstbench.core.environment import describe_environment
from nstbench.core.isolation import isolated
from nstbench.core.records import ImageRecord, Samples, Timing
from nstbench.generate.batch_timing import time_batch
from nstbench.generate.clock import (
    PeakMemory,
    kernel_of,
    sample,
    sample_with_kernel,
    timed,
    wanted_samples,
)
from nstbench.generate.flops import count_flops
from nstbench.generate.traces import ignore
from nstbench.generate.unit_inputs import make_method, read_input
from nstbench.store.store import Store

_PREPARATIONS = 3
_QUICK = 0.5
"""Seconds of a call that is made twice before the samples on a GPU: the second call of a network
records a graph."""
_FOR_PREPARING, _FOR_SAMPLES = 0.25, 0.6
"""Shares of what is left of a limited time."""


@dataclass(frozen=True, slots=True)
class OwnSamples:
    """The latencies of a run's own units, which replace calls of a slow method.

    Attributes:
        latency: latencies of the units.
        calibration: times of the calibration kernel next to them.
        first_call: seconds of the first unit.
    """

    latency: Samples
    calibration: Samples
    first_call: float


@dataclass(frozen=True, slots=True)
class Observed:
    """The measurements of an observed unit (see :class:`UnitRecord`)."""

    peak_memory: int | None
    flops: int | None


@dataclass(frozen=True, slots=True)
class TimingRequest:
    """A request to time one method variant at one size.

    Attributes:
        key: key of the timing.
        method: label of the method variant.
        plugin: registry name of the method.
        params: its parameters.
        content: the content to stylize.
        style: the style to prepare.
        size: side of the pictures in pixels.
        repeats: wanted number of latency samples.
        own: latencies of the run's own units; None to repeat calls.
        observed: memory and operations of one of its units; None to measure a call.
        pairs_per_batch: pairs in a timed batch; 1 to time no batches.
        seconds: what the measurements may take together, loading included; None for no limit. One
            sample of each kind is taken even if it takes longer.
    """

    key: str
    method: str
    plugin: str
    params: Mapping[str, Any]
    content: ImageRecord
    style: ImageRecord
    size: int
    repeats: int
    own: OwnSamples | None = None
    observed: Observed | None = None
    pairs_per_batch: int | Literal["auto"] = 1
    seconds: float | None = None


def time_method(request: TimingRequest, store: Store, device: torch.device, threads: int) -> Timing:
    """Measure load time, time per style, latency and peak memory of a newly loaded method.

    Operations are counted last, in a separate call, because counting slows the call down. A method
    with measurements of the run's own units is loaded and prepared, and is not called if one of
    the units was observed.

    Args:
        request: the method, pictures and number of samples.
        store: the run folder with the pictures.
        device: device to run on.
        threads: CPU threads of torch.
    """
    with (
        isolated(threads),
        contextlib.closing(make_method(request.plugin, request.params)) as method,
    ):
        content, style = (
            read_input(store.root, record, device, request.size)
            for record in (request.content, request.style)
        )
        measured = _measured(method, content, style, request, device)
        return Timing(
            method=request.method,
            plugin=request.plugin,
            size=request.size,
            device=str(device),
            parameters=method.parameter_count(),
            environment=describe_environment(str(device), threads),
            training=method.training_seconds(),
            samples_from="repeats" if request.own is None else "generation",
            **measured,
        )


def _measured(
    method: Method, content: Picture, style: Picture, request: TimingRequest, device: torch.device
) -> dict[str, Any]:
    """Return the measured fields of :class:`Timing`: seconds, memory and operations."""
    own, observed, left_out = request.own, request.observed, []
    allowance = Allowance(request.seconds)
    # the first run of the kernel makes its network, which is not part of the method's memory
    kernel_of(device).latest()
    _, load = timed(lambda: method.load(device), device)
    memory = PeakMemory(device)
    stylize = _call(method, content)
    called = own is None or observed is None
    with memory.measure():
        prepare = sample(
            lambda: method.prepare(style), device, _PREPARATIONS, _FOR_PREPARING * allowance.left
        )
        first = timed(stylize, device)[1] if called else 0.0
    if len(prepare) < _PREPARATIONS:
        left_out.append("preparations")
    counts = observed is None and method.in_torch()
    # counting slows a call down
    reserved = 2 * first if counts else 0.0
    # After the memory measurement, which must not include the calibration kernel.
    if own is None:
        first = method.own_seconds() or first
        if device.type == "cuda" and first < _QUICK:
            stylize()
        latency, calibration = sample_with_kernel(
            stylize, device, request.repeats, method.own_seconds,
            _FOR_SAMPLES * (allowance.left - reserved),
        )  # fmt: skip
        if len(latency.seconds) < wanted_samples(request.repeats, latency.seconds):
            left_out.append("samples")
    else:
        first, latency = own.first_call, own.latency
        calibration = own.calibration if own.calibration.seconds else kernel_of(device).latest()
    if counts and allowance.left < reserved:
        left_out.append("operations")
        counts = False
    least = min(latency.seconds or (0.0,))
    batch, batch_seconds, limited = time_batch(
        method, content, device, request.pairs_per_batch, least,
        allowance.left - (reserved if counts else 0.0),
    )  # fmt: skip
    if limited:
        left_out.append("batches")
    if observed is None:
        observed = Observed(memory.peak, count_flops(stylize) if counts else None)
    return {
        "latency": latency.seconds,
        "latency_waits": latency.waits,
        "calibration": calibration.seconds,
        "calibration_waits": calibration.waits,
        "first_call": first,
        "load": load,
        "prepare": prepare,
        "peak_memory": None if method.info.own_process else observed.peak_memory,
        "batch": batch,
        "batch_seconds": batch_seconds,
        "flops": observed.flops,
        "latency_on_device": latency.on_device,
        "left_out": tuple(left_out),
    }


class Allowance:
    """The seconds that a timing may take, from now on.

    Args:
        seconds: all of them; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = math.inf if seconds is None else time.perf_counter() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left; 0 once they are used."""
        return max(0.0, self._until - time.perf_counter())


def _call(method: Method, content: Picture) -> Callable[[], torch.Tensor]:
    """Return the call that is timed, which uses the same picture and seed each time."""

    def stylize() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return method.stylize(content, generator=generator, on_step=ignore)

    return stylize
