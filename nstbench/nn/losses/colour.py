"""Preserve the colours of the content in style transfer.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
Transfer", arXiv 1606.05897. Tensors are float RGB (B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import torch

# NTSC's YIQ, the colour space in which the paper computes luminance.
_RGB_TO_YIQ = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ],
    dtype=torch.float64,
)
_FLAT = 1e-5


def luminance(pixels: torch.Tensor) -> torch.Tensor:
    """Return Y, (B, 1, H, W) with values in [0, 1]."""
    return _mix(_RGB_TO_YIQ, pixels)[:, :1]


def with_luminance_of(pixels: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Return ``pixels`` with the luminance of ``source``, clamped to [0, 1]."""
    chroma = _mix(_RGB_TO_YIQ, pixels)[:, 1:]
    yiq = torch.cat([luminance(source), chroma], dim=1)
    return _mix(torch.linalg.inv(_RGB_TO_YIQ), yiq).clamp(0.0, 1.0)


def match_luminance(pixels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return grey RGB of ``pixels`` with mean and deviation of ``reference``'s luminance.

    The paper does this before luminance-only transfer, because the luminance of a bright
    photograph cannot have the statistics of a dark painting. The result is not clamped.
    """
    grey, wanted = luminance(pixels), luminance(reference)
    gain = wanted.std(correction=0) / grey.std(correction=0).clamp_min(_FLAT)
    return ((grey - grey.mean()) * gain + wanted.mean()).expand(-1, 3, -1, -1)


def match_colours(pixels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return ``pixels`` with mean and covariance of ``reference``'s colours, clamped to [0, 1].

    This is the paper's colour histogram matching with the symmetric one of its two linear
    transforms, A = S_ref^(1/2) S^(-1/2) for covariances S. A direction without variance in
    ``pixels`` gets none.
    """
    flat, wanted = (p.transpose(0, 1).flatten(1).double() for p in (pixels, reference))
    mean, mean_wanted = flat.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
    whiten = _power(torch.cov(flat, correction=0), -0.5)
    colour = _power(torch.cov(wanted, correction=0), 0.5)
    matched = colour @ whiten @ (flat - mean) + mean_wanted
    shape = (3, pixels.shape[0], *pixels.shape[-2:])
    return matched.view(shape).transpose(0, 1).clamp(0.0, 1.0).to(pixels.dtype)


def _power(covariance: torch.Tensor, exponent: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    powered = torch.where(values > _FLAT**2, values.clamp_min(_FLAT**2) ** exponent, 0.0)
    return vectors * powered @ vectors.T


def _mix(matrix: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(channels), channels)
