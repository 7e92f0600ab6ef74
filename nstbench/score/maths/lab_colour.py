"""Convert sRGB to CIE Lab, for metrics of colour."""

from __future__ import annotations

import torch

# IEC 61966-2-1 primaries to XYZ, and the white point D65 for the 2 degree observer.
_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(pixels: torch.Tensor) -> torch.Tensor:
    """Return CIE 1976 L*a*b* of sRGB pictures.

    People see a difference between two patches from a distance of about 2.3 (Mahy et al., Color
    Research and Application 19, 1994).

    Args:
        pixels: float sRGB (B, 3, H, W) with values in [0, 1].

    Returns:
        (B, 3, H, W) of the same dtype: L* in [0, 100], a* and b* in about [-110, 110].

    Example:
        >>> rgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().round().abs().tolist()
        [100.0, 0.0, 0.0]
    """
    linear = torch.where(
        pixels <= 0.04045, pixels / 12.92, ((pixels.clamp(min=0) + 0.055) / 1.055) ** 2.4
    )
    to_xyz = pixels.new_tensor(_TO_XYZ)
    white = pixels.new_tensor(_WHITE).view(1, 3, 1, 1)
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz, linear) / white
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
