"""Training curves of trained methods: read from the cards of the checkpoints that a run used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nstbench.core.board import Board
from nstbench.core.cards import TrainingCard, WeightCard
from nstbench.report.parts import rows as tables
from nstbench.report.parts.convergence import Course, curve

TOTAL = "total"
"""Name of the sum that a training descends, where it descends only one."""


@dataclass(frozen=True, eq=False)
class Trained:
    """The trainings behind one method.

    ``key`` is the method's id on the page; ``losses`` holds one course per loss, the total
    first, each with a curve per checkpoint.
    """

    key: str
    label: str
    trainings: tuple[TrainingCard, ...]
    losses: tuple[Course, ...]


def trained(board: Board) -> list[Trained]:
    """Return the trainings of each method of a run; variants share those of their method."""
    ids = tables.method_ids(board)
    found: dict[str, dict[str, WeightCard]] = {}
    keys: dict[str, str] = {}
    for variant, card in board.methods.items():
        for weight in card.weights:
            if weight.training is not None:
                keys.setdefault(card.method, ids[variant])
                found.setdefault(card.method, {})[weight.sha256] = weight
    return [
        _trained(keys[method], method, [w.training for w in weights.values() if w.training])
        for method, weights in found.items()
    ]


def _trained(key: str, label: str, trainings: Sequence[TrainingCard]) -> Trained:
    losses = []
    for name in _loss_names(trainings):
        curves = [curve(card.loss_curve, name) for card in trainings]
        known = [each for each in curves if each is not None]
        if known:
            losses.append(Course(key, name, known))
    return Trained(key, label, tuple(trainings), tuple(losses))


def _loss_names(trainings: Iterable[TrainingCard]) -> list[str]:
    names = dict.fromkeys(name for card in trainings for row in card.loss_curve for name in row)
    return sorted((n for n in names if n not in {"step", "seconds"}), key=lambda n: n != TOTAL)
