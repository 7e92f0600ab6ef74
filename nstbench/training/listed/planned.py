"""The trainings of a list: entries resolved to jobs with pictures and a start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.records import Flexibility, ImageRecord, Role
from nstbench.plan.variants import open_dataset
from nstbench.training.checkpoints import Checkpoint, Library, shipped_dir
from nstbench.training.job import Job, jobs
from nstbench.training.listed.training_list import (
    NEAREST,
    NEW,
    PAINTINGS,
    Entry,
    TrainingList,
    named,
)
from nstbench.training.order import build_order
from nstbench.training.trainable import StyleUse

_NEVER = 10**9


@dataclass(frozen=True)
class Options:
    """What a list leaves open, and the command line gives.

    Attributes:
        contents: dataset or folder of photographs.
        paintings: dataset or folder that the word ``paintings`` stands for; empty for none.
        out: folder of the checkpoints.
        start_from: folders that are searched for starts before those of nstbench.
        device: device, as in ``nstbench train``.
        threads: CPU threads; all cores if ``None``.
        precision: number format of convolutions, as in ``nstbench train``.
        held_out: number of photographs that are kept out of training.
        only: names of checkpoints to train; all if empty.
    """

    contents: str
    out: Path
    paintings: str = ""
    start_from: tuple[Path, ...] = ()
    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    held_out: int = 16
    only: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planned:
    """One training of a list.

    Attributes:
        job: method, pictures and start.
        share: its share of the time, relative to those of the other trainings.
        kind: name of the method; trainings of one kind run together.
        cause: file and entry, for messages.
        entry: the entry.
    """

    job: Job
    share: float
    kind: str
    cause: str
    entry: Entry

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self.job.name


def plan_trainings(
    listed: TrainingList, file: Path, options: Options, contents: Sequence[ImageRecord]
) -> list[Planned]:
    """Return the trainings of a list, in its order.

    Streamed styles, which may have to be painted, are left out: see :func:`with_styles`.

    Args:
        listed: the list.
        file: its file, for messages.
        options: folders and device.
        contents: the photographs of all trainings.

    Raises:
        UsageError: if a method, parameter, style or start is wrong; the message names the file
            and the entry.
    """
    found: list[Planned] = []
    for number, entry in enumerate(listed.trainings, 1):
        with named(file, number, entry):
            for job in _jobs(entry, options, tuple(contents)):
                kind = job.method.checkpoint_name()
                cause = f"{file}, entry {number}"
                found.append(Planned(job, entry.share, kind, cause, entry))
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        causes = [one.cause for one in found if one.name == twice[0]]
        raise UsageError(
            f"{' and '.join(dict.fromkeys(causes))}: two trainings have the name {twice[0]}. "
            "Give one of them another `name`."
        )
    return _chosen(found, options.only)


def _chosen(found: list[Planned], only: Sequence[str]) -> list[Planned]:
    known = [one.name for one in found]
    for name in only:
        if name not in known and name not in {one.kind for one in found}:
            raise UsageError(
                f"--only {name}: the list has no such checkpoint or method."
                f"{did_you_mean(name, known)}"
            )
    return [one for one in found if not only or one.name in only or one.kind in only]


def _jobs(entry: Entry, options: Options, contents: tuple[ImageRecord, ...]) -> list[Job]:
    given: dict[str, Any] = {
        "size": entry.size,
        "style_size": entry.style_size,
        "batch": entry.batch,
        "learning_rate": entry.learning_rate,
        "seed": entry.seed,
        "device": options.device,
        "threads": options.threads,
        "precision": options.precision,
        "out": options.out,
        # the states are saved by time
        "save_every": _NEVER,
    }
    first = jobs(build_order(entry.method, {**given, "styles": "starter"}))[0]
    per_style = first.recipe.styles == StyleUse.ONE
    if first.recipe.styles == StyleUse.STREAM:
        _datasets(entry, options)  # a wrong name is an error before anything is painted
        sets: list[tuple[ImageRecord, ...]] = [()]
    else:
        styles = _styles(entry, options)
        sets = [(style,) for style in styles] if per_style else [styles]
    text = " and ".join(_shown(name, options) for name in entry.styles)
    found = []
    for chosen in sets:
        label = entry.name.replace("{style}", chosen[0].name if chosen else "")
        order = first.order.model_copy(
            update={
                "styles": text,
                "style": tuple(style.name for style in chosen) if per_style else (),
                "contents": options.contents,
                "name": label,
            }
        )
        job = replace(first, order=order, styles=chosen, label=label, contents=contents)
        found.append(replace(job, start=_start(job, entry.start, options)))
    return found


def with_styles(planned: Planned, options: Options) -> Planned:
    """Return a training with its style pictures; pictures of the painter are painted first.

    Raises:
        UsageError: if a name is unknown, or a dataset has no usable picture.
    """
    job = planned.job
    if job.recipe.styles != StyleUse.STREAM or job.styles:
        return planned
    job = replace(job, styles=_styles(planned.entry, options))
    return replace(planned, job=replace(job, start=_start(job, planned.entry.start, options)))


# --- styles ------------------------------------------------------------------------------


def _styles(entry: Entry, options: Options) -> tuple[ImageRecord, ...]:
    """Return the style pictures of an entry.

    Raises:
        UsageError: if a name is unknown, or no picture is left.
    """
    records = [
        record
        for dataset in _datasets(entry, options)
        for record in dataset.load(Role.STYLE).images
    ]
    if not entry.style:
        return tuple(records)
    by_name = {record.name: record for record in records}
    for name in entry.style:
        if name not in by_name:
            raise UsageError(
                f"style: there is no picture '{name}' in {', '.join(entry.styles)}."
                f"{did_you_mean(name, by_name)}"
            )
    return tuple(by_name[name] for name in entry.style)


def _datasets(entry: Entry, options: Options) -> list[Any]:
    """Return the datasets of an entry's styles; the paintings are left out if there are none.

    Raises:
        UsageError: if a name is unknown, or no dataset is left.
    """
    names = [name for name in entry.styles if name != PAINTINGS or options.paintings]
    if not names:
        raise UsageError("its only styles are the paintings. Give their folder with --paintings.")
    texts = [options.paintings if name == PAINTINGS else name for name in names]
    return [open_dataset(text, "styles") for text in texts]


def _shown(name: str, options: Options) -> str:
    """Return a dataset as the card describes it."""
    text = options.paintings if name == PAINTINGS else name
    return Path(text).name if Path(text).exists() else text


# --- starts ------------------------------------------------------------------------------


def _start(job: Job, wanted: str, options: Options) -> Checkpoint | None:
    """Return the checkpoint that a training begins with.

    Raises:
        UsageError: if a named checkpoint does not exist, or is that of another method.
    """
    if wanted == NEW:
        return None
    method, styles = job.method, job.styles
    library = Library((*options.start_from, shipped_dir()))
    allowed = {method.checkpoint_name(), *method.starts_from}
    if wanted != NEAREST:
        for checkpoint in library.all():
            if checkpoint.name == wanted and checkpoint.card.method in allowed:
                return checkpoint
        folders = ", ".join(map(str, library.folders))
        raise UsageError(
            f"start: there is no checkpoint {wanted} of {' or '.join(sorted(allowed))} in "
            f"{folders}. Give its folder with --start-from, or write `start: new`."
        )
    same = library.find(method.checkpoint_name(), method.decisive_params(given=True))
    if method.info.flexibility == Flexibility.MULTI_STYLE:
        # the number of styles is part of the network
        return next((one for one in same if _styles_of(one, styles)), None)
    covering = [one for one in same if styles and method.covers(one, styles[0])]
    if method.info.flexibility == Flexibility.DOMAIN:
        return next(iter(covering), None)
    if styles and not covering:
        same.sort(key=lambda one: one.distance_to(styles[0]))
    return next(iter((*covering, *same)), None)


def _styles_of(checkpoint: Checkpoint, styles: Sequence[ImageRecord]) -> bool:
    """Return True if a checkpoint was trained on these styles in this order."""
    places = [checkpoint.place_of(style) for style in styles]
    return places == list(range(len(checkpoint.card.styles)))
