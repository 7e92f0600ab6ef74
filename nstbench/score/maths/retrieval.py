"""Retrieval: is an output nearest to its own style, or content, among all of the run?"""

from __future__ import annotations

from typing import ClassVar, Self

import torch

from nstbench.contracts import ScoringPair, SetMetric
from nstbench.core.errors import NoValueError
from nstbench.score.maths.feature_sets import StyleVectors

SAME = 1e-6
"""Distance below which two pictures count as one: the same file under two names."""


class RetrievalMetric(SetMetric):
    """Mean place of the own picture among all pictures of the run, as a score from 0 to 1.

    An output scores the share of other pictures that are farther from it than its own one; a tie
    counts one half. Chance is 1/2. Subclasses set ``of`` and define ``describe`` and ``distances``.
    """

    of: ClassVar[str]
    """``"content"`` or ``"style"``: the picture that is looked for."""
    state_types = (StyleVectors,)

    def __init__(self) -> None:
        self._outputs: list[torch.Tensor] = []
        self._own: list[torch.Tensor] = []
        self._targets = StyleVectors()

    def update(self, pair: ScoringPair) -> None:
        """Keep the vectors of the outputs and of new pictures."""
        outputs, targets = (self.describe(pair, of).float().cpu() for of in ("output", self.of))
        self._outputs += outputs.clone().unbind()
        self._own += targets.clone().unbind()
        self._targets.add(targets)

    def merge(self, other: Self) -> None:
        """Add the vectors of another worker."""
        self._outputs += other._outputs
        self._own += other._own
        self._targets.merge(other._targets)

    def compute(self) -> dict[str, float]:
        """Return the score, the share of outputs in first place, and the numbers of pictures.

        Parts: ``first`` (chance 1 / ``pictures``), ``n`` outputs, ``pictures`` to choose from.

        Raises:
            NoValueError: if there is nothing to choose from.
        """
        if not self._outputs:
            raise NoValueError("there is no output yet")
        targets = self._targets.stacked()
        scores, firsts = [], []
        for output, own in zip(self._outputs, self._own, strict=True):
            others = targets[self.distances(own[None], targets)[0] > SAME]
            if not len(others):
                raise NoValueError(f"needs at least two different {self.of} pictures, got one")
            right = self.distances(output[None], own[None])[0]
            wrong = self.distances(output[None], others)[0]
            share = ((wrong > right).double() + 0.5 * (wrong == right)).mean()
            scores.append(float(share))
            firsts.append(float(share == 1))
        count = len(scores)
        return {
            "": sum(sorted(scores)) / count,
            "first": sum(firsts) / count,
            "n": float(count),
            "pictures": float(len(others) + 1),
        }

    def describe(self, pair: ScoringPair, of: str) -> torch.Tensor:
        """Return vectors (B, D) of a picture."""
        raise NotImplementedError

    def distances(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the distances (n, m), at least 0, between vectors (n, D) and (m, D)."""
        raise NotImplementedError
