"""Baseline: Reinhard's colour transfer, then the style's details added.

The strongest trivial method: palette and texture of the style, and geometry of the content,
without a network.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.colour_transfer import transfer_colours
from nstbench.pictures.mixtures import overlay


class ReinhardOverlay(Baseline):
    """Returns the recoloured content plus the style's high frequencies, clamped."""

    info: ClassVar[MethodInfo] = baseline_info("Reinhard and overlay")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the overlay on the recoloured content."""
        return overlay(transfer_colours(content.pixels, self._style), self._style)
