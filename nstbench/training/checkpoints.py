"""Checkpoints: networks that ``nstbench train`` made, found again by method and style.

A checkpoint is ``<method>--<label>.safetensors`` (float16) with a card of the same name in
JSON. They are looked for in the folder that ``NSTBENCH_WEIGHTS`` names, then among the
user's own (``nstbench.core.paths.checkpoints_dir``), then among those that nstbench ships
(``methods/weights``). Styles are recognised by their look, so a picture keeps its
checkpoint when it is renamed, resized or saved anew.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nstbench.contracts import Picture
from nstbench.core.cards import TrainingCard, WeightCard
from nstbench.core.errors import WeightsError
from nstbench.core.paths import checkpoints_dir
from nstbench.core.records import ImageRecord
from nstbench.nn.weights.files import sha256_of
from nstbench.pictures.picture import read_image, to_tensor
from nstbench.plugins import registry
from nstbench.store.atomic_files import write_bytes, write_json

if TYPE_CHECKING:
    import torch

    from nstbench.training.trainable import TrainableMethod

_log = logging.getLogger(__name__)

SCHEMA = 1
_LOOK_SIDE = 16
# Mean absolute difference in grey levels. Over the painter's styles, sizes down to 64 px and
# JPEG at quality 60 reach 4.3; the closest two pictures of one style are 8.6 apart.
_SAME_LOOK = 6.0


class StyleCard(BaseModel):
    """One style of a checkpoint: ``look`` is its 16 x 16 thumbnail in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    look: str
    collection: str = ""
    licence: str = ""
    author: str = ""
    source: str = ""


class Card(BaseModel):
    """What is known about a checkpoint; the JSON file beside its weights.

    Attributes:
        method: name of the method.
        params: the method's parameters that played a part in training.
        styles: the fixed styles in the order of training; empty for streamed ones.
        collections: names of the collections that the styles belong to.
        style_data: what the styles were, in words.
        content_data: what the contents were, in words.
        loss_curve: mean losses over up to 100 stretches of the training.
        seconds: wall-clock seconds in the training loop, over all resumptions.
        start: name and checksum of the checkpoint that the training began with, if any.
        start_seconds: seconds of training behind that checkpoint, its own beginnings included.
        environment: machine, device, threads, versions.
        sha256: checksum of the safetensors file.
        licence: licence of the weights; empty if it is not stated.
        deviations: how this training departs from the paper's, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    method: str
    params: dict[str, Any]
    styles: tuple[StyleCard, ...] = ()
    collections: tuple[str, ...] = ()
    style_data: str = ""
    content_data: str
    steps: int
    size: int
    style_size: int
    batch: int
    learning_rate: float
    seed: int
    seconds: float
    start: str = ""
    start_seconds: float = 0.0
    finished: str
    loss_curve: tuple[dict[str, float], ...] = ()
    environment: dict[str, Any] = {}
    sha256: str = ""
    licence: str = ""
    deviations: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Seconds of training from fresh weights to this checkpoint."""
        return self.start_seconds + self.seconds


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A card and its weights: in a file, or in memory for a training that was just run."""

    card: Card
    path: Path | None = None
    memory: Mapping[str, torch.Tensor] | None = None

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.path.stem if self.path is not None else self.card.method

    def describe(self) -> WeightCard:
        """Return what a report says about these weights."""
        card = self.card
        training = TrainingCard(
            method=card.method,
            content_data=card.content_data,
            style_data=card.style_data,
            steps=card.steps,
            size=card.size,
            batch=card.batch,
            learning_rate=card.learning_rate,
            seconds=card.seconds,
            start=card.start,
            start_seconds=card.start_seconds,
            device=str(card.environment.get("device_name") or card.environment.get("device", "")),
            threads=card.environment.get("threads"),
            finished=card.finished,
            loss_curve=card.loss_curve,
            deviations=card.deviations,
        )
        return WeightCard(self.name, card.sha256, card.licence, training=training)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights as float32 on the CPU (integers keep their type).

        Raises:
            WeightsError: if the file is missing or is not what the card's checksum says.
        """
        if self.path is None:
            assert self.memory is not None
            return {name: _wide(tensor) for name, tensor in self.memory.items()}
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        remedy = "Train it again with `nstbench train`, or reinstall nstbench if it came with it"
        try:
            actual = sha256_of(self.path)
            if actual != self.card.sha256:
                raise WeightsError(
                    f"{self.path} has sha256 {actual}, its card says {self.card.sha256}. {remedy}"
                )
            return {name: _wide(tensor) for name, tensor in load_file(self.path).items()}
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{self.path} cannot be read: {error}. {remedy}") from error

    def place_of(self, style: Picture | ImageRecord) -> int | None:
        """Return the index of a style among ``card.styles``, or ``None`` if it is not there."""
        look = look_of(style)
        distances = [_distance(look, known.look) for known in self.card.styles]
        nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] <= _SAME_LOOK else None

    def has_collection(self, collection: str) -> bool:
        """Return True if styles of this collection were trained on."""
        return bool(collection) and collection in self.card.collections


