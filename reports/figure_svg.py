"""tradeoff.svg: the trade-off charts as a figure for papers."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import TradeoffFigure


class FigureSvg(TradeoffFigure):
    """Quality against speed beside content against style error."""

    info: ClassVar[SectionInfo] = SectionInfo("Trade-off", "svg", order=40, filename="tradeoff.svg")
