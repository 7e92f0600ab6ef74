"""What the trainings of a list have done: kept in a file, so that a later call continues."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nstbench.core.errors import UsageError
from nstbench.store.atomic_files import write_json

FILE = Path("trainings") / "results.json"
"""The file, below the folder of the checkpoints: a card is any JSON file in that folder itself."""

DONE, SHORT, WAITING, FAILED = "done", "short", "waiting", "failed"
ENOUGH = 0.8
"""Part of its share of the time with which a training counts as done."""


class Result(BaseModel):
    """What one training of a list has done, over all calls.

    Attributes:
        name: name of the checkpoint.
        kind: name of the method.
        share: relative share of the time.
        status: ``done``, ``short`` (a checkpoint after less than its share), ``waiting`` (no
            checkpoint yet) or ``failed``.
        reason: why it failed, or what is missing.
        seconds: its part of the time of the device, without preparation and writing.
        steps: steps of the last saved state.
        step_seconds: seconds that a step took at the end, while other trainings ran beside it.
        first_loss: first total in the log; ``None`` without a log.
        last_loss: last total in the log.
        held_out_loss: total on photographs that were kept out, of the checkpoint.
        held_out_loss_of_start: the same of the checkpoint that the training began with.
        start: name of that checkpoint; empty for fresh weights.
        start_sha256: its checksum.
        file: the checkpoint, relative to the folder; empty if there is none.
        sheet: the sample sheet, likewise.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str
    share: float
    status: str = WAITING
    reason: str = ""
    seconds: float = 0.0
    steps: int = 0
    step_seconds: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None
    held_out_loss: float | None = None
    held_out_loss_of_start: float | None = None
    start: str = ""
    start_sha256: str = ""
    file: str = ""
    sheet: str = ""


class Results(BaseModel):
    """The results of all trainings of a list.

    Attributes:
        version: format of the file.
        source: file name of the list.
        calls: the calls of the command: device, minutes given, seconds taken.
        trainings: results by name of the checkpoint.
    """

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    source: str = ""
    calls: list[dict[str, Any]] = Field(default_factory=list)
    trainings: dict[str, Result] = Field(default_factory=dict)

    def spent(self) -> dict[str, float]:
        """Return the seconds of every training."""
        return {name: result.seconds for name, result in self.trainings.items()}

    def sort(self, names: Sequence[str]) -> None:
        """Put trainings in the order of a list; those that are not in it come last."""
        others = [name for name in self.trainings if name not in names]
        self.trainings = {name: self.trainings[name] for name in (*names, *others)}

    def judge(self, names: Iterable[str]) -> None:
        """Set the status of trainings by their shares of the time that all of them had.

        Args:
            names: the trainings of the list.
        """
        mine = [self.trainings[name] for name in names]
        total = sum(result.seconds for result in mine)
        weight = sum(result.share for result in mine)
        for result in mine:
            if result.status == FAILED:
                continue
            wanted = total * result.share / weight
            enough = result.seconds >= ENOUGH * wanted
            result.status = WAITING if not result.file else DONE if enough else SHORT
            if result.status in (WAITING, SHORT):
                result.reason = f"it had {result.seconds:.1f} s of its share of {wanted:.1f} s"

    def write(self, folder: Path) -> None:
        """Write the file below a folder.

        Raises:
            StoreError: if the folder cannot be written.
        """
        write_json(folder / FILE, self.model_dump(mode="json"))


def read_results(folder: Path) -> Results:
    """Return the results of earlier calls with the same folder; empty ones if there are none.

    Raises:
        UsageError: if the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Results()
    try:
        return Results.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise UsageError(
            f"{path} cannot be read: {first}. Delete it; the trainings continue from their saved "
            "states, and only the seconds that they had are forgotten."
        ) from None


def total_of(row: dict[str, float]) -> float | None:
    """Return the total loss of a row of the log, or the sum of its losses.

    Example:
        >>> total_of({"step": 5.0, "seconds": 2.0, "cycle": 1.0, "identity": 0.5})
        1.5
    """
    losses = {name: value for name, value in row.items() if name not in ("step", "seconds")}
    if not losses:
        return None
    return losses.get("total", sum(losses.values()))
