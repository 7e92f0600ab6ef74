"""The timing stage: which variants to time, and the samples that exist."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nstbench.core.environment import describe_environment
from nstbench.core.records import OWN_SAMPLES_FROM_SECONDS, Samples, Status, Timing, UnitRecord
from nstbench.generate.executors.choose import pairs_per_batch
from nstbench.generate.executors.executor import Executor
from nstbench.generate.method_timing import Observed, OwnSamples, TimingRequest
from nstbench.pipeline.interrupt import Interrupt
from nstbench.plan.config import RunConfig
from nstbench.plan.listener import Listener
from nstbench.plan.plan import Plan
from nstbench.plan.unit_keys import method_parts
from nstbench.plan.variants import (
    Variant,
)
from nstbench.plugins.source_hash import hash_of_files, module_files
from nstbench.store.atomic_files import read_json, write_json
from nstbench.store.keys import SCHEMA, key_of
from nstbench.store.store import Store

_TIMINGS = TypeAdapter(Timing)
_FEWEST = 5

_LEAST_LIMIT, _SHARE_OF_GENERATION = 60.0, 0.25
_TIMING_LEFT_OUT = "whole timings"

NOT_REPEATED_SECONDS = 4.0
"""A method that takes this long is not repeated even if it has only one unit."""


# modules that the measuring process imports, but that do not affect a measurement
_NOT_MEASURING = (
    "nstbench.core.environment",
    "nstbench.generate.outcomes",
    "nstbench.plugins.programs",
    "nstbench.plugins.registry",
    "nstbench.store",
)


def time_methods(
    config: RunConfig,
    plan: Plan,
    store: Store,
    executor: Executor,
    listener: Listener,
    interrupt: Interrupt,
    seconds: float = math.inf,
) -> list[Timing]:
    """Time every available variant at every size; existing timings are used.

    The variants with the quickest units come first. Each may take an equal share of what is left of
    the time, so what one does not need goes to slower ones. A variant whose least measurement does
    not fit any more is left out. A note names it, and the others that lack something.

    Args:
        config: a resolved configuration.
        plan: the plan, whose units have run.
        store: the run folder.
        executor: runs the timings.
        listener: receives progress and the note.
        interrupt: ends the stage.
        seconds: most seconds of the stage; see :func:`timing_limit`.
    """
    if config.timing_repeats == 0:
        return []
    until = time.perf_counter() + seconds
    requests = [
        request
        for variant in plan.variants
        for size in config.timing_sizes or (config.size,)
        if (request := _timing_request(config, plan, store, variant, size)) is not None
    ]
    listener.stage("time", len(requests))
    timings: list[Timing] = []
    missing: list[TimingRequest] = []
    for request in requests:
        known = _known_timing(store.timing_path(request.plugin, request.key))
        if known is None or config.resume == "never":
            missing.append(request)
        else:
            timings.append(known)
            listener.advanced()
    left_out: dict[str, list[str]] = {}
    expected = {id(request): _least_seconds(config, plan, store, request) for request in missing}
    missing.sort(key=lambda request: expected[id(request)])
    for place, request in enumerate(missing):
        if interrupt.asked:
            break
        left = until - time.perf_counter()
        name = request.method if not config.timing_sizes else f"{request.method} ({request.size})"
        if expected[id(request)] > left:
            left_out.setdefault(_TIMING_LEFT_OUT, []).append(name)
            listener.advanced()
            continue
        listener.began(request.method)
        if math.isfinite(left):
            request = replace(request, seconds=left / (len(missing) - place))
        answer = executor.time(request)
        if not isinstance(answer, str):
            for part in answer.left_out:
                left_out.setdefault(part, []).append(name)
        if isinstance(answer, str):
            listener.note(f"{request.method} at {request.size} px has no timing: {answer}")
        else:
            path = store.timing_path(request.plugin, request.key)
            write_json(path, _TIMINGS.dump_python(answer, mode="json"))
            timings.append(answer)
        listener.advanced()
    if left_out:
        listener.note(_what_was_left_out(left_out, seconds))
    return timings


def timing_limit(config: RunConfig, generation: float) -> float:
    """Return the most seconds of the timing stage.

    Args:
        config: the configuration; ``timing_seconds`` counts if it is set.
        generation: seconds of generation.

    Example:
        >>> timing_limit(RunConfig(), 100.0), timing_limit(RunConfig(), 1000.0)
        (60.0, 250.0)
    """
    return config.timing_seconds or max(_LEAST_LIMIT, _SHARE_OF_GENERATION * generation)


def _least_seconds(config: RunConfig, plan: Plan, store: Store, request: TimingRequest) -> float:
    """Return what the shortest timing of a variant takes, judged by its units.

    It loads and prepares the method and calls it twice, unless units are the samples. Pictures of
    another size take time in proportion to their pixels.
    """
    records = [
        record
        for unit in plan.units
        if unit.method == request.method
        and (record := store.record(unit.plugin, unit.key))
        and record.status is Status.DONE
    ]
    calls = 0 if request.own is not None and request.observed is not None else 2

    def median(values: Iterable[float | None]) -> float:
        return statistics.median([value for value in values if value is not None] or [0.0])

    once = median(record.seconds for record in records)
    loading = median(record.load_seconds for record in records)
    preparing = median(record.prepare_seconds for record in records)
    return loading + preparing + calls * once * (request.size / config.size) ** 2


def _what_was_left_out(left_out: Mapping[str, Sequence[str]], seconds: float) -> str:
    """Return the note about what the limit of the stage left out, by kind."""
    kinds = [_TIMING_LEFT_OUT, *sorted(left_out.keys() - {_TIMING_LEFT_OUT})]
    parts = [f"{kind} ({', '.join(left_out[kind])})" for kind in kinds if kind in left_out]
    return (
        f"timing was limited to {seconds:.0f} s, and left out {'; '.join(parts)}. The same command "
        "measures timings that are missing; --timing-seconds sets another limit."
    )


def _known_timing(path: Path) -> Timing | None:
    """Return an existing timing, or ``None`` if it is missing or damaged."""
    try:
        return _TIMINGS.validate_python(read_json(path))
    except ValidationError:
        return None


def _timing_request(
    config: RunConfig, plan: Plan, store: Store, variant: Variant, size: int
) -> TimingRequest | None:
    """Return the request to time a variant, or ``None`` if none of its units is done."""
    done = [
        (unit, record)
        for unit in plan.units
        if unit.method == variant.card.method and unit.key not in plan.blocked
        if (record := store.record(unit.plugin, unit.key)) and record.status is Status.DONE
    ]
    if variant.method is None or not done:
        return None
    environment = describe_environment(config.device, config.threads)
    records = [record for _, record in done if record.size == size]
    own = own_samples(config, records, size, environment)
    seen = next((r for r in records if r.observed and r.device == config.device), None)
    parts = method_parts(variant) | {
        "size": size,
        "device_name": environment["device_name"],
        "threads": config.threads,
        "repeats": config.timing_repeats,
        "timing": {"schema": SCHEMA, "source": _timing_source()},
        "packages": environment["packages"],
    }
    pairs = pairs_per_batch(config, config.device) if variant.method.does_batches() else 1
    if pairs != 1:
        parts["pairs_per_batch"] = pairs
    unit = done[0][0]
    if "checkpoint" in unit.parts:
        parts["checkpoint"] = unit.parts["checkpoint"]
    return TimingRequest(
        key=key_of(parts),
        method=variant.card.method,
        plugin=variant.card.plugin,
        params=variant.given,
        content=unit.content,
        style=unit.style,
        size=size,
        repeats=config.timing_repeats,
        pairs_per_batch=pairs,
        own=own,
        observed=Observed(seen.peak_memory, seen.flops) if seen else None,
    )


def own_samples(
    config: RunConfig,
    records: list[UnitRecord],
    size: int,
    environment: Mapping[str, Any],
) -> OwnSamples | None:
    """Return the timing samples of a slow method that its units are, or None.

    If units ran alone and have the same shape, repeating a slow method on one pair would
    only take time. A method with fast units, or with units that ran at the same time as others,
    is repeated on one pair instead; so is one with fewer than five units, unless a unit takes
    :data:`NOT_REPEATED_SECONDS`. An observed unit is not a sample, unless there is no other.
    """
    same = [
        record
        for record in records
        if record.size == size
        and record.device_name == environment["device_name"]
        and record.threads == config.threads
        and record.alone
        # the pairs of a batch have one latency together
        and record.batch == 1
    ]
    if config.fit == "inside" or not same:
        return None
    used = [record for record in same if not record.observed] or same
    # without the waits: other programs do not make a method slow
    own = statistics.median((r.seconds or 0.0) - sum(r.waits) for r in used)
    enough = len(used) >= min(_FEWEST, config.timing_repeats) or own >= NOT_REPEATED_SECONDS
    if own < OWN_SAMPLES_FROM_SECONDS or not enough:
        return None
    return OwnSamples(
        latency=_all_samples(Samples((record.seconds or 0.0,), record.waits) for record in used),
        # units of one load, and neighbours, share a calibration
        calibration=_all_samples(
            dict.fromkeys(Samples(record.calibration, record.calibration_waits) for record in same)
        ),
        first_call=min(used, key=lambda record: record.started).seconds or 0.0,
    )


def _all_samples(parts: Iterable[Samples]) -> Samples:
    return sum(parts, Samples())


def _timing_source() -> str:
    """Return a checksum of the code that decides what is measured, and how."""
    # the runner imports these files; those of _NOT_MEASURING take no part in measuring
    return hash_of_files(module_files("nstbench.generate.runner", without=_NOT_MEASURING))
