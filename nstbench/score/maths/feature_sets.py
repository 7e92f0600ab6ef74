"""The base of metrics of whole sets: all outputs of one method against all its styles.

Every output counts. Every style picture counts once, for any number of outputs. Styles are
distinguished by their features, so merging the sums of workers needs no names. Retrieval asks
whether an output is nearest to its own style, or content, among all of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Self

import torch

from nstbench.contracts import ScoringPair, SetMetric
from nstbench.core.errors import NoValueError
from nstbench.score.maths.frechet import GaussianSums, frechet_distance


class StyleVectors:
    """The feature vectors of all styles so far, each once."""

    def __init__(self) -> None:
        self._vectors: dict[bytes, torch.Tensor] = {}

    def add(self, vectors: Iterable[torch.Tensor]) -> None:
        """Add the vectors (D,) that are new."""
        for vector in vectors:
            copied = vector.detach().cpu().clone()
            self._vectors[copied.numpy().tobytes()] = copied

    def merge(self, other: StyleVectors) -> None:
        """Add the styles of another worker."""
        self._vectors.update(other._vectors)

    def stacked(self) -> torch.Tensor:
        """Return all vectors (n, D) in an order that does not depend on when they were added.

        Raises:
            NoValueError: if there is none.
        """
        if not self._vectors:
            raise NoValueError("there is no style picture yet")
        return torch.stack([self._vectors[key] for key in sorted(self._vectors)])

    def sums(self) -> GaussianSums:
        """Return their sums."""
        return GaussianSums.of(self.stacked())


class LayerMetric(SetMetric):
    """Base of metrics on the spatial means of one layer.

    Subclasses set ``network`` and ``layer``.
    """

    network: ClassVar[str]
    layer: ClassVar[str]

    def means(self, pair: ScoringPair, of: str) -> torch.Tensor:
        """Return the spatial means (B, C) of the layer."""
        return pair.features(self.network, of)[self.layer].mean(dim=(2, 3))


class FrechetMetric(LayerMetric):
    """Frechet distance between outputs and styles on spatial means of one layer."""

    state_types = (GaussianSums, StyleVectors)

    def __init__(self) -> None:
        self._outputs: GaussianSums | None = None
        self._styles = StyleVectors()

    def update(self, pair: ScoringPair) -> None:
        """Add the outputs, and the styles that are new."""
        vectors = self.means(pair, "output")
        if self._outputs is None:
            self._outputs = GaussianSums.empty(vectors.shape[1])
        self._outputs.update(vectors)
        self._styles.add(self.means(pair, "style"))

    def merge(self, other: Self) -> None:
        """Add the outputs and styles of another worker."""
        if self._outputs is None:
            self._outputs = replace(other._outputs) if other._outputs else None
        elif other._outputs is not None:
            self._outputs.merge(other._outputs)
        self._styles.merge(other._styles)

    def compute(self) -> dict[str, float]:
        """Return the distance, and the numbers of outputs ``n`` and of styles ``styles``.

        Raises:
            NoValueError: if there are fewer than two outputs or two styles.
        """
        if self._outputs is None:
            raise NoValueError("there is no output yet")
        styles = self._styles.sums()
        distance = frechet_distance(self._outputs, styles)
        return {"": distance, "n": float(self._outputs.n), "styles": float(styles.n)}


class VectorMetric(LayerMetric):
    """Base of metrics that need all feature vectors, because sums are not sufficient.

    Subclasses also define ``value``. Vectors are kept as float32: 8 KiB per output for 2048
    features.
    """

    least: ClassVar[int]
    """Least number of outputs for which there is a value."""
    state_types = (StyleVectors,)

    def __init__(self) -> None:
        self._outputs: list[torch.Tensor] = []
        self._styles = StyleVectors()

    def update(self, pair: ScoringPair) -> None:
        """Keep the vectors of the outputs, and those of new styles."""
        self._outputs += self.means(pair, "output").detach().cpu().clone().unbind()
        self._styles.add(self.means(pair, "style"))

    def merge(self, other: Self) -> None:
        """Add the vectors of another worker."""
        self._outputs += other._outputs
        self._styles.merge(other._styles)

    def compute(self) -> dict[str, float]:
        """Return the value, and the numbers of outputs ``n`` and of styles ``styles``.

        Raises:
            NoValueError: if there are too few pictures.
        """
        if len(self._outputs) < self.least:
            raise NoValueError(f"needs at least {self.least} outputs, got {len(self._outputs)}")
        styles = self._styles.stacked().double()
        if len(styles) < 2:
            raise NoValueError(f"needs at least two style pictures, got {len(styles)}")
        # Sorted, so that the value does not depend on the order of the workers. The order is that
        # of numbers and not of bytes, so that rounding on another device does not change it.
        ordered = sorted(self._outputs, key=torch.Tensor.tolist)
        value = self.value(torch.stack(ordered).double(), styles)
        return {"": value, "n": float(len(ordered)), "styles": float(len(styles))}

    def value(self, outputs: torch.Tensor, styles: torch.Tensor) -> float:
        """Return the number for float64 vectors (n, D) and (m, D)."""
        raise NotImplementedError


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
