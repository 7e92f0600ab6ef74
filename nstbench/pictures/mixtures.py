"""Mix two pictures without a network: the trivial answers to a pair.

Tensors are float32 RGB (B, 3, H, W) in [0, 1]; the style is resized to the content's shape.
"""

from __future__ import annotations

import torch

from nstbench.pictures.picture import resize

REFERENCE_SIDE = 256
DETAIL = 4.0
"""Standard deviation in pixels, at a short side of 256, of the blur that separates a picture's
details from the rest."""

_REACH = 4.0
"""Radius of the blur's window in standard deviations."""


def blend(content: torch.Tensor, style: torch.Tensor, amount: float) -> torch.Tensor:
    """Return ``(1 - amount) content + amount style``, rounded to multiples of 1/255.

    Many values of a blend lie in the middle between two levels of a saved picture. They are
    rounded here, in float64: in float32 each processor would round them its own way.
    """
    resized = resize(style, (content.shape[-2], content.shape[-1]))
    first, second = torch.broadcast_tensors(content.double(), resized.double())
    return eight_bit(torch.lerp(first, second, amount)).to(content.dtype)


def overlay(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return the content plus the style's details, clamped to [0, 1]."""
    resized = resize(style, (content.shape[-2], content.shape[-1]))
    return (content + details(resized)).clamp(0.0, 1.0)


def details(pixels: torch.Tensor) -> torch.Tensor:
    """Return the picture less its Gaussian blur: its high frequencies, around 0.

    The blur has a standard deviation of ``DETAIL`` pixels at a short side of 256 and grows with
    the picture. Edges are reflected.
    """
    sigma = DETAIL * min(pixels.shape[-2:]) / REFERENCE_SIDE
    return pixels - blurred(pixels, sigma)


def blurred(pixels: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the picture under a Gaussian of ``sigma`` pixels, edges reflected."""
    radius = max(1, int(_REACH * sigma + 0.5))
    steps = torch.arange(-radius, radius + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.exp(-0.5 * (steps / max(sigma, 1e-6)).square())
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        pixels = _along(pixels, kernel, radius, axis)
    return pixels


def _along(pixels: torch.Tensor, kernel: torch.Tensor, radius: int, axis: int) -> torch.Tensor:
    """Convolve one axis, with the picture mirrored at its edges as often as the kernel needs."""
    length = pixels.shape[axis]
    place = torch.arange(-radius, length + radius, device=pixels.device) % (2 * length)
    place = torch.minimum(place, 2 * length - 1 - place)
    padded = pixels.index_select(axis, place)
    return padded.unfold(axis, 2 * radius + 1, 1) @ kernel


def half_and_half(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return a picture of the content's left half and the style's right half."""
    resized = resize(style, (content.shape[-2], content.shape[-1])).expand_as(content)
    middle = content.shape[-1] // 2
    return torch.cat([content[..., :middle], resized[..., middle:]], dim=-1)


def checkerboard(content: torch.Tensor, style: torch.Tensor, squares: int = 8) -> torch.Tensor:
    """Return alternating squares of content and style, ``squares`` along the short side."""
    resized = resize(style, (content.shape[-2], content.shape[-1])).expand_as(content)
    edge = max(1, min(content.shape[-2:]) // squares)
    y = torch.arange(content.shape[-2], device=content.device)[:, None] // edge
    x = torch.arange(content.shape[-1], device=content.device) // edge
    return torch.where((y + x) % 2 == 0, content, resized)


def eight_bit(pixels: torch.Tensor) -> torch.Tensor:
    """Return the values that a saved picture has: clamped to [0, 1], multiples of 1/255."""
    return pixels.clamp(0.0, 1.0).mul(255.0).round().div(255.0)
