"""The distances of :mod:`nstbench.nn.losses.terms` for GPUs: few kernels and no wide copies.

Activations stay in their own precision, with one pass over them per direction; sums are float32.
The functions work on every device. CPUs use the formulas of ``terms``, whose order of additions
differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from nstbench.nn.losses.wide_products import partial_products, wide_product


def gram_distance(
    features: torch.Tensor, target: torch.Tensor, shift: float, count: float
) -> torch.Tensor:
    """Return sum((G - A)^2) with G = (F + s)(F + s)^T / N, 0-d float32.

    Args:
        features: F, (B, C, H, W); differentiable once.
        target: A, float32 (B or 1, C, C).
        shift: s.
        count: N.
    """
    energy: torch.Tensor = _GramDistance.apply(features, target, shift, count)
    return energy


def cross_distance(
    shallow: torch.Tensor, deep: torch.Tensor, target: torch.Tensor, shift: float
) -> torch.Tensor:
    """Return sum((G - A)^2) with G = (F + s)(H + s)^T / N, 0-d float32.

    Args:
        shallow: F, (B, C, H, W); differentiable once.
        deep: H, (B, D, H, W); differentiable once.
        target: A, float32 (B or 1, C, D).
        shift: s.
    """
    energy: torch.Tensor = _CrossDistance.apply(shallow, deep, target, shift)
    return energy


def squared_distance(
    features: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Return sum(w (F - P)^2), 0-d float32, of (B, C, H, W); differentiable once in F.

    Args:
        features: F.
        target: P, of the same shape.
        weight: w, float32, broadcast; 1 by default.
    """
    energy: torch.Tensor = _SquaredDistance.apply(features, target, weight)
    return energy


def variation(pixels: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return :func:`nstbench.nn.losses.terms.total_variation`, differentiable once."""
    energy: torch.Tensor = _Variation.apply(pixels, exponent)
    return energy


def gram_distances(
    features: Sequence[torch.Tensor], targets: torch.Tensor, weights: Sequence[float]
) -> torch.Tensor:
    """Return the weighted sum over layers of sum((G - A)^2), 0-d float32.

    All layers together take one kernel per pass over small matrices.

    Args:
        features: layers F of one picture, (1, C, H, W) each; differentiable once.
        targets: from :func:`joined_targets`, for the same weights.
        weights: of the layers, at least 0.
    """
    energy: torch.Tensor = _GramDistances.apply(targets, tuple(weights), *features)
    return energy


def joined_targets(grams: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return Gram matrices (1, C, C), times the roots of their weights, in one row."""
    scaled = [gram * weight**0.5 for gram, weight in zip(grams, weights, strict=True)]
    return torch.cat([gram.flatten() for gram in scaled])


def weighted_sum(values: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Return the sum of 0-d values with weights (n,); differentiable once in the values."""
    total: torch.Tensor = _WeightedSum.apply(weights, *values)
    return total


class _GramDistance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, target: torch.Tensor, shift: float, count: float
    ) -> torch.Tensor:
        flat = features.flatten(2)
        product = _shifted(wide_product(flat, flat), flat, flat, shift)
        # A - G, so that a single operation scales and subtracts
        difference = torch.sub(target, product, alpha=1 / count)
        ctx.save_for_backward(features, difference)
        ctx.shift, ctx.count = shift, count
        return _square(difference)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, difference = ctx.saved_tensors
        return _weighted(features, difference, grad * (-4 / ctx.count), ctx.shift), None, None, None


class _GramDistances(torch.autograd.Function):
    """Differences of all layers are in one row, each times the root of its layer's weight."""

    @staticmethod
    def forward(
        ctx: Any, targets: torch.Tensor, weights: tuple[float, ...], *features: torch.Tensor
    ) -> torch.Tensor:
        differences = torch.empty_like(targets)
        ctx.factors = []
        layers = differences.split([layer.shape[1] ** 2 for layer in features])
        wanted = targets.split([len(layer) for layer in layers])
        for layer, target, weight, difference in zip(
            features, wanted, weights, layers, strict=True
        ):
            flat, positions = layer.flatten(2), layer[0, 0].numel()
            parts = partial_products(flat, flat).flatten(1)
            # one product adds up the parts, and subtracts them from the target
            ones = _ones(len(parts), parts.device, parts.dtype)
            torch.addmv(target, parts.T, ones, alpha=-(weight**0.5) / positions, out=difference)
            ctx.factors.append(-4 * weight**0.5 / positions)
        ctx.save_for_backward(differences, *features)
        return torch.dot(differences, differences)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        differences, *features = ctx.saved_tensors
        low = torch.empty_like(differences, dtype=features[0].dtype)
        torch.mul(differences, grad, out=low)
        gradients = []
        matrices = low.split([layer.shape[1] ** 2 for layer in features])
        for layer, matrix, factor in zip(features, matrices, ctx.factors, strict=True):
            channels = layer.shape[1]
            flat = layer.flatten(2)[0].T
            with torch.autocast(layer.device.type, enabled=False):
                # what is added has the factor 0 and is not read
                product = torch.addmm(
                    low[:1], flat, matrix.view(channels, channels), beta=0, alpha=factor
                )
            gradients.append(product.T[None].unflatten(2, layer.shape[2:]))
        return None, None, *gradients


class _CrossDistance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, shallow: torch.Tensor, deep: torch.Tensor, target: torch.Tensor, shift: float
    ) -> torch.Tensor:
        left, right = shallow.flatten(2), deep.flatten(2)
        product = _shifted(wide_product(left, right), left, right, shift)
        difference = torch.sub(target, product, alpha=1 / right.shape[2])
        ctx.save_for_backward(shallow, deep, difference)
        ctx.shift = shift
        return _square(difference)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        shallow, deep, difference = ctx.saved_tensors
        factor = grad * (-2 / deep[0, 0].numel())
        of_shallow = of_deep = None
        if ctx.needs_input_grad[0]:
            of_shallow = _weighted(deep, difference.transpose(1, 2), factor, ctx.shift)
        if ctx.needs_input_grad[1]:
            of_deep = _weighted(shallow, difference, factor, ctx.shift)
        return of_shallow, of_deep, None, None


class _SquaredDistance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
    ) -> torch.Tensor:
        wide = target if target.dtype == torch.float64 else target.float()
        difference = torch.sub(features, wide)
        weighted = difference if weight is None else difference * weight
        ctx.save_for_backward(weighted)
        ctx.dtype = features.dtype
        return torch.dot(_in_memory_order(weighted), _in_memory_order(difference))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weighted,) = ctx.saved_tensors
        gradient = torch.empty_like(weighted, dtype=ctx.dtype)
        torch.mul(weighted, 2 * grad, out=gradient)
        return gradient, None, None


