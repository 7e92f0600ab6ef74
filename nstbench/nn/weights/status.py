"""Status of network weights for tables: place, source, size, and result of the checksum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nstbench.contracts import Weight
from nstbench.core.errors import WeightsError
from nstbench.core.records import Availability
from nstbench.nn.weights.cache import (
    availability,
    cache_folder,
    check_file,
    file_checksum,
    locate,
    note_of,
    user_folder,
)


class State(StrEnum):
    """Where the file of a weight is."""

    CACHED = "cached"
    FOLDER = "in NSTBENCH_WEIGHTS"
    BUNDLED = "bundled"
    FETCHABLE = "fetched when needed"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """A table row about one weight.

    Attributes:
        name: name of the weight.
        state: where the file is.
        location: path of the file, or ``None`` if there is none.
        came_from: source of the file.
        size: bytes of the file, or ``None``.
        licence: licence of the weight.
        sha256: checksum of the file, or the pinned one.
        reason: why the weight is missing or damaged; empty otherwise.
        remedy: how to fix that.
    """

    name: str
    state: State
    location: Path | None
    came_from: str
    size: int | None
    licence: str
    sha256: str
    reason: str = ""
    remedy: str = ""


def verify(weight: Weight) -> Availability:
    """Compare the file of a weight with its checksum, without fetching anything."""
    file = locate(weight)
    remedy = f"Run `nstbench weights fetch {weight.name}`"
    if file is None:
        return Availability(False, "not fetched yet", remedy)
    try:
        check_file(weight, file)
    except WeightsError as error:
        return Availability(False, str(error), remedy)
    return Availability()


def status(weight: Weight, check: bool = False) -> WeightStatus:
    """Return the table row of a weight; with ``check`` the checksum is compared, too."""
    file = locate(weight)
    if file is None:
        available = availability(weight)
        return WeightStatus(
            name=weight.name,
            state=State.FETCHABLE if available.ok else State.MISSING,
            location=None,
            came_from=weight.sources[0].describe() if weight.sources else "",
            size=None,
            licence=weight.licence,
            sha256=weight.sha256,
            reason=available.reason,
            remedy=available.remedy,
        )
    places = {cache_folder(): State.CACHED, user_folder(): State.FOLDER}
    state = places.get(file.parent, State.BUNDLED)
    result = verify(weight) if check else Availability()
    return WeightStatus(
        name=weight.name,
        state=state if result.ok else State.DAMAGED,
        location=file,
        came_from=note_of(file).get("source", state.value),
        size=file.stat().st_size,
        licence=weight.licence,
        sha256=file_checksum(file) if check or not weight.sha256 else weight.sha256,
        reason=result.reason,
        remedy=result.remedy,
    )
