"""tradeoff.svg: the trade-off charts as a figure for papers."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo


class FigureSvg(Section):
    """Quality against speed beside content against style error."""

    info: ClassVar[SectionInfo] = SectionInfo("Trade-off", "svg", order=40, filename="tradeoff.svg")

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.reporting import figures

        figures.save_tradeoff(board, path, "svg")
