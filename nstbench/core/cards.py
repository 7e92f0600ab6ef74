"""Cards: facts of methods, metrics, weights and pictures, as `run.json` keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from nstbench.core.records import GAIN, Availability


@dataclass(frozen=True, slots=True)
class TrainingCard:
    """How ``nstbench train`` trained weights; kept in ``run.json``.

    Attributes:
        method: name of the method.
        content_data: the contents, in words.
        style_data: the styles, in words.
        steps: number of steps of this training.
        size: side of the square crops in pixels.
        batch: pictures per step.
        learning_rate: initial learning rate.
        seconds: wall-clock seconds of this training.
        start: the checkpoint that it started from, in words; empty for new weights.
        start_seconds: seconds of training of that checkpoint.
        device: name of the processor or GPU.
        threads: CPU threads.
        finished: ISO 8601, UTC.
        loss_curve: mean losses of parts of the training, each with step and seconds.
        deviations: differences from the paper's training, one sentence each.
        held_out_loss: total loss on photographs that were kept out of training, if measured.
        held_out_loss_of_start: the same of the checkpoint that the training began with.
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
    held_out_loss: float | None = None
    held_out_loss_of_start: float | None = None


@dataclass(frozen=True, slots=True)
class WeightCard:
    """Provenance of one file of network weights; kept in ``run.json``.

    Attributes:
        name: name of the file or of the network.
        sha256: checksum; empty if the file is missing and not pinned.
        licence: SPDX identifier or a phrase.
        origin: address of the authors of the weights; empty if ``training`` is given.
        training: how ``nstbench train`` trained it, or ``None``.
    """

    name: str
    sha256: str
    licence: str
    origin: str = ""
    training: TrainingCard | None = None


@dataclass(frozen=True, slots=True)
class MethodCard:
    """Facts of a method variant for the report; kept in ``run.json``.

    ``params`` holds all parameters of the variant, ``defaults`` those of the method, ``weights``
    every file that was used, checkpoints included.
    """

    method: str
    plugin: str
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
    """Facts of a metric for the report; kept in ``run.json``.

    ``networks`` are those whose features the metric reads. A part with the name of one of them
    is the metric on that network alone. ``ideal`` is ``"content"`` or ``"style"`` if a copy of
    that picture has the best value, or empty.
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
    ideal: str = ""

    @property
    def gain(self) -> MetricCard:
        """The card of the metric's gain over the trivial answer of each pair.

        Positive is better, whatever the direction of the metric; 0 is as good as a copy of the
        content (for a metric of style) or of the style (for a metric of content).
        """
        other = "content" if self.ideal == "style" else "style"
        return replace(
            self,
            name=f"{self.name}_{GAIN}",
            title=f"{self.title}: gain over {other} copy",
            description=f"How much better than a copy of the {other} on the same pair; below 0 is"
            f" worse. {self.description}",
            higher_is_better=True,
            range=(-inf, inf),
            role="",
        )


@dataclass(frozen=True, slots=True)
class PictureCard:
    """Provenance of one content or style picture of a run; kept in ``run.json``.

    ``file`` is the fitted picture in the run folder, ``sha256`` the checksum of its pixels.
    """

    role: str
    name: str
    file: str
    sha256: str
    licence: str
    author: str
    source: str
