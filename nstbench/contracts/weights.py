"""Files of network weights that plug-ins declare, and where they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

Progress = Callable[[str, int, int | None], None]
"""Receives the file's name, the bytes so far, and the total, or ``None`` if it is unknown."""


class Source(Protocol):
    """One place to get a weight file from.

    Attributes:
        automatic: True if the file may be fetched without a request of the user. It is so for
            the package index, which was reachable when this package was installed.
        shared: True if several weights come from the same raw file, which is then kept.
    """

    automatic: ClassVar[bool]
    shared: ClassVar[bool]

    @property
    def raw_name(self) -> str:
        """File name of the raw file, the same as after a manual download."""
        ...

    def describe(self) -> str:
        """Return one line for tables and messages."""
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
        origin: web address of the authors who trained the network.
        sources: where to get the file, tried in order.
        sha256: checksum of the stored file. Empty if it could not be pinned. The file then
            relies on the checksum of its source, and its own is recorded in a note next to it.

    Example:
        >>> Weight("net", "net.safetensors", "MIT", "https://example.org", sources=()).name
        'net'
    """

    name: str
    filename: str
    licence: str
    origin: str
    sources: tuple[Source, ...]
    sha256: str = ""
