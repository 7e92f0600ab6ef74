"""FID without the bias of a finite number of outputs."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, Scope
from nstbench.score.maths.feature_sets import VectorMetric
from nstbench.score.maths.frechet import GaussianSums, frechet_distance

POINTS = 15
SEED = 0


class FidInfinity(VectorMetric):
    """Intercept of a line through FID against 1/N, for 15 sizes N from a third to all outputs.

    The expected FID of N outputs is linear in 1/N for large N, so the intercept estimates the FID
    of infinitely many outputs. Subsets of the outputs are drawn with a fixed seed and compared
    with all styles, of which there are finitely many. The published script uses sizes N from
    5000 to the size of the set. For exactly 5000 pictures these are fifteen equal sizes, and the
    result is plain FID. The sizes used here always differ.
    """

    network = "inception"
    layer = "pool3"
    least = 30
    info: ClassVar[MetricInfo] = MetricInfo(
        title="FID∞",
        scope=Scope.SET,
        higher_is_better=False,
        range=(float("-inf"), float("inf")),
        citation="Chong and Forsyth, CVPR 2020, arXiv 1911.07023; Inception of torch-fidelity",
        description="FID extrapolated to infinitely many outputs; needs at least 30.",
        features=(Features("inception", ("pool3",), ("output", "style")),),
        requires=("torch_fidelity",),
        ideal="style",
        presets=("field",),
        order=83,
    )

    def value(self, outputs: torch.Tensor, styles: torch.Tensor) -> float:
        """Return the intercept for vectors (n, D) and (m, D)."""
        reference = GaussianSums.of(styles)
        generator = torch.Generator().manual_seed(SEED)
        sizes = torch.linspace(len(outputs) / 3, len(outputs), POINTS).round().long()
        distances = []
        for size in sizes.tolist():
            chosen = torch.randperm(len(outputs), generator=generator)[:size]
            distances.append(frechet_distance(GaussianSums.of(outputs[chosen]), reference))
        inverse = 1 / sizes.double()
        design = torch.stack([torch.ones_like(inverse), inverse], dim=1)
        line = torch.linalg.lstsq(design, torch.tensor(distances, dtype=torch.float64)[:, None])
        return float(line.solution[0])
