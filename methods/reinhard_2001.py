"""Colour transfer between images (Reinhard, Ashikhmin, Gooch and Shirley 2001).

The mean and standard deviation of each channel of the decorrelated l-alpha-beta space
(Ruderman et al. 1998) are transferred from the style to the content (paper,
equations 10 and 11). Only colours change, so a method that transfers more than a palette has
to do better than this one.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.colour_transfer import moments, to_lab, to_rgb, transfer


class Reinhard2001(Method):
    """Matches mean and deviation of the style's colours in l-alpha-beta."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Reinhard et al. 2001",
        authors="E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley",
        year=2001,
        paper="https://doi.org/10.1109/38.946629",
        family="colour transfer",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
        deviations=(
            "The matrices act on sRGB values as stored, with their gamma, as in most "
            "implementations; the paper does not state it.",
            "Values below 1/255 are raised to 1/255 before the logarithm.",
            "The inverse transform inverts the forward matrices instead of using the paper's "
            "rounded inverses.",
            "A channel of the content without variance is set to the mean of the style.",
        ),
    )

    _mean: torch.Tensor
    _std: torch.Tensor

    def prepare(self, style: Picture) -> None:
        """Compute mean and deviation of each channel of the style."""
        self._mean, self._std = moments(to_lab(style.pixels))

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the content with the style's colour moments, clamped to [0, 1]."""
        lab = transfer(to_lab(content.pixels), self._mean, self._std)
        return to_rgb(lab).clamp(0.0, 1.0).to(content.pixels.dtype)
