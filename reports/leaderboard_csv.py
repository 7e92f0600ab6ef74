"""leaderboard.csv: one row per method variant and size, numbers in full precision.

After the columns of the leaderboard come Borda points and rank, and membership in Pareto fronts.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import standings


class LeaderboardCsv(Section):
    """The leaderboard for spreadsheets and pandas; an empty field was not measured."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Leaderboard", "csv", order=10, filename="leaderboard.csv"
    )

    def write(self, board: Board, path: Path) -> None:
        """Write the table with ``method`` as its first column."""
        table = board.leaderboard.merge(standings.standings(board), on=["size", "method"])
        rest = [column for column in table.columns if column != "method"]
        table[["method", *rest]].to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
