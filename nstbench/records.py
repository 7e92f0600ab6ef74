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
    ``key`` identifies the result completely (see :mod:`nstbench.store`); ``parts``
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
class Timing:
    """Raw timing of one method variant at one size on one device.

    Seconds are wall-clock; bytes are plain counts; ``None`` means "could not be
    measured here".

    Attributes:
        latency: seconds of every timed ``stylize`` call, in order.
        first_call: seconds of the untimed first call (cold caches, autotuning).
        load: seconds of ``load`` (weights, compilation).
        prepare: seconds of every ``prepare`` call (the per-style cost).
        peak_memory: peak bytes above the level after loading.
        parameters: trainable and fixed parameters of the loaded networks.
        calibration: seconds of the fixed calibration kernel, measured around the samples.
        environment: device, threads, versions of the process that measured.
        training: seconds of training behind the checkpoint, from its card.
        samples_from: ``"generation"`` when the units of the run itself were timed,
            ``"repeats"`` when the same pair was repeated.
        flops: floating-point operations of one ``stylize`` call (see :mod:`nstbench.flops`).
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
    training: float = 0.0
    samples_from: str = "repeats"
    flops: int | None = None


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a report says about one method variant; kept in ``run.json``.

    ``params`` holds the complete parameters of the variant, ``defaults`` the
    method's own, ``weights`` name -> sha256 of every file that was used.
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
    weights: Mapping[str, str]
    availability: Availability


@dataclass(frozen=True, slots=True)
class MetricCard:
    """What a report says about one metric; kept in ``run.json``."""

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
