"""leaderboard.md: the leaderboard for a README or an issue."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import numbers
from nstbench.report.parts import rows as tables


class LeaderboardMarkdown(Section):
    """A GitHub-flavoured table with intervals, units and direction arrows."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Leaderboard", "md", order=20, filename="leaderboard.md"
    )

    def write(self, board: Board, path: Path) -> None:
        """Write the table, baselines last."""
        metrics = tables.measured_metrics(board)
        rows = sorted(tables.rows(board), key=lambda row: row.baseline)
        heads = ["Rank", "Method", "Class", "Coverage"]
        for card in metrics:
            unit = numbers.scaled(card.unit)[1]
            arrow = "↑" if card.higher_is_better else "↓"
            heads.append(f"{_escape(card.title)}{f' ({unit})' if unit else ''} {arrow}")
        lines = [heads, ["--:", ":--", ":--", *["--:"] * (len(heads) - 3)]]
        for row in rows:
            name = f"{row.label} (baseline)" if row.baseline else row.label
            cells = [row.rank, _escape(name), row.flexibility, row.coverage]
            for card in metrics:
                divisor, _ = numbers.scaled(card.unit)
                cells.append(row.of(card).over(divisor).text())
            lines.append(cells)
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        note = "\nBrackets are 95 % intervals; an en dash means not measured.\n"
        if order := tables.ordered_by(board):
            note += f"\n{_escape(order)}\n"
        path.write_text(text + note, encoding="utf-8", newline="\n")


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line and in one column."""
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"[\\`*\[\]|~]", r"\\\g<0>", text)
    # an underscore inside a word is plain text, and names are full of them
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
