"""Baseline: uniform noise. A metric of pictures should rank it last."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import MethodInfo, OnStep, Picture
from nstbench.nn.baseline import Baseline, baseline_info


class Noise(Baseline):
    """Returns independent, uniformly distributed pixel values."""

    info: ClassVar[MethodInfo] = baseline_info("Noise")

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return values drawn from U(0, 1)."""
        noise = torch.rand(content.pixels.shape, generator=generator)
        return noise.to(content.pixels.device)
