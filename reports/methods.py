"""Methods: one card each, with paper, licence, parameters, deviations and weights."""

from __future__ import annotations

from typing import Any, ClassVar

from nstbench.contracts import Flexibility, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard
from nstbench.report.charts import svg
from nstbench.report.parts import templates
from nstbench.report.parts.rows import (
    method_ids,
    shorten,
)


class Methods(Section):
    """Facts about each method, and the differences between implementation and paper."""

    info: ClassVar[SectionInfo] = SectionInfo("Methods", order=80)

    def html(self, board: Board) -> str:
        """Return the cards in the order of the configuration, baselines last."""
        ids = method_ids(board)
        sizes = {t.method: t.parameters for t in board.timings if t.parameters}
        cards = [
            {
                "card": card,
                "id": ids[name],
                "short": shorten(name, 44),
                "icon": svg.shape(svg.SHAPES.get(card.flexibility, "circle"), 8, 8, 5.5),
                "parameters": _millions(sizes.get(name)),
                "settings": _settings(card),
                "as_trained": _as_trained(card),
                "files": [w for w in card.weights if w.training is None],
                "trainings": [(w, w.training) for w in card.weights if w.training is not None],
            }
            for name, card in sorted(board.methods.items(), key=_baselines_last)
        ]
        return templates.render("methods.html", cards=cards) if cards else ""


def _baselines_last(item: tuple[str, MethodCard]) -> bool:
    return item[1].flexibility == Flexibility.BASELINE


def _settings(card: MethodCard) -> list[dict[str, Any]]:
    """Return the variant's parameters; those that differ from the defaults come first."""
    settings = [
        {"name": k, "value": v, "changed": k in card.defaults and card.defaults[k] != v}
        for k, v in card.params.items()
    ]
    return sorted(settings, key=lambda s: not s["changed"])


def _as_trained(card: MethodCard) -> list[str]:
    """Return the deviations from the paper in the trainings of a method, without repeats."""
    deviations = [text for w in card.weights if w.training for text in w.training.deviations]
    return list(dict.fromkeys(deviations))


def _millions(count: int | None) -> str:
    if not count:
        return ""
    return f"{count / 1e6:.3g} million" if count >= 1e5 else f"{count}"
