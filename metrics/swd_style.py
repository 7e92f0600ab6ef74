"""Sliced Wasserstein distance between the feature distributions of output and style."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch

from nstbench.contracts import Features, MetricInfo, PairMetric, Scope, ScoringPair
from nstbench.score.maths.sliced_wasserstein import directions, ordered, ordered_distance, sampled

LAYERS = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")
PROJECTIONS = 64


class SwdStyle(PairMetric):
    """Sliced 2-Wasserstein distance of VGG-16 activations, as a share of the style's own size.

    Per layer, the distance over 64 fixed projections is divided by the root mean square of
    the style's projected activations, |F(s)| / sqrt(C N), so no layer dominates; the value is
    the mean over layers. It compares whole distributions; Gram matrices contain second moments
    only. At most 2048 positions per layer are read, at fixed random places, so two pictures of
    the same texture still differ by a few hundredths.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="SWD (style)",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        citation="Heitz et al., CVPR 2021, arXiv 2006.07229, with fixed projections",
        description="Distance between the distributions of VGG-16 activations of output and style;"
        " more sensitive than Gram matrices.",
        features=(Features("vgg16", LAYERS, ("output", "style")),),
        # Methods that match patches of the style give activations its distribution.
        home_for=("vgg16-patches", "vgg19-patches"),
        ideal="style",
        presets=("core",),
        order=45,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance, float64 (B,)."""
        terms = []
        for layer in LAYERS:
            output = _ordered(_sample(pair, "output", layer))
            style, size = (
                pair.kept(f"swd_style {what} {layer}", ("style",), partial(make, pair, layer))
                for what, make in (("order", _style_order), ("size", _style_size))
            )
            distance = ordered_distance(output, style)
            # If the style has no activation in a layer, its size is 0 and the ratio infinite.
            terms.append(torch.where(distance > 0, distance / size, 0.0))
        return {"": torch.stack(terms).mean(dim=0)}


def _sample(pair: ScoringPair, of: str, layer: str) -> torch.Tensor:
    return sampled(pair.features("vgg16", of)[layer].flatten(2))


def _ordered(sample: torch.Tensor) -> torch.Tensor:
    return ordered(sample, directions(PROJECTIONS, sample.shape[1]))


def _style_order(pair: ScoringPair, layer: str) -> torch.Tensor:
    return _ordered(_sample(pair, "style", layer))


def _style_size(pair: ScoringPair, layer: str) -> torch.Tensor:
    return _sample(pair, "style", layer).square().mean(dim=(1, 2), dtype=torch.float64).sqrt()
