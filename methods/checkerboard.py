"""Baseline: squares of content and style in turns.

Statistics of the whole picture see a mixture; a viewer sees two pictures.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.mixtures import checkerboard


class Checkerboard(Method):
    """Returns a board of 8 squares along the short side."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Checkerboard",
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
        """Return the board at the content's height and width."""
        return checkerboard(content.pixels, self._style)
