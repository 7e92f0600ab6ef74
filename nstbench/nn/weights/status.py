"""Where the network weights are, for tables, and whether their files are whole."""

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
    """Where a weight is."""

    CACHED = "cached"
    FOLDER = "in NSTBENCH_WEIGHTS"
    BUNDLED = "bundled"
    FETCHABLE = "fetched when needed"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """A row of a table: the file if there is one, its source, bytes and (pinned) checksum."""

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
    """Check the file of a weight against its checksum, without fetching anything."""
    found = locate(weight)
    remedy = f"Run `nstbench weights fetch {weight.name}`"
    if found is None:
        return Availability(False, "not fetched yet", remedy)
    try:
        check_file(weight, found)
    except WeightsError as error:
        return Availability(False, str(error), remedy)
    return Availability()


def status(weight: Weight, check: bool = False) -> WeightStatus:
    """Describe a weight for a table; ``check`` compares the checksum, too."""
    found = locate(weight)
    if found is None:
        known = availability(weight)
        return WeightStatus(
            name=weight.name,
            state=State.FETCHABLE if known.ok else State.MISSING,
            location=None,
            came_from=weight.sources[0].describe() if weight.sources else "",
            size=None,
            licence=weight.licence,
            sha256=weight.sha256,
            reason=known.reason,
            remedy=known.remedy,
        )
    places = {cache_folder(): State.CACHED, user_folder(): State.FOLDER}
    state = places.get(found.parent, State.BUNDLED)
    result = verify(weight) if check else Availability()
    return WeightStatus(
        name=weight.name,
        state=state if result.ok else State.DAMAGED,
        location=found,
        came_from=note_of(found).get("source", state.value),
        size=found.stat().st_size,
        licence=weight.licence,
        sha256=file_checksum(found) if check or not weight.sha256 else weight.sha256,
        reason=result.reason,
        remedy=result.remedy,
    )
