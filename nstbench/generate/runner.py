"""Runs units inside a worker process: load, prepare, stylize, check, record."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from nstbench.contracts import Diverged, Method, OutOfTime, Picture, PreparedPair
from nstbench.core.environment import device_name, utc_now
from nstbench.core.errors import StoreError, lost_device, message_of, ran_out_of_memory
from nstbench.core.glibc_malloc import give_back_memory
from nstbench.core.isolation import isolated
from nstbench.core.records import (
    OWN_SAMPLES_FROM_SECONDS,
    ImageRecord,
    Samples,
    Status,
    Step,
    Timing,
    Unit,
    UnitRecord,
)
from nstbench.generate.clock import PeakMemory, kernel_of, one_sample, synchronize, timed
from nstbench.generate.flops import count_flops
from nstbench.generate.method_timing import TimingRequest, time_method
from nstbench.generate.outcomes import BadOutputError, check_output, refuse_full_disk, status_of
from nstbench.generate.traces import Report, Trace
from nstbench.generate.unit_inputs import make_method, read_input
from nstbench.pictures.picture import pixel_hash, to_pixels, write_png
from nstbench.store.store import Store

Facts = dict[str, Any]
"""Some attributes of a unit's record."""


class OutOfMemory(str):
    """The reason of a batch that failed because memory did not suffice."""


@dataclass(eq=False)
class _Loaded:
    """A loaded method and the style that it is prepared for; empty if it is prepared for none."""

    identity: str
    method: Method
    load_seconds: float
    calibration: Samples = field(default_factory=Samples)
    style: str = ""
    prepare_seconds: float = 0.0


