"""Baseline: the content image, untouched.

One of the two trivial answers that bound every pair: no content error, and a
style error as large as if nothing had been done. Its total error is 1 by definition.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture


class ContentCopy(Method):
    """Returns the content image."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Content copy",
        authors="",
        year=2026,
        paper="",
        family="baseline",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
    )

    def prepare(self, style: Picture) -> None:
        """Ignore the style."""

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return a copy of the content."""
        return content.pixels.clone()
