"""Baseline: uniform noise, which no picture metric should mistake for an answer."""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture


class Noise(Method):
    """Returns independent, uniformly distributed pixel values."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Noise",
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
        """Return values drawn from U(0, 1)."""
        noise = torch.rand(content.pixels.shape, generator=generator)
        return noise.to(content.pixels.device)
