"""fronts.md: the table of a study's curves, for documents."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import fronts


class FrontsMarkdown(Section):
    """One row per curve: style error at equal content error, best point, time."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "md", order=20, filename="fronts.md")

    def applies(self, board: Board) -> bool:
        """Return True for studies."""
        return fronts.fronts_of(board) is not None

    def write(self, board: Board, path: Path) -> None:
        """Write the table."""
        found = fronts.fronts_of(board)
        assert found is not None
        heads, rows = found.table()
        lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
        text = "".join(f"| {' | '.join(_cell(c) for c in line)} |\n" for line in lines)
        path.write_text(text, encoding="utf-8", newline="\n")


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
