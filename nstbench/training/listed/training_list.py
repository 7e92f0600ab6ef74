"""The list of trainings: a YAML file with one entry per method, read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nstbench.core.errors import NstbenchError, UsageError, did_you_mean
from nstbench.plan.config_file import read_settings
from nstbench.training.checkpoints import shipped_dir

PAINTINGS = "paintings"
"""Word of ``styles`` for the folder of paintings that the command line gives."""
NEAREST, NEW = "nearest", "new"

_COLLECTION = "trainings"


class Entry(BaseModel):
    """One method of a list, trained once or once per style.

    Numbers that are not given come from the method's recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(min_length=1, description="method with parameters: a:param=value")
    styles: tuple[str, ...] = Field(
        ("starter",),
        min_length=1,
        description="datasets or folders of styles, or `paintings` for the folder of --paintings",
    )
    style: tuple[str, ...] = Field(
        (), description="names of pictures in `styles`; all if there are none"
    )
    name: str = Field(
        "{style}",
        min_length=1,
        description="second part of the checkpoint's name; {style} is the name of the style",
    )
    size: int | None = Field(None, ge=32, le=2048, description="side of the crops in pixels")
    style_size: int | None = Field(
        None, ge=32, le=2048, description="longer side of fixed styles in pixels"
    )
    batch: int | None = Field(None, ge=1, description="pictures per step")
    learning_rate: float | None = Field(None, gt=0, description="initial learning rate")
    seed: int = Field(0, ge=0, description="seed of weights, crops and order")
    start: str = Field(
        NEAREST,
        min_length=1,
        description="checkpoint to begin with: `nearest` (same parameters, if possible the same "
        "style), `new` for fresh weights, or the name of a checkpoint",
    )
    share: float = Field(1.0, gt=0, description="share of the time of each training, relative")

    @field_validator("styles", "style", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class TrainingList(BaseModel):
    """A list of trainings, the most valuable first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(description="format of the file")
    licence: str = Field("", description="licence of the checkpoints")
    trainings: tuple[Entry, ...] = Field(min_length=1, description="the entries")


def shipped_list() -> Path:
    """Return the list of the checkpoints that nstbench ships."""
    return shipped_dir() / "trainings.yaml"


def read_list(file: Path) -> TrainingList:
    """Read a list of trainings.

    Raises:
        UsageError: if the file cannot be read or an entry is wrong; the message names both.

    Example:
        >>> read_list(shipped_list()).version
        1
    """
    if not file.exists():
        raise UsageError(f"--list {file}: there is no such file.")
    try:
        return TrainingList.model_validate(read_settings(file))
    except ValidationError as error:
        lines = [_described(problem) for problem in error.errors()]
        raise UsageError("\n".join(f"{file}: {line}" for line in lines)) from None


@contextmanager
def named(file: Path, number: int, entry: Entry) -> Iterator[None]:
    """Add the file and the entry to the message of an error.

    Args:
        file: the list.
        number: place of the entry, from 1.
        entry: the entry.
    """
    try:
        yield
    except NstbenchError as error:
        raise UsageError(f"{file}, entry {number} ({entry.method}): {error}") from error


def _described(problem: Any) -> str:
    """Return the entry, the setting and the reason of one error of pydantic."""
    loc = tuple(problem["loc"])
    where, known = "", TrainingList.model_fields
    if len(loc) > 1 and loc[0] == _COLLECTION:
        where, known = f"entry {int(loc[1]) + 1}, ", Entry.model_fields
        loc = loc[2:]
    field = str(loc[0]) if loc else _COLLECTION
    if problem["type"] == "extra_forbidden":
        return f"{where}there is no setting called '{field}'.{did_you_mean(field, known)}"
    if problem["type"] == "missing":
        return f"{where}the setting '{field}' is missing."
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{where}{field}: {reason} (got {str(problem['input'])[:80]!r})."
