"""tradeoff.pdf: the trade-off charts as a figure for papers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo


class FigurePdf(Section):
    """Quality against speed beside content against style error."""

    info: ClassVar[SectionInfo] = SectionInfo("Trade-off", "pdf", order=40, filename="tradeoff.pdf")

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.reporting import figures

        figures.save_tradeoff(board, path, "pdf")
