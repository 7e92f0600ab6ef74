"""fronts.csv: every point of a study's curves, numbers in full precision."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.plan.study import shown
from nstbench.report.parts import fronts


class FrontsCsv(Section):
    """One row per point: the series, the traced value, and each metric with its interval."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "csv", order=20, filename="fronts.csv")

    def applies(self, board: Board) -> bool:
        """Return True for studies."""
        return fronts.fronts_of(board) is not None

    def write(self, board: Board, path: Path) -> None:
        """Write the table."""
        found = fronts.fronts_of(board)
        assert found is not None
        rows = []
        for front in found.fronts:
            for point in front.points:
                row: dict[str, object] = {"series": front.label}
                if found.study.traced:
                    row[found.study.traced] = shown(point.variant.value)
                for metric in (found.content, found.style, found.quality):
                    if metric is not None:
                        value = point.row.of(metric)
                        row[metric.name] = value.value
                        row |= {f"{metric.name}_low": value.low, f"{metric.name}_high": value.high}
                rows.append({**row, "done": point.row.done, "planned": point.row.planned})
        pd.DataFrame(rows).to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
