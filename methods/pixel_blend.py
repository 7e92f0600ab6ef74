"""Baseline: a weighted mean of the content and the resized style, pixel by pixel.

Half of each picture is half-right about both; a metric that prefers it to a real
stylisation measures averages, not pictures.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Parameters, Picture
from nstbench.pictures.mixtures import blend


class PixelBlend(Method):
    """Returns ``(1 - amount) * content + amount * style``."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Pixel blend",
        authors="",
        year=2026,
        paper="",
        family="baseline",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
    )

    class Params(Parameters):
        """Parameters of the blend."""

        amount: float = Field(0.5, ge=0.0, le=1.0, description="share of the style")

    params: Params
    _style: torch.Tensor

    def prepare(self, style: Picture) -> None:
        """Keep the style."""
        self._style = style.pixels

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the blend at the content's height and width."""
        return blend(content.pixels, self._style, self.params.amount)