@dataclass(frozen=True)
class Library:
    """Checkpoints in folders, the first folder preferred, or given in memory."""

    folders: tuple[Path, ...] = ()
    loaded: tuple[Checkpoint, ...] = ()

    def all(self) -> list[Checkpoint]:
        """Return every checkpoint of the folders, sorted by folder and name."""
        cards = (card for folder in self.folders for card in sorted(folder.glob("*.json")))
        found = (read_checkpoint(card) for card in cards)
        return [one for one in found if one is not None]

    def find(self, method: str, given: Mapping[str, Any]) -> list[Checkpoint]:
        """Return the checkpoints of a method that agree with ``given`` parameters.

        Those of an earlier folder come first, and in a folder the newest.
        """
        found = [one for one in self.loaded if one.card.method == method]
        for folder in self.folders:
            here = (read_checkpoint(card) for card in folder.glob(f"{method}*.json"))
            own = [one for one in here if one is not None and one.card.method == method]
            found += sorted(own, key=lambda one: (one.card.finished, one.name), reverse=True)
        return [one for one in found if _agrees(one.card, given)]


def installed() -> Library:
    """Return the library that runs use."""
    own = os.environ.get("NSTBENCH_WEIGHTS")
    named = (Path(own).expanduser(),) if own else ()
    return Library((*named, checkpoints_dir(), shipped_dir()))


def shipped_dir() -> Path:
    """Return the folder of the checkpoints that nstbench ships."""
    return registry.folder("methods") / "weights"


def read_checkpoint(card_file: Path) -> Checkpoint | None:
    """Return the checkpoint of a card, or ``None`` with a log line if the card is damaged."""
    try:
        status = card_file.stat()
    except OSError:
        return None
    return _read(card_file, status.st_mtime_ns)


@lru_cache(maxsize=512)
def _read(card_file: Path, mtime_ns: int) -> Checkpoint | None:
    try:
        card = Card.model_validate(json.loads(card_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        _log.warning("%s is left out: it is not the card of a checkpoint (%s)", card_file, error)
        return None
    return Checkpoint(card, card_file.with_suffix(".safetensors"))


def write_checkpoint(folder: Path, name: str, card: Card, tensors: Mapping[str, Any]) -> Checkpoint:
    """Write weights as float16 and their card; the card, which makes them count, comes last.

    Args:
        folder: where to.
        name: file name without suffix.
        card: its checksum is filled in.
        tensors: what ``Training.weights`` returned.

    Raises:
        StoreError: if the folder cannot be written.
    """
    from safetensors.torch import save

    stored = {key: _narrow(tensor) for key, tensor in tensors.items()}
    path = folder / f"{name}.safetensors"
    write_bytes(path, save(stored, metadata={"method": card.method}))
    card = card.model_copy(update={"sha256": sha256_of(path)})
    write_json(path.with_suffix(".json"), card.model_dump(mode="json"))
    return Checkpoint(card, path)


def training_command(method: TrainableMethod, style: ImageRecord) -> str:
    """Return the command that trains a method for a style under the method's parameters."""
    from nstbench.training.trainable import StyleUse

    given = method.decisive_params(given=True)
    params = ",".join(f"{name}={json.dumps(value)}" for name, value in given.items())
    name = method.checkpoint_name()
    option = {
        StyleUse.ONE: ["--style", str(style.path)],
        StyleUse.SET: ["--styles", str(style.path.parent)],
        StyleUse.STREAM: ["--styles", str(style.path.parent)],
        StyleUse.NONE: [],
    }[method.recipe.styles]
    command = ["nstbench", "train", f"{name}:{params}" if params else name, *option]
    # without photographs of their own people would train on those that the board is made of
    return f"Run: {shlex.join(command)} --contents FOLDER_OF_PHOTOGRAPHS"


# --- recognising styles ------------------------------------------------------------------


def look_of(style: Picture | ImageRecord) -> str:
    """Return the thumbnail by which a style is recognised, in base64.

    Raises:
        ImageError: if the picture of a record cannot be read.
    """
    if isinstance(style, ImageRecord):
        return _look_of_file(style.path, style.path.stat().st_mtime_ns)
    return _look(style.pixels)


@lru_cache(maxsize=4096)
def _look_of_file(path: Path, mtime_ns: int) -> str:
    return _look(to_tensor(read_image(path)))


def _look(pixels: torch.Tensor) -> str:
    """Reduce the central square, which every way of fitting keeps, to 16 x 16 means."""
    import torch.nn.functional as F

    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[:1, :, top : top + side, left : left + side].float()
    means = F.adaptive_avg_pool2d(square, _LOOK_SIDE).mul(255).round().byte()
    return base64.b64encode(means.cpu().contiguous().numpy().tobytes()).decode()


def _distance(one: str, other: str) -> float:
    a, b = base64.b64decode(one), base64.b64decode(other)
    if len(a) != len(b):
        return float("inf")
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


# --- small helpers -----------------------------------------------------------------------


def _agrees(card: Card, given: Mapping[str, Any]) -> bool:
    return all(name in card.params and card.params[name] == given[name] for name in given)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(torch.float16) if tensor.is_floating_point() else tensor


def collections_of(styles: Iterable[ImageRecord]) -> tuple[str, ...]:
    """Return the names of the collections of some styles, sorted."""
    return tuple(sorted({style.collection for style in styles if style.collection}))
