"""Colour transfer between images (Reinhard, Ashikhmin, Gooch and Shirley 2001).

Mean and standard deviation of each channel of the decorrelated l-alpha-beta space
(Ruderman et al. 1998) are carried from the style to the content (paper,
equations 10 and 11). It moves colours only, so it is the baseline that a method
has to beat to have transferred anything beyond a palette.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Picture
from nstbench.pictures.colour_transfer import moments, to_lab, to_rgb, transfer


class Reinhard2001(Method):
    """Matches the first two moments of the style's colours in l-alpha-beta."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Reinhard et al. 2001",
        authors="E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley",
        year=2001,
        paper="https://doi.org/10.1109/38.946629",
        family="colour transfer",
        flexibility=Flexibility.BASELINE,
        licence="MIT",
        deviations=(
            "The matrices act on sRGB values as stored, without undoing their gamma, as most "
            "implementations do; the paper does not say.",
            "Values below 1/255 are raised to 1/255 before the logarithm.",
            "The way back inverts the forward matrices instead of using the paper's rounded ones.",
            "A channel of the content without variance is set to the style's mean.",
        ),
    )

    _mean: torch.Tensor
    _std: torch.Tensor

    def prepare(self, style: Picture) -> None:
        """Measure the style's moments."""
        self._mean, self._std = moments(to_lab(style.pixels))

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the content with the style's colour moments, clamped to [0, 1]."""
        lab = transfer(to_lab(content.pixels), self._mean, self._std)
        return to_rgb(lab).clamp(0.0, 1.0).to(content.pixels.dtype)
