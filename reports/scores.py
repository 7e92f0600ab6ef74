"""scores.parquet: all scores as a tidy table."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board


class Scores(Section):
    """One row per method, pair, metric and part, for further statistics."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Scores", order=30, files={"parquet": "scores.parquet"}
    )

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the scores as Parquet; ``seed`` is null for set and timing metrics."""
        board.scores.astype({"seed": "Int64"}).to_parquet(path, index=False)
