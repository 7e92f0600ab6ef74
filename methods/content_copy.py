"""Baseline: a copy of the content image.

One of the two trivial outputs that bound every pair: its content error is zero, and its style
error is as large as without stylisation. Its total error is 1 by definition.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info


class ContentCopy(Baseline):
    """Returns the content image."""

    info: ClassVar[MethodInfo] = baseline_info("Content copy")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return a copy of the content."""
        return content.pixels.clone()
