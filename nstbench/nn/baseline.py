"""Baselines: methods without a network, an author or a paper."""

from __future__ import annotations

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, Picture
from nstbench.pictures.picture import resize


class Baseline(Method):
    """Base of baselines; it keeps the style, and has no weights to load."""

    _style: torch.Tensor

    def prepare(self, style: Picture) -> None:
        """Keep the pixels of the style."""
        self._style = style.pixels

    def style_like(self, content: Picture) -> torch.Tensor:
        """Return the style, scaled to the shape (B, 3, H, W) of the content."""
        style = resize(self._style, (content.height, content.width))
        return style.expand_as(content.pixels)


def baseline_info(title: str) -> MethodInfo:
    """Return the facts about a baseline of nstbench.

    Example:
        >>> baseline_info("Noise").family
        'baseline'
    """
    return MethodInfo(
        title=title,
        authors="",
        year=2026,
        paper="",
        family="baseline",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
    )
