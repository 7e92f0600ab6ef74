"""Baseline: the content with the style's histogram of each colour channel.

A stronger colour transfer than mean and deviation: the palette is the style's to the last
value, the geometry is untouched.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.colour_transfer import match_histograms


class HistogramMatching(Method):
    """Matches the distributions of R, G and B."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Histogram matching",
        authors="",
        year=2026,
        paper="",
        family="baseline",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
    )

    _style: torch.Tensor

    def prepare(self, style: Picture) -> None:
        """Keep the style."""
        self._style = style.pixels

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the content with the style's histograms."""
        return match_histograms(content.pixels, self._style)
