"""The contract of datasets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from nstbench.contracts.base import Parameters
from nstbench.core.records import Availability, Collection, Role


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Facts about a dataset.

    Attributes:
        title: one line for tables.
        description: what the pictures are.
        roles: which roles it can fill.
        licence: licence of the whole, or ``"per image"``.
        citation: where it comes from.
        version: raise it when a picture changes.
        requires: importable Python packages beyond the core's own.
        opens_paths: True if ``Params(path=...)`` reads any folder the user names.
    """

    title: str
    description: str
    roles: tuple[Role, ...]
    licence: str
    citation: str
    version: int = 1
    requires: tuple[str, ...] = ()
    opens_paths: bool = False


class Dataset(ABC):
    """A source of content or style pictures."""

    info: ClassVar[DatasetInfo]

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def availability(self) -> Availability:
        """Say whether the pictures can be had here, without fetching them."""
        return Availability()

    @abstractmethod
    def load(self, role: Role) -> Collection:
        """Return the pictures of one role in a fixed order, and what was left out."""
