"""ArtFID: content and style of all outputs in one number."""

from __future__ import annotations

from typing import ClassVar, Self

import torch

from nstbench.contracts import Features, MetricInfo, Scope, ScoringPair
from nstbench.nn.backbones.lpips import LPIPS_ALEX, LPIPS_ALEX_LAYERS, lpips_distance
from nstbench.nn.weights import cache
from nstbench.score.maths.feature_sets import FrechetMetric


class ArtFid(FrechetMetric):
    """(1 + mean LPIPS to the content) (1 + FID to the styles) on an Inception trained on art.

    LPIPS is v0.1 on AlexNet. Pictures are not resized for the network, as in the authors'
    script, so only runs of the same size are comparable. The FID is the plain FID of all outputs;
    the script's default, "FID infinity", equals it for sets of 5000 pictures.
    """

    network = "art_inception"
    layer = "pool3"
    info: ClassVar[MetricInfo] = MetricInfo(
        title="ArtFID",
        scope=Scope.SET,
        higher_is_better=False,
        range=(1.0, float("inf")),
        citation="Wright and Ommer, GCPR 2022, arXiv 2207.12280",
        description="Product of (1 + LPIPS to the contents) and (1 + FID to the styles) on an"
        " Inception trained on art.",
        features=(
            Features("art_inception", ("pool3",), ("output", "style")),
            Features("alexnet", LPIPS_ALEX_LAYERS, ("output", "content")),
        ),
        weights=(LPIPS_ALEX,),
        presets=("field",),
        order=84,
    )

    def __init__(self) -> None:
        super().__init__()
        self._distance = 0.0
        self._count = 0

    def load(self, device: torch.device) -> None:
        """Load the linear heads of LPIPS onto ``device``."""
        self._heads = {k: v.to(device) for k, v in cache.load(LPIPS_ALEX).items()}

    def update(self, pair: ScoringPair) -> None:
        """Add the outputs, their distances to the content, and new styles."""
        super().update(pair)
        output, content = (pair.features("alexnet", of) for of in ("output", "content"))
        distances = lpips_distance(output, content, self._heads)
        self._distance += float(distances.sum(dtype=torch.float64))
        self._count += len(distances)

    def merge(self, other: Self) -> None:
        """Add the sums of another worker."""
        super().merge(other)
        self._distance += other._distance
        self._count += other._count

    def compute(self) -> dict[str, float]:
        """Return ArtFID, its factors ``lpips`` and ``fid``, and the counts ``n``, ``styles``."""
        values = super().compute()
        distance, fid = self._distance / self._count, values[""]
        return {**values, "": (1 + distance) * (1 + fid), "lpips": distance, "fid": fid}
