"""Instance normalisation of all samples at once, for GPUs, with a hand-written gradient.

Differentiated by autograd, a normalisation of 16-bit activations makes a dozen passes over float32
copies of them. Here it reads the activations themselves: three passes forward and five backward.
Sums are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

EPSILON = 1e-5

_SPATIAL = (2, 3)


def normalised_at_once(
    x: torch.Tensor, gamma: torch.Tensor | None = None, beta: torch.Tensor | None = None
) -> torch.Tensor:
    """Return gamma (x - mean) / std + beta, mean and std over H x W of each sample's channels.

    Autocast does not apply. The result is differentiable once.

    Args:
        x: (B, C, H, W) of any floating-point dtype; the result has the same, and its order.
        gamma: scales (B, C), float32 at least; 1 if ``None``.
        beta: shifts (B, C), of the same dtype; 0 if ``None``.
    """
    with torch.autocast(x.device.type, enabled=False):
        normalised: torch.Tensor = _Normalised.apply(x, gamma, beta)
        return normalised


class _Normalised(torch.autograd.Function):
    """The gradient is a dy + c1 x + c0, with numbers a, c1 and c0 per sample and channel."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, gamma: torch.Tensor | None, beta: torch.Tensor | None
    ) -> torch.Tensor:
        mean, inverse = _statistics(x)
        scale = inverse if gamma is None else gamma * inverse
        shift = mean * scale
        shift = shift.neg_() if beta is None else beta - shift
        ctx.save_for_backward(x, mean, inverse, scale)
        made = torch.empty_like(x)
        return torch.addcmul(_wide(shift), x, _wide(scale), out=made)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, mean, inverse, scale = ctx.saved_tensors
        count = x.shape[2] * x.shape[3]
        total = dy.sum(_SPATIAL, dtype=mean.dtype)
        product = torch.empty_like(x, dtype=mean.dtype)
        # a product of two 16-bit tensors would be rounded to 16 bits, also for a wide output
        torch.addcmul(mean.new_zeros(1, 1, 1, 1), dy, x, out=product)
        # the sum of dy times the normalised x, which is the gradient of gamma
        of_gamma = torch.addcmul(product.sum(_SPATIAL), mean, total, value=-1).mul_(inverse)
        c1 = (scale * inverse).mul_(of_gamma).mul_(-1 / count)
        c0 = (scale * total).mul_(-1 / count).addcmul_(c1, mean, value=-1)
        dx = None
        if ctx.needs_input_grad[0]:
            torch.addcmul(_wide(c0), x, _wide(c1), out=product)
            dx = torch.empty_like(x)
            torch.addcmul(product, dy, _wide(scale), out=dx)
        return (
            dx,
            of_gamma if ctx.needs_input_grad[1] else None,
            total if ctx.needs_input_grad[2] else None,
        )


def _statistics(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and inverse deviation (B, C) of each sample's channels, float32 at least."""
    if x.dtype in (torch.float32, torch.float64):
        variance, mean = torch.var_mean(x, dim=_SPATIAL, correction=0)
    else:
        # torch rounds both to the dtype of x. The square of a mean that exceeds the deviation so
        # much that float32 loses the variance exceeds the precision of 16-bit activations as well.
        count = x.shape[2] * x.shape[3]
        mean = x.sum(_SPATIAL, dtype=torch.float32).mul_(1 / count)
        norm = torch.linalg.vector_norm(x, dim=_SPATIAL, dtype=torch.float32)
        variance = norm.square_().mul_(1 / count).addcmul_(mean, mean, value=-1).clamp_min_(0.0)
    return mean, variance.add_(EPSILON).rsqrt_()


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values[:, :, None, None]
