"""Baseline: alternating squares of content and style.

Statistics of the whole picture are those of a mixture, but a viewer sees two pictures.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info
from nstbench.pictures.mixtures import checkerboard


class Checkerboard(Baseline):
    """Returns a board of 8 squares along the short side."""

    info: ClassVar[MethodInfo] = baseline_info("Checkerboard")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the board at the content's height and width."""
        return checkerboard(content.pixels, self._style)
