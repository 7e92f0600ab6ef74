"""Baseline: the left half of the content beside the right half of the style.

Half of the content is lost altogether and half of the picture has no style. A number that calls
it good adds up halves.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.mixtures import half_and_half


class HalfAndHalf(Method):
    """Returns a collage of two halves."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Half and half",
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
        """Return the collage at the content's height and width."""
        return half_and_half(content.pixels, self._style)
