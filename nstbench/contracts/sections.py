"""The contract of report sections."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from nstbench.core.board import Board

_PAGE = "html"


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """Facts about a report section.

    Attributes:
        title: heading on the page and entry in its table of contents.
        order: position on the page; low numbers come first.
        files: format -> file name, for each format that :meth:`Section.write` supports. A
            format is a value of ``--format``, such as ``"csv"`` or ``"pdf"``; a file name has
            no folder. ``"html"`` is reserved for the page.

    Raises:
        ValueError: if ``files`` contains ``"html"``.

    Example:
        >>> info = SectionInfo("Trade-off", order=30, files={"pdf": "tradeoff.pdf"})
        >>> info.files["pdf"]
        'tradeoff.pdf'
    """

    title: str
    order: int = 100
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if _PAGE in self.files:
            raise ValueError(f"files must not contain '{_PAGE}': html() makes that part")


class Section(ABC):
    r"""One section of the report: a part of the page, one or more files, or both.

    Example:
        >>> class Methods(Section):
        ...     info = SectionInfo("Methods", files={"txt": "methods.txt"})
        ...     def write(self, board, path, format):
        ...         path.write_text("\n".join(board.methods))
        >>> Methods.info.order
        100
    """

    info: ClassVar[SectionInfo]

    def html(self, board: Board) -> str:
        """Return an escaped HTML fragment, or an empty string to omit the section."""
        return ""

    def applies(self, board: Board) -> bool:
        """Return False if the board has no data for the section's files."""
        return True

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write one of the files in ``info.files``.

        Args:
            board: the result of a run.
            path: file to write. Its name is temporary; the report renames it afterwards.
            format: a key of ``info.files``.
        """
        raise NotImplementedError(f"{type(self).__name__} lists files but has no write()")
