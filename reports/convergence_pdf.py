"""convergence.pdf: the loss curves as a figure for documents."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.reporting import convergence


class ConvergencePdf(Section):
    """Loss against steps beside loss against seconds."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Convergence", "pdf", order=60, filename="convergence.pdf"
    )

    def applies(self, board: Board) -> bool:
        """Return True if a method left a trace."""
        return bool(convergence.courses(board))

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.reporting import curve_figures

        curve_figures.save_convergence(convergence.courses(board), path, "pdf")
