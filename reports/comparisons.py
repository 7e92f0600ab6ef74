"""comparisons.csv: every two methods against each other, numbers in full precision."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import standings


class ComparisonsCsv(Section):
    """One row per size and pair of methods: difference, interval, t-test and Wilcoxon's test."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Comparisons", "csv", order=15, filename="comparisons.csv"
    )

    def applies(self, board: Board) -> bool:
        """Return True if there are two methods and something that orders them."""
        return board.quality is not None and board.leaderboard["method"].nunique() > 1

    def write(self, board: Board, path: Path) -> None:
        """Write the table."""
        table = standings.comparisons(board)
        table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