class Runner:
    """Runs units on one device; keeps the current method loaded and its style prepared.

    Args:
        store: the run folder.
        device: torch device.
        threads: CPU threads of torch.

    Attributes:
        lost: True once the process cannot use its GPU any more; it has to be replaced then.
    """

    def __init__(self, store: Store, device: str, threads: int) -> None:
        self.lost = False
        self.store = store
        self.device = torch.device(device)
        self.threads = threads
        self._loaded: _Loaded | None = None

    def run(
        self,
        unit: Unit,
        report: Report,
        *,
        alone: bool = True,
        last: bool = True,
        observe: bool = False,
    ) -> UnitRecord:
        """Run one unit, write its picture, trace and record, and return the record.

        An error of the method becomes the status of the unit.

        Args:
            unit: the unit to run.
            report: receives steps.
            alone: True if, as far as the caller knows, nothing else runs on this machine.
            last: False if the unit will be tried again after it ran out of memory; such a
                failure is not written to the run folder.
            observe: measure peak memory and count operations as well, which takes time.

        Raises:
            StoreError: if the run folder cannot be written.
        """
        facts = self._started() | {"alone": alone}
        trace = Trace(report)
        with isolated(self.threads):
            try:
                facts |= self._stylize(unit, trace, observe)
            except StoreError:
                raise
            # A worker has its own session and no keyboard: the method raised KeyboardInterrupt.
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                facts |= self._failure(unit, error)
                self.close()
        return self._finished(unit, facts, trace, keep=last or facts["status"] != Status.OOM)

    def run_batch(
        self, units: Sequence[Unit], report: Callable[[int, Step], None], *, alone: bool = True
    ) -> list[UnitRecord] | str:
        """Run units of one variant and size in one batch; write what :meth:`run` writes of each.

        Args:
            units: the units to run.
            report: receives the index of a unit in ``units`` and a step.
            alone: see :meth:`run`.

        Returns:
            The records of the units. If the batch failed as a whole, the reason as text; nothing
            is written then, and the units have to be run in smaller batches or one by one.

        Raises:
            StoreError: if the run folder cannot be written.
        """
        facts = self._started() | {"alone": alone, "batch": len(units)}
        traces = [Trace(partial(report, place)) for place in range(len(units))]
        outcomes: list[Facts] | str
        with isolated(self.threads):
            try:
                outcomes = self._stylize_batch(units, traces)
            except StoreError:
                raise
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                refuse_full_disk(units[0].method, error)
                text = message_of(error)
                outcomes = OutOfMemory(text) if ran_out_of_memory(error) else text
                self.notice(error)
            if isinstance(outcomes, str) or any(o["status"] != Status.DONE for o in outcomes):
                self.close()
        if isinstance(outcomes, str):
            if self.device.type == "cuda" and not self.lost:
                torch.cuda.empty_cache()
            return outcomes
        return [
            self._finished(unit, facts | outcome, trace)
            for unit, outcome, trace in zip(units, outcomes, traces, strict=True)
        ]

    def time(self, request: TimingRequest) -> Timing:
        """Time a freshly loaded method; see :func:`nstbench.generate.method_timing.time_method`."""
        self.close()
        return time_method(request, self.store, self.device, self.threads)

    def notice(self, error: BaseException) -> None:
        """Set ``lost`` if an error says so, or if the GPU does not answer after it."""
        self.lost = self.lost or lost_device(error)
        if not self.lost and self.device.type == "cuda":
            try:
                synchronize(self.device)
            except RuntimeError as later:
                self.lost = lost_device(later)

    def close(self) -> None:
        """Unload the method."""
        if self._loaded is not None:
            # Errors while closing a method do not affect the status of any unit.
            with contextlib.suppress(Exception):
                self._loaded.method.close()
            self._loaded = None
            give_back_memory()

    # -- steps of a unit ------------------------------------------------------------------

    def _stylize(self, unit: Unit, trace: Trace, observe: bool) -> Facts:
        loaded = self._load(unit)
        content = self._picture(unit.content)
        untouched = content.pixels.clone()
        call = partial(_stylize, loaded.method, content, unit.unit_seed, trace)
        memory = PeakMemory(self.device)
        with memory.measure() if observe else contextlib.nullcontext():
            self._prepare(loaded, unit)
            (output, flops), clock = one_sample(
                partial(_counted, call) if observe and loaded.method.in_torch() else call,
                self.device,
                loaded.method.own_seconds,
            )
        self._calibrate(loaded, clock, 1)
        kept = self._keep(unit, output, content.pixels, untouched)
        facts = _times(loaded, loaded.prepare_seconds, clock, 1) | kept
        if observe:
            facts |= {"observed": True, "peak_memory": memory.peak, "flops": flops}
        return facts

    def _stylize_batch(self, units: Sequence[Unit], traces: Sequence[Trace]) -> list[Facts]:
        """Return for each unit what :meth:`_stylize` returns, or its failure.

        Raises:
            Exception: an error of the whole batch, or that memory did not suffice for one unit.
        """
        loaded = self._load(units[0])
        pairs, preparations = [], []
        for unit, trace in zip(units, traces, strict=True):
            self._prepare(loaded, unit)
            preparations.append(loaded.prepare_seconds)
            pairs.append(
                PreparedPair(
                    method=copy.copy(loaded.method),
                    style=loaded.style,
                    content=self._picture(unit.content),
                    generator=torch.Generator().manual_seed(unit.unit_seed),
                    on_step=trace,
                )
            )
        untouched = [pair.content.pixels.clone() for pair in pairs]
        for trace in traces:
            trace.start()
        outputs, clock = one_sample(lambda: loaded.method.stylize_batch(pairs), self.device)
        self._calibrate(loaded, clock, len(pairs))
        if len(outputs) != len(units):
            raise BadOutputError(
                f"stylize_batch returned {len(outputs)} pictures for {len(units)} pairs"
            )
        for output in outputs:
            if isinstance(output, BaseException) and (
                ran_out_of_memory(output) or lost_device(output)
            ):
                raise output
        outcomes: list[Facts] = []
        for place, unit in enumerate(units):
            times = _times(loaded, preparations[place], clock, len(units))
            try:
                output = outputs[place]
                if isinstance(output, BaseException):
                    raise output
                kept = self._keep(unit, output, pairs[place].content.pixels, untouched[place])
            except StoreError:
                raise
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                outcomes.append(self._failure(unit, error))
            else:
                outcomes.append(times | kept)
        return outcomes

    def _keep(
        self, unit: Unit, output: Any, content: torch.Tensor, untouched: torch.Tensor
    ) -> Facts:
        """Check an output, write it and return its facts."""
        check_output(output, content)
        if not torch.equal(untouched, content):
            raise BadOutputError("the method changed its input picture; work on a copy instead")
        pixels = to_pixels(output)
        path = self.store.output_path(unit.plugin, unit.key)
        write_png(path, pixels)
        return {
            "status": Status.DONE,
            "output": str(path.relative_to(self.store.root)),
            "output_sha256": pixel_hash(pixels),
        }

    def _load(self, unit: Unit) -> _Loaded:
        identity = json.dumps([unit.plugin, dict(unit.params)], sort_keys=True)
        if self._loaded is None or self._loaded.identity != identity:
            self.close()
            method = make_method(unit.plugin, unit.params)
            _, seconds = timed(lambda: method.load(self.device), self.device)
            self._loaded = _Loaded(identity, method, seconds)
        return self._loaded

    def _calibrate(self, loaded: _Loaded, clock: Samples, pairs: int) -> None:
        """Time the calibration kernel if the units of a slow method may serve as timing samples.

        The median of all units decides whether they do. The first unit can be faster than the
        median, so half of the limit is enough here.
        """
        slow = clock.seconds[0] / pairs >= OWN_SAMPLES_FROM_SECONDS / 2
        if slow and not loaded.calibration.seconds:
            loaded.calibration = kernel_of(self.device).latest()

    def _prepare(self, loaded: _Loaded, unit: Unit) -> None:
        identity = f"{unit.style.sha256} {unit.style.semantic_map}"
        if loaded.style == identity:
            return
        loaded.style = ""
        style = self._picture(unit.style)
        _, loaded.prepare_seconds = timed(lambda: loaded.method.prepare(style), self.device)
        loaded.style = identity

    def _picture(self, record: ImageRecord) -> Picture:
        return read_input(self.store.root, record, self.device)

    # -- records --------------------------------------------------------------------------

    def _started(self) -> Facts:
        """Return the facts that are known when a unit begins."""
        return {
            "started": utc_now("milliseconds"),
            "device": str(self.device),
            "device_name": device_name(str(self.device)),
            "threads": self.threads,
            "process": os.getpid(),
        }

    def _failure(self, unit: Unit, error: BaseException) -> Facts:
        """Return the facts of a failure; write the last finite picture of a divergence."""
        refuse_full_disk(unit.method, error)
        self.notice(error)
        if isinstance(error, Diverged) and error.last_finite is not None:
            path = self.store.trace_path(unit.key).with_name(f"{unit.key}_last_finite.png")
            write_png(path, to_pixels(error.last_finite.clamp(0, 1)))
        return {
            "status": status_of(error),
            "message": message_of(error),
            "traceback": traceback.format_exc(),
        }

    def _finished(self, unit: Unit, facts: Facts, trace: Trace, *, keep: bool = True) -> UnitRecord:
        """Write the trace, then the record if ``keep`` is set, and return the record."""
        trace.write(self.store, unit)
        status = facts.pop("status")
        record = UnitRecord.of(unit, status, **facts, finished=utc_now("milliseconds"))
        if keep:
            self.store.write_record(record)
        return record


