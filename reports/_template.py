"""TEMPLATE: copy to ``reports/<name>.py`` and describe in one line what the section shows.

The name of the file is the name of the section; nothing else has to be edited. A section reads
the tables of the board and computes nothing that belongs to a metric.

``html`` returns escaped HTML. Render a template of ``reports/templates``, which escapes all
values, or use ``markupsafe.Markup(...).format(...)``. Show a picture of the run by
``<img data-picture="path in the run folder" alt="...">``; the page adds the image data. Draw
charts with ``nstbench.report.charts.svg``.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from markupsafe import Markup

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board


class Template(Section):
    """What this section shows."""

    # ``files`` lists the files that write() can produce: format -> file name. Remove it,
    # applies() and write() if the section is only on the page; remove html() if it only
    # writes files.
    info: ClassVar[SectionInfo] = SectionInfo("Heading", order=100, files={"txt": "methods.txt"})

    def html(self, board: Board) -> str:
        """Return the HTML of the section, or an empty string to omit it."""
        names = Markup("").join(
            Markup("<li>{}</li>").format(name) for name in board.leaderboard["method"].unique()
        )
        return Markup("<ul>{}</ul>").format(names)

    def applies(self, board: Board) -> bool:
        """Return False if the board has no data for the files."""
        return len(board.leaderboard) > 0

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write one file; ``format`` is a key of ``info.files``."""
        path.write_text("\n".join(board.leaderboard["method"].unique()), encoding="utf-8")