class _Variation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, exponent: float) -> torch.Tensor:
        corner = pixels[..., :-1, :-1]
        down = pixels[..., 1:, :-1] - corner
        right = pixels[..., :-1, 1:] - corner
        squared = down.square().addcmul_(right, right)
        ctx.plain = exponent == 2.0
        if not ctx.plain:
            # the same constant as in terms
            squared = squared + 1e-8
        ctx.save_for_backward(down, right, squared)
        ctx.exponent, ctx.shape = exponent, pixels.shape
        return squared.sum() if ctx.plain else squared.pow(exponent / 2).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        down, right, squared = ctx.saved_tensors
        slope = ctx.exponent * grad
        if not ctx.plain:
            slope = squared.pow(ctx.exponent / 2 - 1) * slope
        down, right = down * slope, right * slope
        gradient = down.new_zeros(ctx.shape)
        gradient[..., 1:, :-1] = down
        gradient[..., :-1, 1:] += right
        gradient[..., :-1, :-1] -= down.add_(right)
        return gradient, None


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weights)
        return torch.dot(torch.stack(values), weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weights,) = ctx.saved_tensors
        return None, *(weights * grad).unbind()


def _shifted(
    product: torch.Tensor, left: torch.Tensor, right: torch.Tensor, shift: float
) -> torch.Tensor:
    """Return (F + s)(H + s)^T from F H^T, for (B, C, N) and (B, D, N).

    Shifting the activations instead would round them in half precision.
    """
    if not shift:
        return product
    rows = left.sum(dim=2, dtype=product.dtype)[:, :, None]
    columns = rows if right is left else right.sum(dim=2, dtype=product.dtype)[:, :, None]
    sums = rows + columns.transpose(1, 2) + shift * left.shape[2]
    return product.add_(sums, alpha=shift)


def _weighted(
    features: torch.Tensor, matrix: torch.Tensor, factor: torch.Tensor, shift: float
) -> torch.Tensor:
    """Return (F + s) at each position times a matrix, channels last.

    Args:
        features: F, (B, C, H, W).
        matrix: float32 (B, C, D).
        factor: of the matrix, 0-d.
        shift: s.

    Returns:
        (B, D, H, W) of the dtype of ``features``.
    """
    flat = features.flatten(2).transpose(1, 2)
    low = torch.empty_like(matrix, dtype=features.dtype)
    torch.mul(matrix, factor, out=low)
    with torch.autocast(features.device.type, enabled=False):
        if not shift:
            product = torch.bmm(flat, low)
        else:
            offset = (matrix.sum(dim=1, keepdim=True) * (factor * shift)).to(features.dtype)
            if len(flat) == 1:
                # of a vector, the addition is part of the product
                product = torch.addmm(offset[0, 0], flat[0], low[0])[None]
            else:
                product = torch.baddbmm(offset, flat, low)
    return product.transpose(1, 2).unflatten(2, features.shape[2:])


@cache
def _ones(count: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return ones, made once: a CUDA graph needs no kernel for them."""
    return torch.ones(count, device=device, dtype=dtype)


def _square(values: torch.Tensor) -> torch.Tensor:
    flat = values.flatten()
    return torch.dot(flat, flat)


def _in_memory_order(values: torch.Tensor) -> torch.Tensor:
    """Return the values of (B, C, H, W) as a vector, a view if they are channels last."""
    if values.is_contiguous():
        return values.flatten()
    return values.permute(0, 2, 3, 1).flatten()
