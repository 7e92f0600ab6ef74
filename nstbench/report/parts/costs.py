"""What N pictures in a new style cost: training, preparation and N times the latency."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nstbench.core.board import Board
from nstbench.core.records import Flexibility, Timing
from nstbench.report.parts import rows as tables

Number = TypeVar("Number", float, NDArray[np.float64])

MOST = 100_000
"""Largest number of pictures that is looked at."""

TRAINED_PER_STYLE = {Flexibility.PER_STYLE, Flexibility.MULTI_STYLE, Flexibility.DOMAIN}
"""Classes in which a new style means training again."""


@dataclass(frozen=True)
class Cost:
    """Seconds that a method takes: once per style, and per picture.

    ``key`` is the method's id on the page, ``trained_on`` the processor of its training if
    that counts here and is another one than that of the latency.
    """

    key: str
    label: str
    flexibility: str
    training: float
    prepare: float
    latency: float
    trained_on: str = ""

    def seconds(self, pictures: Number) -> Number:
        """Return the seconds for so many pictures in one new style, elementwise for arrays."""
        return self.training + self.prepare + pictures * self.latency


@dataclass(frozen=True)
class Reign:
    """The cheapest method from a number of pictures on."""

    cost: Cost
    start: float


def costs_of(board: Board) -> list[Cost]:
    """Return the costs of the timed methods at the main size, baselines left out.

    So are methods of which nobody knows how long a new style takes to train.
    """
    ids = tables.method_ids(board)
    costs = []
    for timing in _timed(board):
        training = _training(board, timing)
        if training is not None:
            costs.append(_cost(board, timing, ids[timing.variant], training))
    return costs


def unknown_costs(board: Board) -> list[str]:
    """Return the timed methods that must be trained for a new style, who knows how long."""
    return [timing.variant for timing in _timed(board) if _training(board, timing) is None]


def _timed(board: Board) -> list[Timing]:
    size = tables.main_size(board)
    return [
        timing
        for timing in board.timings
        if timing.variant in board.methods
        and board.methods[timing.variant].flexibility != Flexibility.BASELINE
        and timing.size == size
        and timing.latency
    ]


def _training(board: Board, timing: Timing) -> float | None:
    """Return the seconds of training that a new style costs; ``None`` if they are unknown."""
    per_style = board.methods[timing.variant].flexibility in TRAINED_PER_STYLE
    return timing.training if per_style else 0.0


def _cost(board: Board, timing: Timing, key: str, training: float) -> Cost:
    card = board.methods[timing.variant]
    here = timing.environment.get("device_name", "")
    elsewhere = dict.fromkeys(
        w.training.device for w in card.weights if w.training and w.training.device != here
    )
    return Cost(
        key=key,
        label=timing.variant,
        flexibility=card.flexibility,
        training=training,
        prepare=median(timing.prepare) if timing.prepare else 0.0,
        latency=median(timing.latency),
        trained_on=", ".join(filter(None, elsewhere)) if training else "",
    )


def envelope(costs: list[Cost]) -> list[Reign]:
    """Return who is cheapest from which number of pictures on, starting at one."""
    now = min(costs, key=lambda c: (c.seconds(1), c.latency))
    reigns = [Reign(now, 1.0)]
    while True:
        rivals = [(_break_even(now, c), c) for c in costs if c.latency < now.latency]
        if not rivals:
            return reigns
        start, now = min(rivals, key=lambda pair: (pair[0], pair[1].latency))
        reigns.append(Reign(now, start))


def _break_even(cheap_start: Cost, fast: Cost) -> float:
    """Return the number of pictures from which the faster method costs less."""
    return (fast.seconds(0) - cheap_start.seconds(0)) / (cheap_start.latency - fast.latency)
