"""Losses of image-optimisation methods, with gradients that are cheap to compute.

Sums are computed in float32 at least, for activations of any precision; gradients have the
precision of the activations. No function waits for the device, and GPUs use the functions of
:mod:`nstbench.nn.losses.gpu_terms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from nstbench.nn.losses import gpu_terms

# One unit of torchvision's normalised input, on the 0-255 scale of the Caffe networks: 255 times
# the mean of torchvision's three standard deviations. VGG is positively homogeneous up to its
# biases, which both trainings scaled alike, so activations differ by the same factor.
CAFFE_SCALE = 255.0 * (0.229 + 0.224 + 0.225) / 3.0


def gram_energy(
    features: torch.Tensor, target: torch.Tensor, shift: float = 0.0, positions: float | None = None
) -> torch.Tensor:
    """Return sum((G - A)^2) with G = (F + s)(F + s)^T / N; differentiable in ``features``.

    Gatys et al. (arXiv 1508.06576, eq. 4) multiply it by 1 / (4 C^2) to get E_l. The gradient
    4/N (G - A) (F + s) is computed by one matrix product; differentiating F F^T would need two.

    Args:
        features: activations F, (B, C, H, W), float32 or bfloat16.
        target: Gram matrix A, float32 (B or 1, C, C), divided by its own N.
        shift: s, added to every activation (Novak and Nikulin, arXiv 1605.04603, section 3.3).
        positions: N; H * W by default.

    Returns:
        0-d float32 tensor, summed over the batch.
    """
    count = float(features.shape[-2] * features.shape[-1]) if positions is None else positions
    if features.is_cuda:
        return gpu_terms.gram_distance(features, target, shift, count)
    energy: torch.Tensor = _GramEnergy.apply(features, target, shift, count)
    return energy


class _GramEnergy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, target: torch.Tensor, shift: float, count: float
    ) -> torch.Tensor:
        # A view in both memory formats; half precision is not exact enough for sums over N.
        flat = _wide(features.flatten(2))
        flat = flat + shift if shift else flat
        difference = torch.baddbmm(
            target.expand(len(flat), -1, -1), flat, flat.transpose(1, 2), beta=-1, alpha=1 / count
        )
        ctx.save_for_backward(features, difference)
        ctx.shift, ctx.count = shift, count
        flat = difference.flatten()
        return torch.dot(flat, flat)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, difference = ctx.saved_tensors
        weight = torch.empty_like(difference, dtype=features.dtype)
        torch.mul(difference, grad * (4 / ctx.count), out=weight)
        flat = features.flatten(2)
        flat = flat + ctx.shift if ctx.shift else flat
        # Positions first, so that the result needs no reordering in channels-last order.
        product = torch.bmm(flat.transpose(1, 2), weight).transpose(1, 2)
        return product.unflatten(2, features.shape[2:]), None, None, None


def cross_gram(shallow: torch.Tensor, deep: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    """Return the Gram matrix of two layers, (F + s)(up(H) + s)^T / N, (B, C, D).

    Novak and Nikulin (arXiv 1605.04603) enlarge the deeper map H to the size of F. With
    nearest-neighbour enlargement this equals averaging F over the positions that share a value
    of H, if the sizes of F are multiples of those of H, at a fraction of the cost. Otherwise (a
    map of odd size was pooled) the averaged windows overlap and the result is approximate.

    Args:
        shallow: activations F, (B, C, H, W).
        deep: activations of a layer that is not larger, (B, D, H', W').
        shift: s.
    """
    shallow = _averaged_to(shallow, deep)
    left, right = _wide(shallow.flatten(2)) + shift, _wide(deep.flatten(2)) + shift
    return torch.bmm(left, right.transpose(1, 2)) / left.shape[-1]


def cross_energy(
    shallow: torch.Tensor, deep: torch.Tensor, target: torch.Tensor, shift: float = 0.0
) -> torch.Tensor:
    """Return sum((G - A)^2) with G from :func:`cross_gram`, 0-d float32; differentiable.

    Args:
        shallow: activations F, (B, C, H, W).
        deep: activations of a layer that is not larger, (B, D, H', W').
        target: Gram matrix A, float32 (B or 1, C, D).
        shift: s.
    """
    if shallow.is_cuda:
        return gpu_terms.cross_distance(_averaged_to(shallow, deep), deep, target, shift)
    return (cross_gram(shallow, deep, shift) - target).square().sum()


def _averaged_to(shallow: torch.Tensor, deep: torch.Tensor) -> torch.Tensor:
    """Return activations averaged down to the height and width of others."""
    height, width = deep.shape[-2:]
    if shallow.shape[-2:] == (height, width):
        return shallow
    down, across = shallow.shape[-2] / height, shallow.shape[-1] / width
    if shallow.is_cuda and down.is_integer() and across.is_integer():
        # the gradient of adaptive pooling is added up in any order, which differs between runs
        return F.avg_pool2d(shallow, (int(down), int(across)))
    return F.adaptive_avg_pool2d(shallow, (height, width))


class WeightedSum:
    """A sum of 0-d values with fixed weights, in two kernels on a GPU.

    Args:
        weights: one per value.

    Example:
        >>> WeightedSum([2.0, 3.0])([torch.tensor(1.0), torch.tensor(10.0)])
        tensor(32.)
    """

    def __init__(self, weights: Iterable[float]) -> None:
        self._weights = tuple(weights)
        self._on_gpu: torch.Tensor | None = None

    def __call__(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the sum, 0-d; differentiable once.

        The first call moves the weights to the GPU, so a CUDA graph must not record it.
        """
        if not values[0].is_cuda:
            weighted = [w * value for w, value in zip(self._weights, values, strict=True)]
            return torch.stack(weighted).sum()
        if self._on_gpu is None:
            self._on_gpu = torch.tensor(self._weights, device=values[0].device)
        return gpu_terms.weighted_sum(values, self._on_gpu)


