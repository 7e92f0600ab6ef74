"""Checkpoints: networks trained by ``nstbench train``, found by method and style.

A checkpoint is a file ``<method>--<label>.safetensors`` (float16) with a card of the same name
in JSON. Three folders are searched, in this order: the folder in ``NSTBENCH_WEIGHTS``, the
folder of the user (:func:`nstbench.core.paths.checkpoints_dir`), and the folder that nstbench
ships (``methods/weights``). Styles are recognised by their look, so a picture that is renamed,
resized or saved again keeps its checkpoint.
"""

from __future__ import annotations

import base64
import json
import logging
import os
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
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.store.atomic_files import write_bytes, write_json

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

SCHEMA = 1
_LOOK_SIDE = 16
# Mean absolute difference of two looks in grey levels. Measured on the styles of the painter:
# scaling down to 64 px and JPEG at quality 60 change a look by up to 4.3, and the two most
# similar pictures of one style differ by 8.6.
_SAME_LOOK = 6.0


class StyleCard(BaseModel):
    """One style of a checkpoint. ``look`` is its 16 x 16 thumbnail in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    look: str
    collection: str = ""
    licence: str = ""
    author: str = ""
    source: str = ""

    @classmethod
    def of(cls, style: ImageRecord) -> StyleCard:
        """Return the card of a style picture.

        Raises:
            ImageError: if the picture cannot be read.
        """
        return cls(
            name=style.name,
            look=look_of(style),
            collection=style.collection,
            licence=style.licence,
            author=style.author,
            source=style.source,
        )


class Card(BaseModel):
    """The facts about a checkpoint: the JSON file with the same name as its weights.

    Attributes:
        method: name of the method.
        params: the parameters of the method that affect training.
        styles: the fixed styles in the order of training; empty for streamed styles.
        collections: names of the collections that the styles belong to.
        style_data: description of the styles.
        content_data: description of the contents.
        steps: number of steps that were trained.
        size: side of the content crops in pixels.
        style_size: longer side of fixed styles in pixels.
        batch: pictures per step, over all processes.
        learning_rate: initial learning rate.
        seed: seed of weights, crops and order.
        loss_curve: mean losses over up to 100 intervals of the training.
        seconds: wall-clock seconds in the training loop, including resumed parts.
        start: name and checksum of the checkpoint that the training began with, if any.
        start_seconds: seconds of training of that checkpoint, from fresh weights.
        held_out_loss: total loss on photographs that were kept out of training, if measured.
        held_out_loss_of_start: the same of the checkpoint that the training began with.
        finished: time of the end in UTC, ISO 8601.
        environment: machine, device, threads, versions.
        sha256: checksum of the safetensors file.
        licence: licence of the weights; empty if it is not stated.
        deviations: differences of this training from the paper's, one sentence each.
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
    held_out_loss: float | None = None
    held_out_loss_of_start: float | None = None
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
    """A card and its weights, in a file or, after a training without a file, in memory."""

    card: Card
    path: Path | None = None
    memory: Mapping[str, torch.Tensor] | None = None

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.path.stem if self.path is not None else self.card.method

    def describe(self) -> WeightCard:
        """Return the card of these weights for the report."""
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
            held_out_loss=card.held_out_loss,
            held_out_loss_of_start=card.held_out_loss_of_start,
            device=str(card.environment.get("device_name") or card.environment.get("device", "")),
            threads=card.environment.get("threads"),
            finished=card.finished,
            loss_curve=card.loss_curve,
            deviations=card.deviations,
        )
        return WeightCard(self.name, card.sha256, card.licence, training=training)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights by name, as float32 on the CPU; integer tensors keep their type.

        Raises:
            WeightsError: if the file is missing or damaged, or differs from the card's checksum.
        """
        if self.path is None:
            assert self.memory is not None
            return {name: _wide(tensor) for name, tensor in self.memory.items()}
        # Listing checkpoints must start without torch, so it is imported where it is needed.
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        remedy = (
            "Train it again with `nstbench train`, or reinstall nstbench if it shipped the file"
        )
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
        """Return the index of a style in ``card.styles``, or ``None`` if it is not one of them."""
        distances = self._distances(style)
        nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] <= _SAME_LOOK else None

    def distance_to(self, style: Picture | ImageRecord) -> float:
        """Return how different a style and the most similar one of ``card.styles`` look.

        Mean absolute difference of thumbnails in grey levels; infinite without styles.
        """
        return min(self._distances(style), default=float("inf"))

    def _distances(self, style: Picture | ImageRecord) -> list[float]:
        look = look_of(style)
        return [_distance(look, trained.look) for trained in self.card.styles]

    def has_collection(self, collection: str) -> bool:
        """Return True if the checkpoint was trained on styles of this collection."""
        return bool(collection) and collection in self.card.collections


@dataclass(frozen=True)
class Library:
    """The checkpoints of some folders, and checkpoints in memory.

    Attributes:
        folders: folders in order of preference.
        loaded: checkpoints in memory; they are preferred to files.
    """

    folders: tuple[Path, ...] = ()
    loaded: tuple[Checkpoint, ...] = ()

    def all(self) -> list[Checkpoint]:
        """Return every checkpoint of the folders, sorted by folder and name."""
        cards = (card for folder in self.folders for card in sorted(folder.glob("*.json")))
        checkpoints = (read_checkpoint(card) for card in cards)
        return [one for one in checkpoints if one is not None]

    def find(self, method: str, given: Mapping[str, Any]) -> list[Checkpoint]:
        """Return the checkpoints of a method that agree with ``given`` parameters.

        Sorted by preference: by folder, and within a folder from the newest to the oldest.
        """
        candidates = [one for one in self.loaded if one.card.method == method]
        for folder in self.folders:
            here = (read_checkpoint(card) for card in folder.glob(f"{method}*.json"))
            of_method = [one for one in here if one is not None and one.card.method == method]
            candidates += sorted(
                of_method, key=lambda one: (one.card.finished, one.name), reverse=True
            )
        return [one for one in candidates if _agrees(one.card, given)]


def installed() -> Library:
    """Return the library that runs use: see the docstring of this module for its folders."""
    setting = os.environ.get("NSTBENCH_WEIGHTS")
    named = (Path(setting).expanduser(),) if setting else ()
    return Library((*named, checkpoints_dir(), shipped_dir()))


def shipped_dir() -> Path:
    """Return the folder of the checkpoints that nstbench ships."""
    return registry.folder("methods") / "weights"


def read_checkpoint(card_file: Path) -> Checkpoint | None:
    """Return the checkpoint of a card file, or ``None``.

    The file can be missing; a damaged card is reported in the log.
    """
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
        _log.warning("%s is ignored: it is not the card of a checkpoint (%s)", card_file, error)
        return None
    return Checkpoint(card, card_file.with_suffix(".safetensors"))


def write_checkpoint(folder: Path, name: str, card: Card, tensors: Mapping[str, Any]) -> Checkpoint:
    """Write weights as float16, and then their card.

    A checkpoint is found by its card, so weights without a card are never used.

    Args:
        folder: folder of both files.
        name: file name without suffix.
        card: the card; this function fills in its checksum.
        tensors: the result of ``Training.weights``.

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


# --- recognising styles ------------------------------------------------------------------


def look_of(style: Picture | ImageRecord) -> str:
    """Return the thumbnail by which a style is recognised: 16 x 16 RGB bytes in base64.

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
    """Return the look of float RGB (B, 3, H, W): 16 x 16 means of the central square.

    Every way of fitting a picture keeps the central square.
    """
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
    """Return the names of the collections that some styles belong to, sorted.

    Example:
        >>> collections_of([ImageRecord("a", Path("a.png"), collection="monet")])
        ('monet',)
    """
    return tuple(sorted({style.collection for style in styles if style.collection}))
