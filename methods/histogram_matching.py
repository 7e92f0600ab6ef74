"""Baseline: the content with the style's histogram of each colour channel.

A stronger colour transfer than that of mean and deviation: each channel has the distribution of
the style, and the geometry does not change.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.colour_transfer import match_histograms


class HistogramMatching(Baseline):
    """Matches the distributions of R, G and B."""

    info: ClassVar[MethodInfo] = baseline_info("Histogram matching")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the content with the style's histograms."""
        return match_histograms(content.pixels, self._style)
