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

# Paper, equation 4: RGB to LMS cone responses.
_RGB_TO_LMS = torch.tensor(
    [
        [0.3811, 0.5783, 0.0402],
        [0.1967, 0.7244, 0.0782],
        [0.0241, 0.1288, 0.8444],
    ],
    dtype=torch.float64,
)
# Paper, equation 6: log LMS to l-alpha-beta.
_LMS_TO_LAB = torch.diag(torch.tensor([3.0, 6.0, 2.0], dtype=torch.float64).rsqrt()) @ torch.tensor(
    [[1.0, 1.0, 1.0], [1.0, 1.0, -2.0], [1.0, -1.0, 0.0]], dtype=torch.float64
)
# One grey level of an 8-bit image. The logarithm of zero (black) is infinite.
_FLOOR = 1.0 / 255.0
_FLAT = 1e-6


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


def to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """Return the l-alpha-beta values, float64 (B, 3, H, W), of RGB (B, 3, H, W) in [0, 1]."""
    lms = _mix(_RGB_TO_LMS, rgb.double().clamp_min(_FLOOR))
    return _mix(_LMS_TO_LAB, lms.log10())


def to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """Return RGB, float64 (B, 3, H, W) and not clamped, of l-alpha-beta values."""
    lms = 10.0 ** _mix(torch.linalg.inv(_LMS_TO_LAB), lab)
    return _mix(torch.linalg.inv(_RGB_TO_LMS), lms)


def moments(lab: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation over the pixels, each (B, 3, 1, 1)."""
    return (
        lab.mean(dim=(-2, -1), keepdim=True),
        lab.std(dim=(-2, -1), keepdim=True, correction=0),
    )


def transfer(lab: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Return ``lab`` (B, 3, H, W) with another mean and deviation, each (B, 3, 1, 1)."""
    lab_mean, lab_std = moments(lab)
    gain = torch.where(lab_std > _FLAT, std / lab_std.clamp_min(_FLAT), 0.0)
    return (lab - lab_mean) * gain + mean


def _mix(matrix: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(channels.device), channels)
