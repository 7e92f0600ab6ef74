"""fronts.pdf: the curves of a study as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import FrontsFigure


class FrontsPdf(FrontsFigure):
    """Content against style error, one curve per series."""

    info: ClassVar[SectionInfo] = SectionInfo("Curves", "pdf", order=50, filename="fronts.pdf")
