"""comparisons.csv: the tests of every two methods, with full precision."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import standings


class Comparisons(Section):
    """One row per size and pair of methods: difference, interval, t-test and Wilcoxon test."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Comparisons", order=25, files={"csv": "comparisons.csv"}
    )

    def applies(self, board: Board) -> bool:
        """Return True if at least two methods have a metric that orders them."""
        return board.quality is not None and board.leaderboard["method"].nunique() > 1

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the table as CSV."""
        table = standings.comparisons(board)
        table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
