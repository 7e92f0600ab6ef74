"""Is an output nearest to its own style among all styles of the run?"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, Scope, ScoringPair
from nstbench.nn.losses.gram import GRAM_LAYERS
from nstbench.score.maths.feature_sets import RetrievalMetric
from nstbench.score.maths.layer_moments import MOMENT_TAGS, deviation

WIDTHS = (64, 128, 256, 512, 512)


class StyleRetrieval(RetrievalMetric):
    """Mean share of the other styles that are farther from an output than its own one.

    A picture is described by the means and deviations of VGG-16 relu1_1 to relu5_1. The distance
    is the mean over layers of |a - b|^2 / (|a|^2 + |b|^2). Chance is 0.5. The value depends on
    which styles the run has: similar styles are harder to tell apart.
    """

    of = "style"
    info: ClassVar[MetricInfo] = MetricInfo(
        title="Style retrieval",
        scope=Scope.SET,
        higher_is_better=True,
        range=(0.0, 1.0),
        citation="nstbench, metric reference; retrieval as in Somepalli et al., arXiv 2404.01292",
        description="How often an output is nearer to its own style than to another style of the"
        " run; 1 always, 0.5 by chance.",
        features=(Features("vgg16", GRAM_LAYERS, ("output", "style"), gram=True),),
        home_for=MOMENT_TAGS,
        ideal="style",
        presets=("core",),
        order=85,
    )

    def describe(self, pair: ScoringPair, of: str) -> torch.Tensor:
        """Return means and deviations of all layers, (B, 2944)."""
        moments = [
            part
            for layer in GRAM_LAYERS
            for part in (pair.mean("vgg16", of, layer), deviation(pair, "vgg16", of, layer))
        ]
        return torch.cat(moments, dim=1)

    def distances(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the mean relative distance over layers, (n, m)."""
        sizes = [2 * width for width in WIDTHS]
        layers = zip(first.split(sizes, dim=1), second.split(sizes, dim=1), strict=True)
        return torch.stack([_relative(a.double(), b.double()) for a, b in layers]).mean(dim=0)


def _relative(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    difference = (a[:, None] - b[None]).square().sum(dim=2)
    return difference / (a.square().sum(dim=1)[:, None] + b.square().sum(dim=1))
