"""Training curves of trained methods, read from the cards of the checkpoints in a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nstbench.core.board import Board
from nstbench.core.cards import TrainingCard, WeightCard
from nstbench.report.parts.convergence import MethodCurves, curve
from nstbench.report.parts.rows import method_ids

TOTAL = "total"
"""Name of the total loss, for a training that minimises a single sum."""


@dataclass(frozen=True, eq=False)
class Trained:
    """The trainings of one method's networks.

    Attributes:
        key: the method's id on the page.
        label: registry name of the method.
        trainings: one card per checkpoint.
        losses: one entry per loss, the total first, with a curve per checkpoint.
    """

    key: str
    label: str
    trainings: tuple[TrainingCard, ...]
    losses: tuple[MethodCurves, ...]


def trained(board: Board) -> list[Trained]:
    """Return the trainings of each method of a run; variants of a method share one entry."""
    ids = method_ids(board)
    weights: dict[str, dict[str, WeightCard]] = {}
    keys: dict[str, str] = {}
    for variant, card in board.methods.items():
        for weight in card.weights:
            if weight.training is not None:
                keys.setdefault(card.plugin, ids[variant])
                weights.setdefault(card.plugin, {})[weight.sha256] = weight
    return [
        _trained(keys[method], method, [w.training for w in files.values() if w.training])
        for method, files in weights.items()
    ]


def _trained(key: str, label: str, trainings: Sequence[TrainingCard]) -> Trained:
    losses = []
    for name in _loss_names(trainings):
        curves = [curve(card.loss_curve, name) for card in trainings]
        drawable = [each for each in curves if each is not None]
        if drawable:
            losses.append(MethodCurves(key, name, drawable))
    return Trained(key, label, tuple(trainings), tuple(losses))


def _loss_names(trainings: Iterable[TrainingCard]) -> list[str]:
    names = dict.fromkeys(name for card in trainings for row in card.loss_curve for name in row)
    return sorted((n for n in names if n not in {"step", "seconds"}), key=lambda n: n != TOTAL)
