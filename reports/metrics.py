"""Metrics: the meaning of every number, in one sentence each."""

from __future__ import annotations

import math
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import templates


class Metrics(Section):
    """Glossary of the metrics, with direction, range and source."""

    info: ClassVar[SectionInfo] = SectionInfo("Metrics", order=85)

    def html(self, board: Board) -> str:
        """Return the glossary; empty without metrics."""
        cards = [{"card": c, "range": _range(c)} for c in board.metrics.values()]
        return templates.render("metrics.html", cards=cards) if cards else ""


def _range(card: MetricCard) -> str:
    """Return the range as an interval such as "[0, ∞)"."""
    low, high = card.range
    left = "(−∞" if math.isinf(low) else f"[{low:g}".replace("-", "−")
    right = "∞)" if math.isinf(high) else f"{high:g}]".replace("-", "−")
    return f"{left}, {right}"
