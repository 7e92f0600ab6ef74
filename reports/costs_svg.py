"""costs.svg: the time for N pictures in a new style as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import CostsFigure


class CostsSvg(CostsFigure):
    """Time in all against the number of pictures, with break-even points."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Cost of a new style", "svg", order=50, filename="costs.svg"
    )
