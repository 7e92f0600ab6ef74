"""What the figures of a report share: one drawing each, written in the format of the section.

A file of ``reports/`` is one section, and a section one file of one format; so each figure has a
file per format, which says its title, format and name, and takes the rest from here.
"""

from __future__ import annotations

from pathlib import Path

from nstbench.contracts import Section
from nstbench.core.board import Board
from nstbench.report.parts import convergence, costs, fronts

# Matplotlib takes a second to import, and most reports need no figure: it is imported by those
# who draw.


class TradeoffFigure(Section):
    """Quality against speed beside content against style error."""

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        from nstbench.report.figures import tradeoff as figures

        figures.save_tradeoff(board, path, self.info.format)


class CostsFigure(Section):
    """Time in all against the number of pictures, with break-even points."""

    def applies(self, board: Board) -> bool:
        """Return True if a method was timed."""
        return bool(costs.costs_of(board))

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        from nstbench.report.figures import curves as curve_figures

        curve_figures.save_costs(costs.costs_of(board), path, self.info.format)


class ConvergenceFigure(Section):
    """Loss against steps beside loss against seconds."""

    def applies(self, board: Board) -> bool:
        """Return True if a method left a trace."""
        return bool(convergence.courses(board))

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        from nstbench.report.figures import curves as curve_figures

        curve_figures.save_convergence(convergence.courses(board), path, self.info.format)


class FrontsFigure(Section):
    """Content against style error, one curve per series."""

    def applies(self, board: Board) -> bool:
        """Return True for studies."""
        return fronts.fronts_of(board) is not None

    def write(self, board: Board, path: Path) -> None:
        """Write the figure."""
        from nstbench.report.figures import curves as curve_figures

        found = fronts.fronts_of(board)
        assert found is not None
        curve_figures.save_fronts(found, path, self.info.format)
