"""fronts.png: the curves of a study as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import FrontsFigure


class FrontsPng(FrontsFigure):
    """Content against style error, one curve per series."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "png", order=50, filename="fronts.png")
