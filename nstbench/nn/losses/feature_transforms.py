"""Transforms that give activations the statistics of a style: AdaIN, whitening and colouring.

Huang and Belongie (arXiv 1703.06868, eq. 8) match mean and standard deviation of every
channel; Li et al. (arXiv 1705.08086, eqs. 2 and 3) match the whole covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nstbench.nn.losses.wide_products import wide_product

# The code of AdaIN adds this to variances (AdaptiveInstanceNormalization.lua).
VARIANCE_FLOOR = 1e-5
# The code of WCT drops directions with less variance (feature_wct in utils.lua).
LEAST_EIGENVALUE = 1e-5
# Error of an eigenvalue in float32, in roundings of the largest; 2 were seen for 512 channels.
_ROUNDINGS = 8
# An eigenvalue in float32 must exceed its error by this factor.
_MARGIN = 32


def channel_moments(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of each channel, each (B, C, 1, 1).

    Both are computed in float32 at least. The deviation is differentiable at zero, where it
    is the square root of ``VARIANCE_FLOOR``; larger ones are exact and divide by H W.

    Args:
        features: activations (B, C, H, W).
    """
    wide = features if features.dtype == torch.float64 else features.float()
    variance, mean = torch.var_mean(wide, dim=(-2, -1), keepdim=True, correction=0)
    return mean, variance.clamp_min(VARIANCE_FLOOR).sqrt()


def adain(content: torch.Tensor, style_mean: torch.Tensor, style_std: torch.Tensor) -> torch.Tensor:
    """Return the content's activations with the style's mean and deviation per channel.

    A channel without variance in the content gets the style's mean everywhere.

    Args:
        content: activations (B, C, H, W).
        style_mean: (B or 1, C, 1, 1).
        style_std: (B or 1, C, 1, 1).

    Returns:
        (B, C, H, W), float32 at least.
    """
    mean, std = channel_moments(content)
    return (content - mean) * (style_std / std) + style_mean


@dataclass(frozen=True, slots=True)
class Colouring:
    """Statistics of a style for whitening and colouring.

    Both are float64 on CPUs and float32 on GPUs.

    Attributes:
        mean: (C, 1), mean of the style's activations.
        root: (C, C), symmetric square root of their covariance.
    """

    mean: torch.Tensor
    root: torch.Tensor


def colouring(style: torch.Tensor) -> Colouring:
    """Return mean and root of the covariance of a style's activations (1, C, H, W) (eq. 3)."""
    if style.is_cuda:
        (mean,), (root,) = moments_at_once(style[:1], 0.5)
        return Colouring(mean, root)
    centred, mean = _centred(style)
    return Colouring(mean, _covariance_power(centred, 0.5))


def whiten_and_colour(content: torch.Tensor, style: Colouring) -> torch.Tensor:
    """Return activations with the style's mean and covariance (Li et al., eqs. 2 and 3).

    Covariances divide by N - 1, as the authors' code does, and directions with an eigenvalue
    below ``LEAST_EIGENVALUE`` are dropped. If the content has more channels than positions, it
    has too few directions for the style's whole covariance. The covariance of the result is then
    that of the style, projected on the subspace of the content.

    Args:
        content: activations (B, C, H, W). CPUs transform the pictures one by one.
        style: from :func:`colouring`, on the same device.

    Returns:
        (B, C, H, W), float64 on CPUs and float32 on GPUs.
    """
    if content.is_cuda:
        return transformed_at_once(content, style)
    results = []
    for one in content.split(1):
        centred, _ = _centred(one)
        whitened = _covariance_power(centred, -0.5) @ centred
        results.append((style.root @ whitened + style.mean).unflatten(1, one.shape[2:]))
    return torch.stack(results)


def transformed_at_once(content: torch.Tensor, style: Colouring) -> torch.Tensor:
    """Return what :func:`whiten_and_colour` does, float32, for all pictures in a few kernels."""
    # autocast would multiply float32 in half precision
    with torch.autocast(content.device.type, enabled=False):
        flat = content.float().flatten(2)
        means, whitening = moments_at_once(content, -0.5)
        both = style.root.float() @ whitening
        return (both @ (flat - means) + style.mean.float()).unflatten(2, content.shape[2:])


def moments_at_once(features: torch.Tensor, exponent: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return means (B, C, 1) and powers of covariances (B, C, C), float32, of (B, C, H, W).

    The covariances are decomposed in one batch in float32, and in float64 where that does not
    converge or is too inexact; see :func:`_reliable`.
    """
    flat = features.float().flatten(2)
    means = flat.mean(dim=2, keepdim=True)
    divisor = max(1, flat.shape[2] - 1)
    centred = flat - means
    # few channels and many positions: one product would leave most of a GPU idle
    covariances = wide_product(centred, centred) / divisor
    try:
        values, vectors = torch.linalg.eigh(covariances)
        doubtful = ~_reliable(values, vectors)
        values, vectors = values.double(), vectors.double()
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        values = covariances.new_zeros(covariances.shape[:2], dtype=torch.float64)
        vectors = torch.zeros_like(covariances, dtype=torch.float64)
        doubtful = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    if bool(doubtful.any()):
        wide = features[doubtful].double().flatten(2)
        wide = wide - wide.mean(dim=2, keepdim=True)
        values[doubtful], vectors[doubtful] = torch.linalg.eigh(wide_product(wide, wide) / divisor)
    factors = torch.where(values > LEAST_EIGENVALUE, values, 1.0).pow(exponent)
    factors = torch.where(values > LEAST_EIGENVALUE, factors, 0.0)
    return means, ((vectors * factors[:, None]) @ vectors.mT).float()


def _reliable(values: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Return which decompositions of float32 (B, C), (B, C, C) are exact enough, bool (B,).

    The error of an eigenvalue is a few roundings of the largest one. All eigenvalues must be
    either clearly below the limit, and thus dropped, or so large that the error is a few percent.
    """
    finite = torch.isfinite(values).all(dim=1) & torch.isfinite(vectors).all(dim=2).all(dim=1)
    error = _ROUNDINGS * torch.finfo(values.dtype).eps * values[:, -1:].abs()
    dropped = values < LEAST_EIGENVALUE - error
    exact = (values > LEAST_EIGENVALUE + error) & (values > _MARGIN * error)
    return finite & (dropped | exact).all(dim=1)


def _centred(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return activations as float64 (C, N) without their mean, and the mean (C, 1)."""
    flat = features.double().flatten(2).squeeze(0)
    mean = flat.mean(dim=1, keepdim=True)
    return flat - mean, mean


def _covariance_power(centred: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return E D^exponent E^T (C, C), where E D E^T is the covariance of (C, N)."""
    covariance = centred @ centred.T / max(1, centred.shape[1] - 1)
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > LEAST_EIGENVALUE
    vectors = vectors[:, kept]
    return (vectors * values[kept].pow(exponent)) @ vectors.T
