"""Frechet distance between outputs and styles on VGG-16 features; not FID."""

from __future__ import annotations

from typing import ClassVar, Self

import torch

from nstbench.contracts import Features, MetricInfo, ScoringPair, SetMetric
from nstbench.frechet import GaussianSums, frechet_distance
from nstbench.records import Scope

LAYER = "relu5_3"
DIMENSION = 512


class FrechetVgg16(SetMetric):
    """Frechet distance of the means over positions of VGG-16 relu5_3, outputs against styles.

    Every style picture counts once, however many outputs use it. With fewer pictures than
    512 the covariances are singular and the value is biased upwards, so compare methods on
    the same pairs only. It is not FID and must not be compared with published FID.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="FD (VGG-16)",
        scope=Scope.SET,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Heusel et al., arXiv 1706.08500, eq. 6, on VGG-16 features",
        description="Frechet distance between all outputs and all styles on VGG-16 relu5_3 means;"
        " depends on the number of pictures, never comparable with FID.",
        features=(Features("vgg16", (LAYER,), ("output", "style")),),
        order=80,
    )

    def __init__(self) -> None:
        self._outputs = GaussianSums.empty(DIMENSION)
        self._styles: dict[bytes, torch.Tensor] = {}

    def update(self, pair: ScoringPair) -> None:
        """Add the outputs, and the styles that were not seen before."""
        self._outputs.update(_means(pair, "output"))
        for vector in _means(pair, "style").cpu():
            self._styles[vector.numpy().tobytes()] = vector

    def merge(self, other: Self) -> None:
        """Add the outputs and styles of another worker."""
        self._outputs.merge(other._outputs)
        self._styles.update(other._styles)

    def compute(self) -> dict[str, float]:
        """Return the distance, and the numbers of outputs ``n`` and of styles ``styles``.

        Raises:
            NstbenchError: if there are fewer than two outputs or two styles.
        """
        styles = GaussianSums.empty(DIMENSION)
        # Sorted, so that the sum does not depend on the order of the workers.
        for key in sorted(self._styles):
            styles.update(self._styles[key][None])
        distance = frechet_distance(self._outputs, styles)
        return {"": distance, "n": float(self._outputs.n), "styles": float(styles.n)}


def _means(pair: ScoringPair, of: str) -> torch.Tensor:
    return pair.features("vgg16", of)[LAYER].mean(dim=(2, 3))
