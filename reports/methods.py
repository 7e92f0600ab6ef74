"""Methods: a card each, with paper, licence, parameters, known deviations and weights."""

from __future__ import annotations

from typing import Any, ClassVar

from nstbench.contracts import Flexibility, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MethodCard
from nstbench.report.parts import rows as tables
from nstbench.report.parts import svg, templates


class Methods(Section):
    """What each method is, and how this implementation differs from its paper."""

    info: ClassVar[SectionInfo] = SectionInfo("Methods", "html", order=80)

    def html(self, board: Board) -> str:
        """Return the cards in the order of the configuration, baselines last."""
        ids = tables.method_ids(board)
        sizes = {t.variant: t.parameters for t in board.timings if t.parameters}
        cards = [
            {
                "card": card,
                "id": ids[name],
                "short": tables.short(name, 44),
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
    """Return the variant's parameters; those that are not the method's own come first."""
    settings = [
        {"name": k, "value": v, "changed": k in card.defaults and card.defaults[k] != v}
        for k, v in card.params.items()
    ]
    return sorted(settings, key=lambda s: not s["changed"])


def _as_trained(card: MethodCard) -> list[str]:
    """Return how the trainings of a method's networks depart from the paper's, each once."""
    found = [text for w in card.weights if w.training for text in w.training.deviations]
    return list(dict.fromkeys(found))


def _millions(count: int | None) -> str:
    if not count:
        return ""
    return f"{count / 1e6:.3g} million" if count >= 1e5 else f"{count}"
