"""Single-image Frechet Inception distance between output and style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.frechet import GaussianSums, frechet_distance

NETWORK, LAYER = "inception_places", "conv4a"


class Sifid(PairMetric):
    """Frechet distance between the 192 channels of Inception over the places of two pictures.

    As in the authors' script: torchvision's weights, pictures not resized, values in [-1, 1],
    activations before the second pooling, unbiased covariances. Published numbers differ by a
    factor of ten between programs, so compare only numbers of one program.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="SIFID",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Shaham, Dekel, Michaeli, ICCV 2019, arXiv 1905.01164",
        description="Frechet distance between the Inception activations of output and style.",
        features=(Features(NETWORK, (LAYER,), ("output", "style")),),
        ideal="style",
        presets=("field",),
        order=126,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        places = [pair.features(NETWORK, of)[LAYER].flatten(2).mT for of in ("output", "style")]
        distances = [
            frechet_distance(GaussianSums.of(x), GaussianSums.of(s))
            for x, s in zip(*places, strict=True)
        ]
        return {"": torch.tensor(distances, dtype=torch.float64, device=places[0].device)}
