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
        description: the pictures in one phrase.
        roles: roles that the dataset has pictures for.
        licence: licence of all pictures, or ``"per image"``.
        citation: source of the pictures.
        version: raise it when a picture changes; it names the folder in the cache.
        requires: importable Python packages that nstbench itself does not need.
        opens_paths: True if ``Params(path=...)`` reads any folder that the user gives.

    Example:
        >>> DatasetInfo("Holiday", "my photographs", (Role.CONTENT,), "CC0-1.0", "me").version
        1
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
    """A source of content or style pictures.

    Example:
        >>> from pathlib import Path
        >>> from nstbench.core.records import ImageRecord
        >>> class Holiday(Dataset):
        ...     info = DatasetInfo("Holiday", "my photographs", (Role.CONTENT,), "CC0-1.0", "me")
        ...     def load(self, role):
        ...         return Collection((ImageRecord("beach", Path("beach.png")),))
        >>> [image.name for image in Holiday(Holiday.Params()).load(Role.CONTENT).images]
        ['beach']
    """

    info: ClassVar[DatasetInfo]

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def availability(self) -> Availability:
        """Return whether the pictures are available here; fetch nothing."""
        return Availability()

    @abstractmethod
    def load(self, role: Role) -> Collection:
        """Return the pictures of one role in a fixed order, and the files that were left out."""
