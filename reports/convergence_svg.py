"""convergence.svg: the loss curves as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import ConvergenceFigure


class ConvergenceSvg(ConvergenceFigure):
    """Loss against steps beside loss against seconds."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Convergence", "svg", order=60, filename="convergence.svg"
    )
