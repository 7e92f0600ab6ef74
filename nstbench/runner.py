"""One unit at a time: load, prepare, stylize, check, record. Runs inside a worker process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import torch

from nstbench import registry
from nstbench.contracts import Diverged, Method, OutOfTime, Picture
from nstbench.environment import describe_environment, device_name
from nstbench.errors import ImageError, StoreError, WeightsError
from nstbench.flops import count_flops
from nstbench.images import fit, pixel_hash, read_image, to_pixels, to_tensor, write_png
from nstbench.isolation import isolated
from nstbench.records import ImageRecord, Samples, Status, Step, Timing, Unit
from nstbench.store import Store, write_json
from nstbench.timing import (
    PeakMemory,
    calibrate,
    one_sample,
    sample,
    sample_beside_kernel,
    timed,
)

Report = Callable[[Step], None]

# Values this far outside [0, 1] are rounding; anything farther is the method's mistake.
_RANGE_SLACK = 1e-3


class BadOutput(Exception):  # noqa: N818  it is the method's error, not this program's
    """What a method returned is not a picture of the contract."""


@dataclass(frozen=True, slots=True)
class TimingRequest:
    """Ask a worker for the timing of one method variant at one size.

    ``generation`` holds latencies of the run's own units that may serve as samples,
    with the calibration measured beside them.
    """

    key: str
    variant: str
    method: str
    params: Mapping[str, Any]
    content: ImageRecord
    style: ImageRecord
    size: int
    repeats: int
    generation: Samples = field(default_factory=Samples)
    generation_calibration: Samples = field(default_factory=Samples)


@dataclass(eq=False)
class _Loaded:
    """A method that is loaded, and the style it is prepared for."""

    identity: str
    method: Method
    load_seconds: float
    calibration: Samples
    style: str = ""
    prepare_seconds: float = 0.0


class Runner:
    """Runs units on one device, keeping the current method loaded and its style prepared."""

    def __init__(self, store: Store, device: str, threads: int) -> None:
        self.store = store
        self.device = torch.device(device)
        self.threads = threads
        self._loaded: _Loaded | None = None

    def run(
        self, unit: Unit, report: Report, *, alone: bool = True, last: bool = True
    ) -> dict[str, Any]:
        """Run one unit, write its picture, trace and record, and return the record.

        Whatever the method does wrong becomes the unit's status.

        Args:
            unit: what to run.
            report: receives steps.
            alone: nothing else runs on this machine that the caller knows of.
            last: False if the unit is tried again should memory not suffice; that
                leaves no record, then.

        Raises:
            StoreError: if the run folder cannot be written.
        """
        record = self._describe(unit) | {"alone": alone}
        trace = _Trace(report)
        with isolated(self.threads):
            try:
                record |= self._stylize(unit, trace)
            except StoreError:
                raise
            except OSError as error:
                # no method's fault, so no outcome of this unit: it is to run again later
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise StoreError(
                        f"there is no space left on the disk ({error}), while {unit.variant} ran. "
                        "Free some, then run the same command again."
                    ) from error
                record |= self._failure(unit, error)
                self.close()
            # no keyboard reaches a worker, whose session is its own: the method raised it
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                record |= self._failure(unit, error)
                self.close()
        if trace.steps:
            write_json(
                self.store.trace_path(unit.key),
                {"variant": unit.variant, "method": unit.method, "steps": trace.rows()},
            )
        record["finished"] = _now()
        if last or record["status"] != Status.OOM:
            self.store.write_record(unit.method, unit.key, record)
        return record

    def time(self, request: TimingRequest) -> Timing:
        """Measure load, per-style cost, latency and peak memory of a freshly loaded method.

        Operations are counted last, in a call of its own: counting slows it down.
        """
        self.close()
        with (
            isolated(self.threads),
            contextlib.closing(self._make(request.method, request.params)) as method,
        ):
            content = self._picture(request.content, request.size)
            style = self._picture(request.style, request.size)
            calibrate(self.device, 1)
            _, load = timed(lambda: method.load(self.device), self.device)
            memory = PeakMemory(self.device)

            def stylize() -> torch.Tensor:
                generator = torch.Generator().manual_seed(0)
                return method.stylize(content, generator=generator, on_step=_ignore)

            with memory.measure():
                prepare = sample(lambda: method.prepare(style), self.device, repeats=3)
                _, first = timed(stylize, self.device)
                first = method.own_seconds() or first
            # outside of the memory measurement, which must not see the kernel
            measured, kernel = sample_beside_kernel(
                stylize,
                self.device,
                request.repeats,
                len(request.generation.seconds),
                method.own_seconds,
            )
            latency = request.generation + measured
            calibration = kernel + request.generation_calibration
            flops = count_flops(stylize) if method.info.in_torch else None
        return Timing(
            variant=request.variant,
            method=request.method,
            size=request.size,
            device=str(self.device),
            latency=latency.seconds,
            first_call=first,
            load=load,
            prepare=prepare,
            peak_memory=None if method.info.own_process else memory.peak,
            parameters=method.parameter_count(),
            calibration=calibration.seconds,
            environment=describe_environment(str(self.device), self.threads),
            training=method.training_seconds(),
            samples_from="generation" if request.generation.seconds else "repeats",
            flops=flops,
            latency_waits=latency.waits,
            calibration_waits=calibration.waits,
        )

    def close(self) -> None:
        """Let go of the loaded method."""
        if self._loaded is not None:
            # What it does wrong on its way out is no result of any unit.
            with contextlib.suppress(Exception):
                self._loaded.method.close()
            self._loaded = None

    # -- steps of a unit ------------------------------------------------------------------

    def _stylize(self, unit: Unit, trace: _Trace) -> dict[str, Any]:
        loaded = self._load(unit)
        self._prepare(loaded, unit)
        content = self._picture(unit.content)
        untouched = content.pixels.clone()
        generator = torch.Generator().manual_seed(unit.unit_seed)
        trace.start()
        output, clock = one_sample(
            lambda: loaded.method.stylize(content, generator=generator, on_step=trace),
            self.device,
            loaded.method.own_seconds,
        )
        check_output(output, content.pixels)
        if not torch.equal(untouched, content.pixels):
            raise BadOutput("the method changed its input picture; work on a copy instead")
        pixels = to_pixels(output)
        path = self.store.output_path(unit.method, unit.key)
        write_png(path, pixels)
        return {
            "status": Status.DONE,
            "seconds": clock.seconds[0],
            "waits": clock.waits,
            "load_seconds": loaded.load_seconds,
            "prepare_seconds": loaded.prepare_seconds,
            "calibration": loaded.calibration.seconds,
            "calibration_waits": loaded.calibration.waits,
            "output": str(path.relative_to(self.store.root)),
            "output_sha256": pixel_hash(pixels),
        }

    def _load(self, unit: Unit) -> _Loaded:
        identity = json.dumps([unit.method, dict(unit.params)], sort_keys=True)
        if self._loaded is None or self._loaded.identity != identity:
            self.close()
            calibration = calibrate(self.device, repeats=1)
            method = self._make(unit.method, unit.params)
            _, seconds = timed(lambda: method.load(self.device), self.device)
            self._loaded = _Loaded(identity, method, seconds, calibration)
        return self._loaded

    def _prepare(self, loaded: _Loaded, unit: Unit) -> None:
        identity = f"{unit.style.sha256} {unit.style.semantic_map}"
        if loaded.style == identity:
            return
        loaded.style = ""
        style = self._picture(unit.style)
        _, loaded.prepare_seconds = timed(lambda: loaded.method.prepare(style), self.device)
        loaded.style = identity

    def _make(self, name: str, params: Mapping[str, Any]) -> Method:
        cls = registry.load("methods", name)
        method: Method = cls(cls.Params(**params))
        return method

    def _picture(self, record: ImageRecord, size: int | None = None) -> Picture:
        """Read a fitted picture of the run folder, refitting it if another size is asked for."""
        pixels = read_image(self.store.root / record.path)
        labels = None
        if record.semantic_map is not None:
            labels = read_image(self.store.root / record.semantic_map)
        if size is not None and max(pixels.shape[:2]) != size:
            pixels, labels = fit(pixels, size, "crop"), None
        return Picture(
            pixels=to_tensor(pixels).to(self.device),
            name=record.name,
            sha256=record.sha256,
            record=replace(record, path=self.store.root / record.path),
            semantic_map=None if labels is None else to_tensor(labels).to(self.device),
        )

    # -- records --------------------------------------------------------------------------

    def _describe(self, unit: Unit) -> dict[str, Any]:
        return {
            "variant": unit.variant,
            "method": unit.method,
            "content": unit.content.name,
            "style": unit.style.name,
            "size": unit.size,
            "seed": unit.seed,
            "unit_seed": unit.unit_seed,
            "parts": dict(unit.parts),
            "started": _now(),
            "device": str(self.device),
            "device_name": device_name(str(self.device)),
            "threads": self.threads,
            "process": os.getpid(),
            "message": "",
            "traceback": "",
        }

    def _failure(self, unit: Unit, error: BaseException) -> dict[str, Any]:
        if isinstance(error, Diverged) and error.last_finite is not None:
            path = self.store.trace_path(unit.key).with_name(f"{unit.key}_last_finite.png")
            write_png(path, to_pixels(error.last_finite.clamp(0, 1)))
        return {
            "status": _status_of(error),
            "message": _message(error),
            "traceback": traceback.format_exc(),
        }


class _Trace:
    """Collects steps with the time they arrived; losses are read after the clock stopped."""

    def __init__(self, report: Report) -> None:
        self.steps: list[tuple[float, Step]] = []
        self._report = report
        self._start = time.perf_counter()

    def start(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, step: Step) -> None:
        self.steps.append((time.perf_counter() - self._start, step))
        self._report(step)

    def rows(self) -> list[dict[str, float]]:
        return [
            {
                "step": step.index,
                "seconds": seconds,
                **{name: float(value) for name, value in step.losses.items()},
            }
            for seconds, step in self.steps
        ]


def check_output(output: Any, content: torch.Tensor) -> None:
    """Check what a method returned against the contract.

    Raises:
        BadOutput: if it is not a finite float32 tensor of the content's shape and
            device with values in [0, 1].
    """
    if not isinstance(output, torch.Tensor):
        raise BadOutput(f"stylize returned {type(output).__name__} instead of a tensor")
    if output.shape != content.shape:
        raise BadOutput(
            f"stylize returned shape {tuple(output.shape)} for a content of {tuple(content.shape)}"
        )
    if output.dtype != torch.float32:
        raise BadOutput(f"stylize returned {output.dtype} instead of torch.float32")
    if output.device != content.device:
        raise BadOutput(f"stylize returned a tensor on {output.device}, not on {content.device}")
    if not bool(torch.isfinite(output).all()):
        bad = int((~torch.isfinite(output)).sum())
        raise BadOutput(f"stylize returned {bad} values that are NaN or infinite")
    low, high = float(output.min()), float(output.max())
    if low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK:
        raise BadOutput(f"stylize returned values from {low:.3g} to {high:.3g}, outside [0, 1]")


def _message(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}".strip(": ")
    # the text of a plug-in's exception is a plug-in's code
    except Exception:
        return type(error).__name__


def _status_of(error: BaseException) -> Status:
    text = _message(error).lower()
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate" in text)
    )
    if out_of_memory:
        return Status.OOM
    if isinstance(error, OutOfTime):
        return Status.TIMEOUT
    if isinstance(error, WeightsError | registry.PluginError | ImageError):
        return Status.UNAVAILABLE
    return Status.FAILED


def _ignore(step: Step) -> None:
    """Take no notice of a step."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
