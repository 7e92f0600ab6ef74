"""Records that the stages of a run pass to each other.

They are frozen, import neither torch nor a plug-in, and convert to JSON without loss, so they
can be sent to other processes and machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Status(StrEnum):
    """Outcome of a unit. All outcomes are results and are stored."""

    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OOM = "oom"
    SKIPPED = "skipped"
    UNAVAILABLE = "unavailable"


PENDING = "pending"
"""The status of a unit without a result, on a board."""


class Role(StrEnum):
    """Role of a picture in a pair."""

    CONTENT = "content"
    STYLE = "style"


class Flexibility(StrEnum):
    """Number of styles that one model serves (the flexibility axis of the trade-off)."""

    BASELINE = "baseline"
    PER_STYLE = "per-style"
    MULTI_STYLE = "multi-style"
    ARBITRARY = "arbitrary"
    DOMAIN = "domain"


class Scope(StrEnum):
    """Input of a metric: one output, all outputs of a method, or its timing."""

    PAIR = "pair"
    SET = "set"
    TIMING = "timing"


BAR, CONTENT_OF, STYLE_OF = "bar", "content of ", "style of "
"""Part names of a metric of quality that is relative to trivial answers: the best of them, and
beginnings that an answer's name follows, for its content and style error. They are the same for
all outputs of a pair."""

GAIN = "gain"
"""Part of a metric: how much better it is than for the trivial answer of the pair."""

OWN_SAMPLES_FROM_SECONDS = 1.0
"""From this latency on, the units of the run are the timing samples, if each ran alone."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether something can be used here; if not, the reason and the command that helps."""

    ok: bool = True
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture file with its provenance.

    Attributes:
        name: unique name in its dataset, for tables and messages; of a file of the user, the name
            without suffix. It may contain any printable character, so it is not part of a path.
        path: the file on disk.
        licence: SPDX identifier or a phrase; empty if unknown.
        author: author of the picture.
        source: where the dataset took it from.
        sha256: checksum of the file, where the dataset pins one.
        semantic_map: file of the same picture in label colours, or ``None``.
        collection: painter, photographer or class of the picture, for methods whose style
            is a collection.
    """

    name: str
    path: Path
    licence: str = ""
    author: str = ""
    source: str = ""
    sha256: str = ""
    semantic_map: Path | None = None
    collection: str = ""


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """A file that a dataset left out, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """The pictures of a dataset for one role, and the files that it left out."""

    images: tuple[ImageRecord, ...]
    skipped: tuple[SkippedImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: a method variant applied to one pair.

    ``plugin`` is the registry name, ``method`` the label on the board
    (``"gatys_2015"`` or ``"gatys_2015:optimizer=adam"``).
    ``key`` identifies the result (see :mod:`nstbench.store.keys`); it is computed from the
    plain data in ``parts``.
    """

    key: str
    method: str
    plugin: str
    params: Mapping[str, Any]
    content: ImageRecord
    style: ImageRecord
    size: int
    fit: str
    seed: int
    unit_seed: int
    parts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def label(self) -> str:
        """Name of the unit on a display."""
        return f"{self.method} · {self.content.name} × {self.style.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRecord:
    """The result of a unit, as the run folder keeps it.

    Attributes:
        key: key of the unit.
        method: label of the method variant.
        plugin: registry name of the method.
        content: name of the content picture.
        style: name of the style picture.
        size: side of the pictures in pixels.
        seed: seed of the run's configuration.
        unit_seed: seed of the unit's random numbers.
        parts: the plain data that the key was computed from.
        status: outcome.
        message: reason of a failure; empty for units that are done.
        traceback: traceback of a failure.
        started: ISO 8601, UTC.
        finished: ISO 8601, UTC.
        device: torch device.
        device_name: name of the processor or GPU.
        threads: CPU threads of the worker; ``None`` where no worker ran.
        process: process id of the worker.
        alone: whether no other unit ran on the machine at the same time.
        batch: number of pairs in the ``stylize_batch`` call.
        seconds: wall-clock seconds of ``stylize``; of a batch, an equal share.
        waits: seconds in which another program had the processor.
        on_device: seconds by the clock of the GPU; empty on other devices.
        load_seconds: seconds of ``load``, which later units of the variant share.
        prepare_seconds: seconds of ``prepare``, which later units of the style share.
        calibration: seconds of the calibration kernel next to a slow method.
        calibration_waits: the waits of each calibration.
        observed: True if operations were counted and memory was measured while the unit ran. This
            makes a unit slower, so its seconds are not a sample of latency.
        peak_memory: peak bytes of an observed unit above the level after loading.
        flops: floating-point operations of an observed unit.
        output: path of the picture, relative to the run folder; empty unless done.
        output_sha256: checksum of the picture's pixels.
        source: file that the picture was imported from; empty for generated pictures.
        from_other_process: whether another process made the record during this run; not
            written to the run folder.
    """

    key: str
    method: str
    plugin: str
    content: str
    style: str
    size: int
    seed: int
    status: Status
    unit_seed: int = 0
    parts: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    traceback: str = ""
    started: str = ""
    finished: str = ""
    device: str = ""
    device_name: str = ""
    threads: int | None = None
    process: int | None = None
    alone: bool = True
    batch: int = 1
    seconds: float | None = None
    waits: tuple[float, ...] = ()
    on_device: tuple[float, ...] = ()
    load_seconds: float | None = None
    prepare_seconds: float | None = None
    calibration: tuple[float, ...] = ()
    calibration_waits: tuple[float, ...] = ()
    observed: bool = False
    peak_memory: int | None = None
    flops: int | None = None
    output: str = ""
    output_sha256: str = ""
    source: str = ""
    from_other_process: bool = False

    @classmethod
    def of(cls, unit: Unit, status: Status, **facts: Any) -> UnitRecord:
        """Return the record of a unit; ``facts`` are further attributes."""
        return cls(
            key=unit.key, method=unit.method, plugin=unit.plugin, content=unit.content.name,
            style=unit.style.name, size=unit.size, seed=unit.seed, unit_seed=unit.unit_seed,
            parts=dict(unit.parts), status=status, **facts,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of an optimisation method.

    ``losses`` may hold detached 0-d tensors. The receiver converts them after the clock has
    stopped, so that the method does not wait for the device.
    """

    index: int
    total: int
    losses: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Samples:
    """Wall-clock seconds of timed calls, and what else was measured of each call.

    ``waits`` and ``on_device`` are as long as ``seconds``, or empty where they are not measured.

    Attributes:
        seconds: wall-clock seconds.
        waits: seconds in which another program had the processor.
        on_device: seconds from the first to the last work of a GPU, by its own clock.
    """

    seconds: tuple[float, ...] = ()
    waits: tuple[float, ...] = ()
    on_device: tuple[float, ...] = ()

    def __add__(self, other: Samples) -> Samples:
        """Return the samples of both; drop what only one of them has."""
        seconds = self.seconds + other.seconds
        further = (self.waits + other.waits, self.on_device + other.on_device)
        waits, on_device = (part if len(part) == len(seconds) else () for part in further)
        return Samples(seconds, waits, on_device)


@dataclass(frozen=True, slots=True)
class Timing:
    """Raw timing of one method variant at one size on one device.

    Seconds are wall-clock. ``None`` means that this machine could not measure the value.

    Attributes:
        method: label of the method variant.
        plugin: registry name of the method.
        size: side of the picture in pixels.
        device: torch device, for example ``"cuda:0"``.
        latency: seconds of every timed ``stylize`` call, in order; below 20 ms, means of
            several calls.
        first_call: seconds of the untimed first call (cold caches, autotuning); of samples from
            units, those of the first unit.
        load: seconds of ``load`` (weights, compilation).
        prepare: seconds of every ``prepare`` call (the cost per style).
        peak_memory: peak bytes above the level after loading.
        parameters: trainable and fixed parameters of the loaded networks.
        calibration: seconds of the calibration kernel, around and between the samples. It runs for
            a small share of the time, so neighbouring timings can share an entry.
        environment: device, threads, versions of the process that measured.
        training: seconds of training of the checkpoint, from its card; 0 for methods without
            training, ``None`` where it is unknown.
        samples_from: ``"generation"`` if the units of the run are the samples, ``"repeats"``
            if one pair was repeated.
        flops: floating-point operations of a ``stylize`` call, by :mod:`nstbench.generate.flops`.
        latency_waits: seconds of each latency in which another program had the processor (see
            :func:`nstbench.generate.clock.waited`); empty where unknown.
        calibration_waits: the same for each calibration.
        batch: pictures in each timed batch.
        batch_seconds: seconds of every timed batch; empty if no batch was timed.
        latency_on_device: seconds of each latency by the clock of the GPU, between events before
            and after the call; empty on other devices.
        left_out: what the limit of the timing stage left out: ``"preparations"``, ``"samples"``
            (there are fewer than wanted), ``"operations"``, ``"batches"``.
    """

    method: str
    plugin: str
    size: int
    device: str
    latency: tuple[float, ...]
    first_call: float
    load: float
    prepare: tuple[float, ...]
    peak_memory: int | None
    parameters: int | None
    calibration: tuple[float, ...]
    environment: Mapping[str, Any]
    training: float | None = None
    samples_from: str = "repeats"
    flops: int | None = None
    latency_waits: tuple[float, ...] = ()
    calibration_waits: tuple[float, ...] = ()
    batch: int = 1
    batch_seconds: tuple[float, ...] = ()
    latency_on_device: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()
