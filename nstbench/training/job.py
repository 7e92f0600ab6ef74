"""Carry out an order: resolve names, read pictures, train, write weights and cards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nstbench.contracts import Picture
from nstbench.core.environment import describe_environment, resolve_device, utc_now
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.paths import checkpoints_dir
from nstbench.core.records import Flexibility, ImageRecord, Role
from nstbench.core.text import path_name, shown_name, slugify
from nstbench.pictures.picture import load_picture
from nstbench.plan.listener import Listener
from nstbench.plan.variants import make_variant, open_dataset
from nstbench.plugins.params import check_params
from nstbench.store.atomic_files import read_json
from nstbench.store.keys import key_of
from nstbench.training.checkpoints import (
    Card,
    Checkpoint,
    StyleCard,
    collections_of,
    installed,
    look_of,
    read_checkpoint,
    write_checkpoint,
)
from nstbench.training.loop import Loop, Schedule
from nstbench.training.order import Order
from nstbench.training.steps.buffers import Steps
from nstbench.training.steps.crops import Collection, Pictures, Source, read_pictures
from nstbench.training.steps.fabric import make_autocast, make_fabric
from nstbench.training.trainable import Recipe, StyleUse, Task, TrainableMethod

_LOG_LINES = 200
_SAVES, _SAVE_EVERY_AT_MOST = 20, 500


@dataclass(frozen=True, eq=False)
class Job:
    """One training of an order: for one style, or for several styles in one model.

    Attributes:
        order: the order.
        method: the method, with its parameters.
        recipe: the method's recipe with the overrides of the order.
        styles: style pictures of this training.
        label: second part of the checkpoint's name; empty for none.
        contents: photographs; those of ``order.contents`` if empty.
        start: checkpoint to begin with; that of ``order.start`` if ``None``.
    """

    order: Order
    method: TrainableMethod
    recipe: Recipe
    styles: tuple[ImageRecord, ...]
    label: str
    contents: tuple[ImageRecord, ...] = ()
    start: Checkpoint | None = None

    @property
    def name(self) -> str:
        """File name of the checkpoint without suffix."""
        method = self.method.checkpoint_name()
        return f"{method}--{self.label}" if self.label else method

    @property
    def folder(self) -> Path:
        """Folder of the checkpoint."""
        return self.order.out or checkpoints_dir()


def jobs(order: Order) -> list[Job]:
    """Return the trainings of an order.

    Raises:
        UsageError: if a name or parameter is wrong, or the method is not trainable.
    """
    variant = make_variant(order.method, {})
    method = variant.method
    if method is None:
        raise UsageError(f"{order.method.name} cannot be used: {variant.card.availability.reason}.")
    if not isinstance(method, TrainableMethod):
        raise UsageError(f"{order.method.name} cannot be trained: it has no networks to train.")
    if not variant.card.availability.ok:
        state = variant.card.availability
        raise UsageError(f"{order.method.name}: {state.reason}. {state.remedy}")
    recipe = _recipe(method, order)
    if recipe.styles == StyleUse.NONE:
        return [Job(order, method, recipe, (), slugify(order.name))]
    styles = _styles(order)
    if recipe.styles == StyleUse.ONE:
        labels = [_label(order, method, style.name) for style in styles]
        return [
            Job(order, method, recipe, (style,), _distinct(label, style.name, labels))
            for style, label in zip(styles, labels, strict=True)
        ]
    arbitrary = method.info.flexibility == Flexibility.ARBITRARY
    given = "" if arbitrary else (styles[0].name if len(styles) == 1 else _short(order.styles))
    return [Job(order, method, recipe, styles, _label(order, method, given))]


def prepare(job: Job, listener: Listener) -> Loop:
    """Read the pictures of a job, build its networks, and resume its saved state if there is one.

    Call this function, :meth:`Loop.advance` and :func:`finish` inside of
    :func:`nstbench.core.isolation.isolated`. Several loops can be prepared in one process. They
    do not affect each other.

    Args:
        job: the training, from :func:`jobs`.
        listener: receives notes and progress.

    Raises:
        UsageError: if a picture or checkpoint cannot be used, or the folder of the training
            contains another one.
        WeightsError: if the weights of the loss network cannot be loaded.
    """
    start = _start(job)
    if start is not None:
        job = replace(job, method=_continued(job.method, start))
    order, recipe = job.order, job.recipe
    device = torch.device(resolve_device(order.device))
    fabric = make_fabric(order, device)
    fabric.launch()
    contents = _contents(job, fabric.device, listener)
    streamed = _streamed(job, fabric.device, listener)
    source = Source(
        contents, streamed, recipe.size, recipe.batch, order.seed,
        fabric.global_rank, fabric.world_size,
    )  # fmt: skip
    # All processes must begin with the same weights.
    torch.manual_seed(order.seed)
    task = Task(
        recipe=recipe,
        device=fabric.device,
        styles=_fixed(job, fabric.device),
        autocast=make_autocast(order, fabric.device),
        start=start,
        precision=order.precision,
    )
    training = job.method.training(task)
    for network in training.networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loop = Loop(
        fabric=fabric,
        training=training,
        steps=Steps(fabric, training, source),
        source=source,
        schedule=_schedule(order, recipe),
        folder=job.folder / f"{job.name}.training",
        order=_identity(job, contents, streamed),
        listener=listener,
    )
    loop.resume()
    return loop


def finish(job: Job, loop: Loop) -> Checkpoint:
    """Write the checkpoint and the card of the steps that a loop has done, and return it.

    The state is not saved here; see :meth:`Loop.save`.

    Args:
        job: the job that the loop was prepared for.
        loop: the loop, at its last step or before.

    Raises:
        StoreError: if the folder cannot be written.
    """
    start = _start(job)
    if start is not None:
        job = replace(job, method=_continued(job.method, start))
    loop.synchronize()
    if loop.fabric.is_global_zero:
        card = _card(job, start, loop)
        write_checkpoint(job.folder, job.name, card, loop.training.weights())
    loop.fabric.barrier()
    return Checkpoint(card=_written(job), path=job.folder / f"{job.name}.safetensors")


# --- resolving the order -----------------------------------------------------------------


def _recipe(method: TrainableMethod, order: Order) -> Recipe:
    names = ("steps", "size", "batch", "learning_rate", "style_size")
    given = {name: getattr(order, name) for name in names if getattr(order, name) is not None}
    recipe = replace(method.recipe, **given)
    return recipe if recipe.style_size else replace(recipe, style_size=recipe.size)


def _styles(order: Order) -> tuple[ImageRecord, ...]:
    files = [name for name in order.style if Path(name).expanduser().is_file()]
    names = [shown_name(name) for name in order.style if name not in files]
    from_files = [
        record for file in files for record in open_dataset(file, "--style").load(Role.STYLE).images
    ]
    if files and not names:
        return tuple(from_files)
    styles = {r.name: r for r in open_dataset(order.styles, "--styles").load(Role.STYLE).images}
    for name in names:
        if name not in styles:
            raise UsageError(
                f"--style {name}: neither a file nor a picture of --styles {order.styles}."
                f"{did_you_mean(name, styles)}"
            )
    return (*from_files, *(styles[name] for name in names or styles))


def _label(order: Order, method: TrainableMethod, base: str) -> str:
    """Return the label of the checkpoint, with a checksum of the parameters that are set."""
    if order.name:
        return slugify(order.name)
    decisive = method.decisive_params(given=True)
    tail = key_of(decisive)[:6] if decisive else ""
    return "-".join(part for part in (base and path_name(base), tail) if part)


def _distinct(label: str, style: str, labels: Sequence[str]) -> str:
    """Return the label, with a checksum of the style if several styles have it (Cat and cat)."""
    return label if labels.count(label) == 1 else f"{label}-{key_of({'style': style})[:6]}"


def _short(text: str) -> str:
    return Path(text).name if Path(text).exists() else text


def _start(job: Job) -> Checkpoint | None:
    text = job.order.start
    if job.start is not None or not text:
        return job.start
    path = Path(text).expanduser()
    places = [path, *(folder / path.name for folder in installed().folders)]
    for place in places:
        start = read_checkpoint(
            place if place.suffix == ".json" else place.with_name(place.name + ".json")
        ) or read_checkpoint(place.with_suffix(".json"))
        if start is not None:
            return start
    raise UsageError(f"--start {text}: there is no such checkpoint in {places[-2].parent}.")


def _continued(method: TrainableMethod, start: Checkpoint) -> TrainableMethod:
    """Return the method with a checkpoint's parameters, except for those that are set."""
    name, fields = method.checkpoint_name(), type(method).Params.model_fields
    if start.card.method not in {name, *method.starts_from}:
        raise UsageError(f"--start: {start.path} is a checkpoint of {start.card.method}.")
    shared = start.card.params
    if start.card.method != name:
        shared = {key: value for key, value in shared.items() if key in fields}
    merged = {**shared, **method.decisive_params(given=True)}
    return type(method)(check_params(type(method).Params, merged, "checkpoint"))


