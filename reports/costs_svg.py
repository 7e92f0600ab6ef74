"""costs.svg: the time for N pictures in a new style as a figure for documents."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.reporting import costs


class CostsSvg(Section):
    """Time in all against the number of pictures, with break-even points."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Cost of a new style", "svg", order=50, filename="costs.svg"
    )

    def applies(self, board: Board) -> bool:
        """Return True if a method was timed."""
        return bool(costs.costs_of(board))

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        # Matplotlib takes a second to import, and most reports need no figure
        from nstbench.reporting import curve_figures

        curve_figures.save_costs(costs.costs_of(board), path, "svg")
