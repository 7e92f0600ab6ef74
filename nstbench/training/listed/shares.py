"""Share a fixed time out among trainings: deadline, reserve, and steps by measured rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_LEAST_RESERVE, _RESERVE = 3.0, 0.02
_SMOOTHING = 0.5


@dataclass
class Deadline:
    """The time that a command has, of which a part is kept for writing the last results.

    Attributes:
        seconds: the whole time.
        began: reading of ``now`` at the start.
        now: a clock in seconds.
    """

    seconds: float
    began: float
    now: Callable[[], float] = time.monotonic

    def spent(self) -> float:
        """Return the seconds since the start."""
        return self.now() - self.began

    def left(self) -> float:
        """Return the seconds until the reserve begins; negative within it."""
        reserve = max(min(_LEAST_RESERVE, self.seconds / 4), _RESERVE * self.seconds)
        return self.last() - reserve

    def last(self) -> float:
        """Return the seconds until the end."""
        return self.seconds - self.spent()


def owed(
    shares: Mapping[str, float], spent: Mapping[str, float], available: float
) -> dict[str, float]:
    """Return the seconds that each training gets of the time that is available.

    All time, that of earlier calls included, is shared in proportion to ``shares``. A training
    that already had more than its share gets nothing, and the others share the rest.

    Args:
        shares: relative share by name.
        spent: seconds of training so far, by name.
        available: seconds to hand out; 0 or more.

    Returns:
        Seconds by name; their sum is ``available``.

    Example:
        >>> owed({"a": 1, "b": 1, "c": 2}, {"a": 10, "b": 0, "c": 0}, 30)
        {'a': 0.0, 'b': 10.0, 'c': 20.0}
    """
    open_ = dict(shares)
    while open_:
        total = available + sum(spent.get(name, 0.0) for name in open_)
        weight = sum(open_.values())
        full = [n for n, share in open_.items() if spent.get(n, 0.0) > total * share / weight]
        if not full:
            due = {n: total * s / weight - spent.get(n, 0.0) for n, s in open_.items()}
            return {name: max(0.0, due.get(name, 0.0)) for name in shares}
        for name in full:
            del open_[name]
    return dict.fromkeys(shares, 0.0)


@dataclass
class Pace:
    """The costs of trainings that share a device, and the time that each had.

    A training's cost is the seconds that one of its steps takes of the device's time while all
    of them run. Every training must be probed before the first call of :meth:`counts`. Probes of
    one training at a time give costs that are too high if a device does several steps at once.
    :meth:`book` corrects them by the time of all together.

    Attributes:
        weights: share of the time by name, adding up to 1.
        costs: seconds per step by name.
        used: seconds of the device's time by name, since the start of the group.
    """

    weights: dict[str, float]
    costs: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)

    def probed(self, name: str, steps: int, seconds: float) -> None:
        """Store the cost of steps that ran alone."""
        self.costs[name] = seconds / steps
        self.used[name] = self.used.get(name, 0.0) + seconds

    def counts(self, seconds: float) -> dict[str, int]:
        """Return the steps of each training in the next ``seconds``, at least one step in all.

        After them, the time that each had is its share of the time of all, to within a step.
        """
        due = {name: self._due(name, seconds) for name in self.weights}
        counts = {name: int(max(0.0, due[name]) / self.costs[name]) for name in due}
        if not any(counts.values()):
            counts[max(due, key=due.__getitem__)] = 1
        return counts

    def _due(self, name: str, seconds: float) -> float:
        """Return the seconds that a training lacks at the end of the next ``seconds``."""
        total = sum(self.used[each] for each in self.weights) + seconds
        return self.weights[name] * total - self.used[name]

    def book(self, counts: Mapping[str, int], seconds: float) -> None:
        """Store that ``counts`` steps of all trainings together took ``seconds``."""
        expected = sum(count * self.costs[name] for name, count in counts.items())
        for name, count in counts.items():
            part = count * self.costs[name] / expected * seconds
            self.used[name] = self.used.get(name, 0.0) + part
        correction = (seconds / expected) ** _SMOOTHING
        for name in self.costs:
            self.costs[name] *= correction

    def steps_in(self, name: str, seconds: float) -> int:
        """Return the steps that a training will do while the group runs for ``seconds``."""
        return max(0, round(self._due(name, max(0.0, seconds)) / self.costs[name]))

    def drop(self, name: str) -> None:
        """Leave a training out, and share its time among the others."""
        self.weights.pop(name, None)
        self.costs.pop(name, None)
        total = sum(self.weights.values())
        self.weights = {n: weight / total for n, weight in self.weights.items()}


def groups(names: Sequence[str], kinds: Mapping[str, str], most: int) -> list[list[str]]:
    """Return neighbours of one kind in groups of equal size, at most ``most`` names each.

    Example:
        >>> groups(["a1", "a2", "a3", "b1"], {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, 2)
        [['a1', 'a2'], ['a3'], ['b1']]
    """
    runs: list[list[str]] = []
    for name in names:
        if runs and kinds[runs[-1][0]] == kinds[name]:
            runs[-1].append(name)
        else:
            runs.append([name])
    found = []
    for run in runs:
        parts = -(-len(run) // most)
        size = -(-len(run) // parts)
        found += [run[i : i + size] for i in range(0, len(run), size)]
    return found