def _stylize(
    method: Method, content: Picture, seed: int, trace: Trace
) -> tuple[torch.Tensor, int | None]:
    """Return an output, and None for the number of its operations, which is not counted here."""
    generator = torch.Generator().manual_seed(seed)
    trace.start()
    return method.stylize(content, generator=generator, on_step=trace), None


def _counted(
    call: Callable[[], tuple[torch.Tensor, int | None]],
) -> tuple[torch.Tensor, int | None]:
    """Return the output of a call and the number of its operations.

    A call that works can fail while operations are counted. It is then made again.
    """
    outputs: list[torch.Tensor] = []
    errors: list[Exception] = []

    def keep() -> None:
        try:
            outputs.append(call()[0])
        except Exception as error:
            errors.append(error)
            raise

    flops = count_flops(keep)
    if outputs:
        return outputs[0], flops
    if errors and (isinstance(errors[0], Diverged | OutOfTime) or ran_out_of_memory(errors[0])):
        raise errors[0]
    return call()


def _times(loaded: _Loaded, prepare_seconds: float, clock: Samples, pairs: int) -> Facts:
    """Return the seconds of a unit, an equal share of its batch of ``pairs``."""
    return {
        "seconds": clock.seconds[0] / pairs,
        "waits": tuple(wait / pairs for wait in clock.waits),
        "on_device": tuple(seconds / pairs for seconds in clock.on_device),
        "load_seconds": loaded.load_seconds,
        "prepare_seconds": prepare_seconds,
        "calibration": loaded.calibration.seconds,
        "calibration_waits": loaded.calibration.waits,
    }
