"""Baseline: the style image, resized to the content's shape.

The other trivial answer that bounds every pair: no style error, and a content
error as large as that of an unrelated picture. Its total error is 1 by definition, which
holds exactly because metrics resize the style with the same function.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.picture import resize


class StyleCopy(Method):
    """Returns the style image in the content's shape."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Style copy",
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
        """Return the style at the content's height and width."""
        return resize(self._style, (content.height, content.width)).expand_as(content.pixels)
