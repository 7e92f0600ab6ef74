"""Baseline: the style image, scaled to the shape of the content.

The other trivial output that bounds every pair: its style error is zero, and its content error
is as large as that of an unrelated picture. Its total error is 1 by definition. This holds exactly
because metrics scale the style with the same function.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info


class StyleCopy(Baseline):
    """Returns the style image in the shape of the content."""

    info: ClassVar[MethodInfo] = baseline_info("Style copy")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the style at the height and width of the content."""
        return self.style_like(content)
