"""tradeoff.pdf: the trade-off charts as a figure for papers."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import TradeoffFigure


class FigurePdf(TradeoffFigure):
    """Quality against speed beside content against style error."""

    info: ClassVar[SectionInfo] = SectionInfo("Trade-off", "pdf", order=40, filename="tradeoff.pdf")
