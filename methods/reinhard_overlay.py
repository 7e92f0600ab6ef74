"""Baseline: Reinhard's colour transfer, then the style's details added.

The strongest answer without a network on this board: palette and texture of the style, with
the geometry of the content. What a method does beyond it needs knowledge of pictures.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.colour_transfer import transfer_colours
from nstbench.pictures.mixtures import overlay


class ReinhardOverlay(Method):
    """Returns the recoloured content plus the style's high frequencies, clamped."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Reinhard and overlay",
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
        """Return the overlay on the recoloured content."""
        return overlay(transfer_colours(content.pixels, self._style), self._style)
