"""Baseline: the left half of the content and the right half of the style.

Half of the content is lost, and half of the picture has no style. A metric must not call it good.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.mixtures import half_and_half


class HalfAndHalf(Baseline):
    """Returns a collage of two halves."""

    info: ClassVar[MethodInfo] = baseline_info("Half and half")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the collage at the content's height and width."""
        return half_and_half(content.pixels, self._style)
