"""TEMPLATE: copy to ``reports/<name>.py`` and say in one line what the section shows.

The file's stem is the section's public name; nothing else has to be edited. Sections
read the tables of the board and compute nothing that belongs to a metric. A section of
the page returns escaped HTML: render a template of ``reports/templates`` (escaping is
always on) or use ``markupsafe.Markup(...).format(...)``. Show a picture of the run by
``<img data-picture="path in the run folder" alt="...">``; the page fills in the rest,
once per picture. Charts come from ``nstbench.report.parts.svg``.
"""

from __future__ import annotations

from typing import ClassVar

from markupsafe import Markup

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board


class Template(Section):
    """What a reader learns from this section."""

    # format="html" puts it on the page; any other format makes a file: give a filename
    # and define write(self, board, path) instead of html(self, board).
    info: ClassVar[SectionInfo] = SectionInfo("Heading", format="html", order=100)

    def html(self, board: Board) -> str:
        """Return the fragment; an empty string leaves the section out."""
        names = Markup("").join(
            Markup("<li>{}</li>").format(name) for name in board.leaderboard["method"].unique()
        )
        return Markup("<ul>{}</ul>").format(names)
