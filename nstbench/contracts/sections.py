"""The contract of report sections."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from nstbench.core.board import Board


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """Facts about a report section.

    Attributes:
        title: heading, also used for the table of contents.
        format: ``"html"`` for a fragment of the page; otherwise the name that
            ``--format`` selects (``"csv"``, ``"md"``, ``"parquet"``, ...).
        order: place on the page, small first.
        filename: file written by sections that are not HTML.
    """

    title: str
    format: str
    order: int = 100
    filename: str = ""


class Section(ABC):
    """One part of the report: a fragment of the page, or a file beside it."""

    info: ClassVar[SectionInfo]

    def html(self, board: Board) -> str:
        """Return an escaped HTML fragment, or an empty string to leave the section out."""
        raise NotImplementedError(f"{type(self).__name__} writes a file, not HTML")

    def applies(self, board: Board) -> bool:
        """Return False to leave out the file, where a board has nothing to put into it."""
        return True

    def write(self, board: Board, path: Path) -> None:
        """Write the file ``path``."""
        raise NotImplementedError(f"{type(self).__name__} is part of the page")
