"""scores.parquet: every single score, tidy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board


class ScoresParquet(Section):
    """One row per method, pair, metric and part, for one's own statistics."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Scores", "parquet", order=30, filename="scores.parquet"
    )

    def write(self, board: Board, path: Path) -> None:
        """Write the scores; ``seed`` is null for set and timing metrics."""
        board.scores.astype({"seed": "Int64"}).to_parquet(path, index=False)
