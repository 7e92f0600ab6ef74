"""fronts.pdf: the curves of a study as a figure for documents."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.reporting import fronts


class FrontsPdf(Section):
    """Content against style error, one curve per series."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "pdf", order=50, filename="fronts.pdf")

    def applies(self, board: Board) -> bool:
        """Return True for studies."""
        return fronts.fronts_of(board) is not None

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.reporting import curve_figures

        found = fronts.fronts_of(board)
        assert found is not None
        curve_figures.save_fronts(found, path, "pdf")
