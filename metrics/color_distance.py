"""Distance between the colours of output and style."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MetricInfo, PairMetric, Picture, Scope, ScoringPair
from nstbench.score.maths.lab_colour import rgb_to_lab
from nstbench.score.maths.sliced_wasserstein import directions, ordered, ordered_distance, sampled

PROJECTIONS = 32


class ColorDistance(PairMetric):
    """Sliced 2-Wasserstein distance between the CIE Lab colours of output and style.

    It uses 32 fixed projections, and at most 2048 pixels of each picture at fixed places. The
    positions of colours are ignored, so a pure colour transfer has a small value.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        title="Colour distance",
        scope=Scope.PAIR,
        higher_is_better=False,
        range=(0.0, float("inf")),
        unit="ΔE",
        citation="Bonneel et al., JMIV 51, 2015, on CIE 1976 L*a*b*",
        description="Distance between the colour distributions of output and style in Lab.",
        ideal="style",
        presets=("core",),
        order=90,
    )

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the distance in units of Lab, float64 (B,)."""
        style = pair.kept("color_distance", ("style",), lambda: _ordered_colours(pair.style))
        return {"": ordered_distance(_ordered_colours(pair.output), style)}


def _ordered_colours(picture: Picture) -> torch.Tensor:
    # Sampled before the conversion, which treats every pixel alike, to convert fewer pixels.
    colours = rgb_to_lab(sampled(picture.pixels.flatten(2))[..., None])[..., 0]
    return ordered(colours, directions(PROJECTIONS, 3))
