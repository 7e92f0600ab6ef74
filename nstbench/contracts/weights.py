"""Files of network weights that plug-ins declare, and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

Progress = Callable[[str, int, int | None], None]
"""Receives the file's name, the bytes so far, and the total if it is known."""


class Source(Protocol):
    """One place to get a weight file from.

    Attributes:
        automatic: True if the file may be fetched without being asked for, because
            whoever could install this package can reach the place, too.
        shared: True if several weights come from the same raw file, which is then kept.
    """

    automatic: ClassVar[bool]
    shared: ClassVar[bool]

    @property
    def raw_name(self) -> str:
        """File name of the raw file, as a person would download it."""
        ...

    def describe(self) -> str:
        """One line for tables and messages."""
        ...

    def download(self, target: Path, progress: Progress | None) -> None:
        """Download the raw file to ``target``."""
        ...

    def verify(self, raw: Path) -> None:
        """Raise :class:`WeightsError` unless ``raw`` has the expected checksum."""
        ...

    def store(self, raw: Path, target: Path) -> None:
        """Turn the raw file into the file that the cache stores, at ``target``."""
        ...


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of network weights.

    Attributes:
        name: name on the command line, for example ``"vgg16"``.
        filename: name of the stored file, for example ``"vgg16.safetensors"``.
        licence: SPDX identifier or a phrase.
        origin: address of those who trained the network.
        sources: where to get it, tried in order.
        sha256: checksum of the stored file. Empty if it could not be pinned: the file is
            then trusted on its source's checksum, and its own is noted beside it.
    """

    name: str
    filename: str
    licence: str
    origin: str
    sources: tuple[Source, ...]
    sha256: str = ""