# --- pictures ----------------------------------------------------------------------------


def _contents(job: Job, device: torch.device, listener: Listener) -> Collection:
    records = job.contents
    if not records:
        records = open_dataset(job.order.contents, "--contents").load(Role.CONTENT).images
    if job.order.contents == "starter":
        listener.note(
            "training on the photographs of the starter dataset, which are the contents of runs by "
            "default; choose a folder of other photographs with --contents"
        )
    pictures = _read(records, job, "--contents", device, listener)
    return Collection(pictures, job.order.seed)


def _streamed(job: Job, device: torch.device, listener: Listener) -> Collection | None:
    if job.recipe.styles != StyleUse.STREAM:
        return None
    # The seed differs from that of the contents. With the same one, equally many styles and
    # contents would have the same order, so every content would always meet the same style.
    pictures = _read(job.styles, job, "--styles", device, listener)
    return Collection(pictures, job.order.seed + 1)


def _read(
    records: tuple[ImageRecord, ...],
    job: Job,
    option: str,
    device: torch.device,
    listener: Listener,
) -> Pictures:
    pictures = read_pictures(records, job.recipe.size, device, option)
    for skip in pictures.skipped:
        listener.note(f"left out {skip.path}: {skip.reason}")
    return pictures


def _fixed(job: Job, device: torch.device) -> tuple[Picture, ...]:
    if job.recipe.styles not in (StyleUse.ONE, StyleUse.SET):
        return ()
    size = job.recipe.style_size
    return tuple(load_picture(style, size, "inside", str(device)) for style in job.styles)


