"""The feature networks by name: what the ``network`` of a metric's features refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from nstbench.errors import UsageError, did_you_mean
from nstbench.nn.alexnet import ALEXNET, AlexNet
from nstbench.nn.layered import LayeredNetwork
from nstbench.nn.lpips import LPIPS_ALEX, LPIPS_VGG
from nstbench.nn.vgg import VGG16, VGG16_BLOCKS, VGG19, VGG19_BLOCKS, Pooling, Vgg
from nstbench.weights import Weight

SHARED_WEIGHTS: tuple[Weight, ...] = (VGG16, ALEXNET, LPIPS_ALEX, LPIPS_VGG, VGG19)
"""Weights that belong to no single plug-in, for ``nstbench weights`` and ``nstbench doctor``."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A feature network: its weights and how to build it for a kind of pooling."""

    weight: Weight
    build: Callable[[Pooling], LayeredNetwork]


def _alexnet(pooling: Pooling) -> LayeredNetwork:
    if pooling != "max":
        raise UsageError("alexnet has max pooling only: its pools overlap, as it was trained")
    return AlexNet()


BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        "vgg16": Backbone(VGG16, lambda pooling: Vgg(VGG16_BLOCKS, pooling)),
        "vgg19": Backbone(VGG19, lambda pooling: Vgg(VGG19_BLOCKS, pooling)),
        "alexnet": Backbone(ALEXNET, _alexnet),
    }
)


def backbone_weight(name: str) -> Weight:
    """Return the weights of a feature network.

    Raises:
        UsageError: if there is no network of that name.
    """
    return _backbone(name).weight


def load_backbone(
    name: str, device: torch.device | str = "cpu", pooling: Pooling = "max"
) -> LayeredNetwork:
    """Return a feature network with its ImageNet weights: frozen, in evaluation mode.

    Its weights lie in channels-last order, so its activations do, too; on CPUs and GPUs
    alike that is the faster order for 3 x 3 convolutions.

    Args:
        name: ``"vgg16"``, ``"vgg19"`` or ``"alexnet"``.
        device: where to put it.
        pooling: ``"max"`` as trained, or ``"average"`` (VGG only).

    Raises:
        UsageError: if there is no network of that name, or not with that pooling.
        WeightsError: see :func:`nstbench.weights.path`.
    """
    backbone = _backbone(name)
    network = backbone.build(pooling).with_weights(backbone.weight)
    # torch's stubs know the memory format of tensors only.
    return network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise UsageError(f"there is no network {name!r}.{did_you_mean(name, BACKBONES)}")
    return BACKBONES[name]
