"""Give the colours of one picture to another, without a change of geometry.

Tensors are float RGB (B, 3, H, W) in [0, 1]. Reinhard's transfer matches mean and deviation in
the decorrelated l-alpha-beta space (E. Reinhard, M. Ashikhmin, B. Gooch and P. Shirley, "Color
Transfer between Images", IEEE CG&A 21(5), 2001, equations 4, 6, 10 and 11; the space: Ruderman
et al. 1998). Histogram matching gives each of R, G and B the other picture's distribution
(R. Gonzalez and R. Woods, Digital Image Processing, section 3.3.2).
"""

from __future__ import annotations

import torch

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
# One grey level of an 8-bit image: the logarithm has no value at black.
_FLOOR = 1.0 / 255.0
_FLAT = 1e-6


def transfer_colours(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return the content with the style's colour moments in l-alpha-beta (Reinhard et al.).

    A channel of the content without variance is set to the style's mean.

    Args:
        content: float RGB (B, 3, H, W).
        style: float RGB (B or 1, 3, H', W').

    Returns:
        RGB (B, 3, H, W) of the content's type, clamped to [0, 1].
    """
    lab = transfer(to_lab(content), *moments(to_lab(style)))
    return to_rgb(lab).clamp(0.0, 1.0).to(content.dtype)


def to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """Return l-alpha-beta values, float64 (B, 3, H, W), of RGB in [0, 1]."""
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
    """Give ``lab`` (B, 3, H, W) the wanted moments, each (B, 3, 1, 1)."""
    own_mean, own_std = moments(lab)
    gain = torch.where(own_std > _FLAT, std / own_std.clamp_min(_FLAT), 0.0)
    return (lab - own_mean) * gain + mean


def match_histograms(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return the content with the style's histogram of each of R, G and B.

    A value that k pixels share is mapped to the style's quantile at the middle of their ranks,
    linear between the style's values, so equal pixels stay equal.

    Args:
        content: float RGB (B, 3, H, W).
        style: float RGB (B or 1, 3, H', W').

    Returns:
        RGB (B, 3, H, W) of the content's type, with values among the style's extremes.
    """
    own = content.flatten(2).double().contiguous()
    wanted = style.flatten(2).double()
    wanted = wanted.sort(dim=2).values.expand(len(own), -1, -1).contiguous()
    ordered = own.sort(dim=2).values.contiguous()
    below = torch.searchsorted(ordered, own, right=False)
    upto = torch.searchsorted(ordered, own, right=True)
    share = (below + upto).double() / (2 * own.shape[2])
    place = (share * wanted.shape[2] - 0.5).clamp(0, wanted.shape[2] - 1)
    low = place.floor().long()
    high = (low + 1).clamp_max(wanted.shape[2] - 1)
    matched = torch.lerp(wanted.gather(2, low), wanted.gather(2, high), place - low)
    return matched.view(content.shape).to(content.dtype)


def _mix(matrix: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(channels.device), channels)
