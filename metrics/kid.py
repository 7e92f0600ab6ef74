"""Kernel Inception distance between outputs and styles."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, Scope
from nstbench.score.maths.feature_sets import VectorMetric


class Kid(VectorMetric):
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / d + 1)^3.

    The estimate uses all pictures at once; the usual mean over random subsets estimates the same
    quantity with more noise. It is unbiased, so it suits small sets. It can be below zero if
    outputs and styles have the same distribution.
    """

    network = "inception"
    layer = "pool3"
    least = 2
    info: ClassVar[MetricInfo] = MetricInfo(
        title="KID",
        scope=Scope.SET,
        higher_is_better=False,
        range=(float("-inf"), float("inf")),
        citation="Binkowski et al., arXiv 1801.01401, eq. 4; Inception of torch-fidelity",
        description="Kernel Inception distance between all outputs and all styles; unbiased, so"
        " it suits small sets.",
        features=(Features("inception", ("pool3",), ("output", "style")),),
        requires=("torch_fidelity",),
        ideal="style",
        order=82,
    )

    def value(self, outputs: torch.Tensor, styles: torch.Tensor) -> float:
        """Return the estimate for vectors (n, D) and (m, D)."""
        across = _kernel(outputs, styles).mean()
        return float(_mean_of_pairs(outputs) + _mean_of_pairs(styles) - 2 * across)


def _kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: torch.Tensor) -> torch.Tensor:
    """Return the mean kernel over pairs of different vectors."""
    kernel = _kernel(x, x)
    return (kernel.sum() - kernel.trace()) / (len(x) * (len(x) - 1))