# --- settings of the loop ----------------------------------------------------------------


def _schedule(order: Order, recipe: Recipe) -> Schedule:
    steps = recipe.steps
    save_every = order.save_every or min(_SAVE_EVERY_AT_MOST, math.ceil(steps / _SAVES))
    return Schedule(steps, save_every, min(save_every, math.ceil(steps / _LOG_LINES)))


def _identity(job: Job, contents: Collection, streamed: Collection | None) -> dict[str, Any]:
    """Return the facts that must be equal for a saved state to be resumed."""
    recipe = {name: value for name, value in asdict(job.recipe).items() if name != "steps"}
    return {
        "method": job.method.checkpoint_name(),
        "params": job.method.decisive_params(),
        **{name: str(value) for name, value in recipe.items()},
        "seed": job.order.seed,
        "start": job.start.card.sha256 if job.start is not None else job.order.start,
        "contents": key_of({"files": [_identity_of(r) for r in contents.records]})[:12],
        "styles": key_of({"looks": [look_of(style) for style in job.styles]})[:12]
        if streamed is None
        else key_of({"files": [_identity_of(r) for r in streamed.records]})[:12],
    }


def _identity_of(record: ImageRecord) -> str:
    return f"{record.path.name} {record.path.stat().st_size}"


# --- the card ----------------------------------------------------------------------------


def _card(job: Job, start: Checkpoint | None, loop: Loop) -> Card:
    order, recipe = job.order, job.recipe
    contents, streamed = loop.source.contents, loop.source.styles
    styles = job.styles if streamed is None else ()
    return Card(
        method=job.method.checkpoint_name(),
        params=job.method.decisive_params(),
        styles=tuple(StyleCard.of(style) for style in styles),
        collections=collections_of(job.styles),
        style_data=f"{len(job.styles)} pictures of {_short(order.styles)}"
        if streamed is not None
        else ", ".join(style.name for style in job.styles),
        content_data=f"{len(contents.records)} pictures of {_short(order.contents)}",
        steps=loop.done,
        size=recipe.size,
        style_size=recipe.style_size,
        batch=recipe.batch * loop.fabric.world_size,
        learning_rate=recipe.learning_rate,
        seed=order.seed,
        seconds=loop.seconds,
        start=f"{start.name} (sha256 {start.card.sha256})" if start is not None else "",
        start_seconds=start.card.total_seconds if start is not None else 0.0,
        finished=utc_now(),
        loss_curve=loop.curve(),
        environment=describe_environment(str(loop.fabric.device), order.threads),
        deviations=_deviations(job, start, loop.done),
    )


def _deviations(job: Job, start: Checkpoint | None, steps: int) -> tuple[str, ...]:
    """Return one sentence per difference from the recipe and defaults of the method."""
    paper, actual = job.method.recipe, replace(job.recipe, steps=steps)
    words = {
        "steps": "steps",
        "size": "px crops",
        "batch": "pictures per step",
        "learning_rate": "learning rate",
    }
    sentences = [
        f"Trained with {getattr(actual, name):,} {word} instead of {getattr(paper, name):,}."
        for name, word in words.items()
        if getattr(actual, name) != getattr(paper, name)
    ]
    if start is not None:
        sentences.append(f"Began with the weights of {start.name}.")
    defaults: Mapping[str, Any] = type(job.method).Params().model_dump(mode="json")
    sentences += [
        f"Trained with {name}={value} instead of {defaults[name]}."
        for name, value in job.method.decisive_params().items()
        if value != defaults[name]
    ]
    return tuple(sentences)


def _written(job: Job) -> Card:
    path = job.folder / f"{job.name}.json"
    return Card.model_validate(read_json(path))
