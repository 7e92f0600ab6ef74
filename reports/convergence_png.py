"""convergence.png: the loss curves as a figure for documents."""

from __future__ import annotations

from typing import ClassVar

from nstbench.contracts import SectionInfo
from nstbench.report.parts.figure_sections import ConvergenceFigure


class ConvergencePng(ConvergenceFigure):
    """Loss against steps beside loss against seconds."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Convergence", "png", order=60, filename="convergence.png"
    )