class GramLoss:
    """The weighted sum over layers of :func:`gram_energy`.

    Args:
        targets: layer -> Gram matrix, float32 (B or 1, C, C), divided by its own N.
        weights: of the layers, in the same order.
    """

    def __init__(self, targets: Mapping[str, torch.Tensor], weights: Iterable[float]) -> None:
        self._targets, self._weights = dict(targets), tuple(weights)
        self._add_up = WeightedSum(self._weights)
        self._joined: torch.Tensor | None = None

    def __call__(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of layer -> activations (B, C, H, W), 0-d; differentiable once.

        The first call prepares the targets, so a CUDA graph must not record it.
        """
        layers = [features[name] for name in self._targets]
        single = all(
            layer.is_cuda and len(layer) == len(target) == 1
            for layer, target in zip(layers, self._targets.values(), strict=True)
        )
        if not single or min(self._weights) < 0:
            targets = self._targets.values()
            return self._add_up([gram_energy(f, a) for f, a in zip(layers, targets, strict=True)])
        if self._joined is None:
            self._joined = gpu_terms.joined_targets(list(self._targets.values()), self._weights)
        return gpu_terms.gram_distances(layers, self._joined, self._weights)


def added_up(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the sum of 0-d values."""
    return values[0] if len(values) == 1 else torch.stack(list(values)).sum()


def content_energy(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return sum((F - P)^2) over (B, C, H, W) as 0-d tensor; L_content of Gatys is half of it.

    Example:
        >>> content_energy(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
        tensor(4.)
    """
    if features.is_cuda:
        return gpu_terms.squared_distance(features, target)
    return (_wide(features) - _wide(target)).square().sum()


def total_variation(pixels: torch.Tensor, exponent: float = 2.0) -> torch.Tensor:
    """Return sum(((x_ij - x_i+1,j)^2 + (x_ij - x_i,j+1)^2)^(e/2)) of (B, C, H, W), 0-d.

    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them"
    (arXiv 1412.0035), eq. 6, with e = ``exponent``.
    """
    if pixels.is_cuda:
        return gpu_terms.variation(pixels, exponent)
    down = (pixels[..., 1:, :-1] - pixels[..., :-1, :-1]).square()
    right = (pixels[..., :-1, 1:] - pixels[..., :-1, :-1]).square()
    squared = down + right
    # Flat areas are zero, where the gradient of the root is infinite.
    return squared.sum() if exponent == 2.0 else (squared + 1e-8).pow(exponent / 2).sum()


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
