"""Plain records that travel between the stages of a run.

All of them are frozen, import neither torch nor any plug-in, and turn into
JSON without loss, so they can cross process and machine boundaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Status(StrEnum):
    """What became of one unit of work. Everything but ``DONE`` is a result, too."""

    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OOM = "oom"
    SKIPPED = "skipped"
    UNAVAILABLE = "unavailable"


class Role(StrEnum):
    """The part an image plays in a pair."""

    CONTENT = "content"
    STYLE = "style"


class Flexibility(StrEnum):
    """How many styles one trained model serves (the flexibility axis of the trade-off)."""

    BASELINE = "baseline"
    PER_STYLE = "per-style"
    MULTI_STYLE = "multi-style"
    ARBITRARY = "arbitrary"
    DOMAIN = "domain"


class Scope(StrEnum):
    """What a metric looks at: one output, all outputs of a method, or its timing."""

    PAIR = "pair"
    SET = "set"
    TIMING = "timing"


BAR, CONTENT_OF, STYLE_OF = "bar", "content of ", "style of "
"""Part names of a metric of quality that is relative to trivial answers: the best of them, and
beginnings that an answer's name follows, for its content and style error. They are the same for
all outputs of a pair."""

OWN_SAMPLES_FROM_SECONDS = 1.0
"""A method at least this slow is timed by the run's own units if they had the device alone."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether something can be used here; if not, why, and the command that mends it."""

    ok: bool = True
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file with its provenance.

    Attributes:
        name: short unique slug inside its dataset; file names and tables use it.
        path: the file on disk.
        licence: SPDX identifier or a phrase; empty when unknown (user folders).
        author: who made the picture.
        source: where it was taken from.
        sha256: checksum of the file, where the dataset pins one.
        semantic_map: file of the same picture painted in label colours, if there is one.
        collection: the painter, photographer or class the picture belongs to, for
            methods whose style is a collection.
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
    """A file that a dataset left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """What a dataset found for one role."""

    images: tuple[ImageRecord, ...]
    skipped: tuple[SkippedImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of generation work: a method variant applied to one pair.

    ``method`` is the registry name, ``variant`` the label on the board
    (``"gatys_2015"`` or ``"gatys_2015:optimizer=adam"``).
    ``key`` identifies the result completely (see :mod:`nstbench.store.store`); ``parts``
    is the plain data the key was computed from.
    """

    key: str
    variant: str
    method: str
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
        """What a display calls it."""
        return f"{self.variant} · {self.content.name} × {self.style.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of an optimisation method.

    ``losses`` may hold detached 0-d tensors: whoever receives the step converts
    them after the clock has stopped, so that no method waits for the device.
    """

    index: int
    total: int
    losses: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Samples:
    """Wall-clock seconds of timed calls, and how long each waited for a processor.

    ``waits`` is as long as ``seconds``, or empty where the system does not tell.
    """

    seconds: tuple[float, ...] = ()
    waits: tuple[float, ...] = ()

    def __add__(self, other: Samples) -> Samples:
        """Return the samples of both; waits are dropped unless both know them."""
        waits = self.waits + other.waits
        seconds = self.seconds + other.seconds
        return Samples(seconds, waits if len(waits) == len(seconds) else ())


@dataclass(frozen=True, slots=True)
class Timing:
    """Raw timing of one method variant at one size on one device.

    Seconds are wall-clock; bytes are plain counts; ``None`` means "could not be
    measured here".

    Attributes:
        variant: label of the method variant.
        method: registry name of the method.
        size: side of the picture in pixels.
        device: torch device, for example ``"cuda:0"``.
        latency: seconds of every timed ``stylize`` call, in order; of a call of less than
            20 ms, means of several calls.
        first_call: seconds of the untimed first call (cold caches, autotuning).
        load: seconds of ``load`` (weights, compilation).
        prepare: seconds of every ``prepare`` call (the per-style cost).
        peak_memory: peak bytes above the level after loading.
        parameters: trainable and fixed parameters of the loaded networks.
        calibration: seconds of the fixed calibration kernel. Measured in turns with repeated
            samples, it has one more entry: one before the first sample and one after each.
        environment: device, threads, versions of the process that measured.
        training: seconds of training behind the checkpoint, from its card; 0 for methods that
            train nothing, ``None`` where it is unknown.
        samples_from: ``"generation"`` when the units of the run itself were timed,
            ``"repeats"`` when the same pair was repeated.
        flops: floating-point operations of one ``stylize`` call (see :mod:`nstbench.generate.flops`).
        latency_waits: seconds of each latency in which another program had the processor (see
            :func:`nstbench.generate.clock.waited`); empty where that is unknown.
        calibration_waits: the same of each calibration.
        batch: pictures in each of the timed batches.
        batch_seconds: seconds of every timed batch; empty where there was none.
    """

    variant: str
    method: str
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


@dataclass(frozen=True, slots=True)
class TrainingCard:
    """How weights were trained by ``nstbench train``; kept in ``run.json``.

    Attributes:
        method: name of the method.
        content_data: what the contents were, in words.
        style_data: what the styles were, in words.
        steps: number of steps of this training.
        size: side of the square crops in pixels.
        batch: pictures per step.
        learning_rate: initial learning rate.
        seconds: wall-clock seconds of this training.
        start: the checkpoint that it began with, in words; empty for fresh weights.
        start_seconds: seconds of training behind that checkpoint.
        device: name of the processor that it ran on.
        threads: CPU threads.
        finished: ISO 8601, UTC.
        loss_curve: mean losses over stretches of the training, each with step and seconds.
        deviations: how it departs from the paper's training, one sentence each.
    """

    method: str
    content_data: str
    style_data: str
    steps: int
    size: int
    batch: int
    learning_rate: float
    seconds: float
    start: str
    start_seconds: float
    device: str
    threads: int | None
    finished: str
    loss_curve: tuple[Mapping[str, float], ...]
    deviations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightCard:
    """Provenance of one file of network weights; kept in ``run.json``.

    Attributes:
        name: name of the file or of the network.
        sha256: checksum; empty if the file is not here and was not pinned.
        licence: SPDX identifier or a phrase.
        origin: address of those who trained the network; empty if ``training`` tells it.
        training: how it was trained, if ``nstbench train`` did.
    """

    name: str
    sha256: str
    licence: str
    origin: str = ""
    training: TrainingCard | None = None


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a report says about one method variant; kept in ``run.json``.

    ``params`` holds the complete parameters of the variant, ``defaults`` the
    method's own, ``weights`` every file that was used, checkpoints included.
    """

    variant: str
    method: str
    title: str
    authors: str
    year: int
    paper: str
    code: str
    family: str
    flexibility: str
    licence: str
    trained_on: tuple[str, ...]
    deviations: tuple[str, ...]
    params: Mapping[str, Any]
    defaults: Mapping[str, Any]
    weights: tuple[WeightCard, ...]
    availability: Availability


@dataclass(frozen=True, slots=True)
class MetricCard:
    """What a report says about one metric; kept in ``run.json``.

    ``networks`` are those whose features it reads. A part that has the name of one of them is
    the metric on that network alone.
    """

    name: str
    title: str
    scope: str
    higher_is_better: bool
    range: tuple[float, float]
    unit: str
    citation: str
    description: str
    version: int
    home_for: tuple[str, ...]
    role: str
    order: int
    availability: Availability
    weights: tuple[WeightCard, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureCard:
    """Provenance of one content or style picture of a run; kept in ``run.json``.

    ``file`` is the fitted picture inside the run folder, ``sha256`` the checksum
    of its pixels.
    """

    role: str
    name: str
    file: str
    sha256: str
    licence: str
    author: str
    source: str
