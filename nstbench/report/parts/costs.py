"""The time for N pictures in a new style: training, preparation and N times the latency."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nstbench.core.board import Board
from nstbench.core.records import Flexibility, Timing
from nstbench.report.parts.rows import main_size, method_ids

Number = TypeVar("Number", float, NDArray[np.float64])

MAX_PICTURES = 100_000
"""Largest number of pictures in charts."""

TRAINED_PER_STYLE = {Flexibility.PER_STYLE, Flexibility.MULTI_STYLE, Flexibility.DOMAIN}
"""Classes that must be trained again for a new style."""


@dataclass(frozen=True)
class Cost:
    """Time that a method takes in seconds, once per style and once per picture.

    Attributes:
        key: the method's id on the page.
        label: the method's label.
        flexibility: its flexibility class.
        training: seconds of training per new style.
        prepare: seconds of preparation per new style.
        latency: seconds per picture.
        trained_on: device of the training, if the training counts and ran on another device
            than the latency; otherwise empty.

    Example:
        >>> Cost("m0", "fast", "per-style", training=60.0, prepare=0.0, latency=0.5).seconds(10)
        65.0
    """

    key: str
    label: str
    flexibility: str
    training: float
    prepare: float
    latency: float
    trained_on: str = ""

    def seconds(self, pictures: Number) -> Number:
        """Return the seconds for a number of pictures in one new style, elementwise for arrays."""
        return self.training + self.prepare + pictures * self.latency


@dataclass(frozen=True)
class Cheapest:
    """The cheapest method from a number of pictures (``start``) up to the next one's start."""

    cost: Cost
    start: float


def costs_of(board: Board) -> list[Cost]:
    """Return the costs of the timed methods at the main size.

    Baselines and methods with an unknown training time per style are omitted.
    """
    ids = method_ids(board)
    costs = []
    for timing in _timed(board):
        training = _training(board, timing)
        if training is not None:
            costs.append(_cost(board, timing, ids[timing.method], training))
    return costs


def unknown_costs(board: Board) -> list[str]:
    """Return the labels of the timed methods whose training time per style is unknown."""
    return [timing.method for timing in _timed(board) if _training(board, timing) is None]


def _timed(board: Board) -> list[Timing]:
    size = main_size(board)
    return [
        timing
        for timing in board.timings
        if timing.method in board.methods
        and board.methods[timing.method].flexibility != Flexibility.BASELINE
        and timing.size == size
        and timing.latency
    ]


def _training(board: Board, timing: Timing) -> float | None:
    """Return the seconds of training per new style; ``None`` if they are unknown."""
    per_style = board.methods[timing.method].flexibility in TRAINED_PER_STYLE
    return timing.training if per_style else 0.0


def _cost(board: Board, timing: Timing, key: str, training: float) -> Cost:
    card = board.methods[timing.method]
    device = timing.environment.get("device_name", "")
    other_devices = dict.fromkeys(
        w.training.device for w in card.weights if w.training and w.training.device != device
    )
    return Cost(
        key=key,
        label=timing.method,
        flexibility=card.flexibility,
        training=training,
        prepare=median(timing.prepare) if timing.prepare else 0.0,
        latency=median(timing.latency),
        trained_on=", ".join(filter(None, other_devices)) if training else "",
    )


def cheapest_ranges(costs: list[Cost]) -> list[Cheapest]:
    """Return the cheapest methods by number of pictures, from one picture upwards.

    Example:
        >>> slow = Cost("m0", "slow", "arbitrary", 0.0, 0.0, latency=10.0)
        >>> fast = Cost("m1", "fast", "per-style", 90.0, 0.0, latency=1.0)
        >>> [(c.cost.label, c.start) for c in cheapest_ranges([slow, fast])]
        [('slow', 1.0), ('fast', 10.0)]
    """
    current = min(costs, key=lambda c: (c.seconds(1), c.latency))
    ranges = [Cheapest(current, 1.0)]
    while True:
        faster = [(_break_even(current, c), c) for c in costs if c.latency < current.latency]
        if not faster:
            return ranges
        start, current = min(faster, key=lambda pair: (pair[0], pair[1].latency))
        ranges.append(Cheapest(current, start))


def _break_even(slow: Cost, fast: Cost) -> float:
    """Return the number of pictures from which the faster method costs less."""
    return (fast.seconds(0) - slow.seconds(0)) / (slow.latency - fast.latency)
