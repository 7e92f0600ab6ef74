"""Baseline: a weighted mean of the content and the scaled style, pixel by pixel.

It is partly right about both pictures. A metric that prefers it to a real stylisation rewards
averages instead of stylisation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from nstbench.contracts import MethodInfo, OnStep, Parameters, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.mixtures import blend


class PixelBlend(Baseline):
    """Returns ``(1 - amount) * content + amount * style``."""

    info: ClassVar[MethodInfo] = baseline_info("Pixel blend")

    class Params(Parameters):
        """Parameters of the blend."""

        amount: float = Field(0.5, ge=0.0, le=1.0, description="share of the style")

    params: Params

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the blend at the height and width of the content."""
        return blend(content.pixels, self._style, self.params.amount)
