"""Baseline: the content with the style's details added.

The output is the photograph plus the high frequencies of the style. With brush strokes it looks
like a stylisation, with faces like a double exposure.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.mixtures import overlay


class Overlay(Baseline):
    """Returns ``content + style - blurred style``, clamped."""

    info: ClassVar[MethodInfo] = baseline_info("Overlay")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the overlay at the content's height and width."""
        return overlay(content.pixels, self._style)
