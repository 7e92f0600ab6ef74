"""fronts.svg: the curves of a study as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import FrontsFigure


class FrontsSvg(FrontsFigure):
    """Content against style error, one curve per series."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "svg", order=50, filename="fronts.svg")
