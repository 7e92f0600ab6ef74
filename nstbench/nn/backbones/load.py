"""Feature networks by name, as in ``Features.network`` of the contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from nstbench.contracts import Weight
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.nn.backbones.alexnet import ALEXNET, AlexNet
from nstbench.nn.backbones.artscore import ARTSCORE, ArtScoreNetwork
from nstbench.nn.backbones.inception import (
    ART_INCEPTION,
    INCEPTION,
    TORCHVISION_INCEPTION,
    ArtInception,
    Inception,
    InceptionPlaces,
)
from nstbench.nn.backbones.lpips import LPIPS_ALEX, LPIPS_VGG
from nstbench.nn.backbones.vgg import VGG16, VGG16_BLOCKS, VGG19, VGG19_BLOCKS, Pooling, Vgg
from nstbench.nn.backbones.vit import Vit
from nstbench.nn.backbones.vit_weights import (
    CLIP_B32,
    CLIP_B32_DESIGN,
    CSD_L14,
    CSD_L14_DESIGN,
    DINO_B8,
    DINO_B8_DESIGN,
)
from nstbench.nn.layers.layered import LayeredNetwork

SHARED_WEIGHTS: tuple[Weight, ...] = (
    VGG16, ALEXNET, LPIPS_ALEX, LPIPS_VGG, VGG19, INCEPTION, ART_INCEPTION,
    TORCHVISION_INCEPTION, CLIP_B32, CSD_L14, DINO_B8, ARTSCORE,
)  # fmt: skip
"""Weights that several plug-ins use, for ``nstbench weights`` and ``nstbench doctor``."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A feature network: its weights, and a function that builds it for a kind of pooling."""

    weight: Weight
    build: Callable[[Pooling], LayeredNetwork]


def _as_trained(build: Callable[[], LayeredNetwork]) -> Callable[[Pooling], LayeredNetwork]:
    """Return a builder for a network whose pooling is part of its architecture."""

    def checked(pooling: Pooling) -> LayeredNetwork:
        network = build()
        if pooling != "max":
            raise UsageError(
                f"{type(network).__name__} has max pooling only; use vgg16 or vgg19 for others"
            )
        return network

    return checked


BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        "vgg16": Backbone(VGG16, lambda pooling: Vgg(VGG16_BLOCKS, pooling)),
        "vgg19": Backbone(VGG19, lambda pooling: Vgg(VGG19_BLOCKS, pooling)),
        "alexnet": Backbone(ALEXNET, _as_trained(AlexNet)),
        "inception": Backbone(INCEPTION, _as_trained(Inception)),
        "art_inception": Backbone(ART_INCEPTION, _as_trained(ArtInception)),
        "inception_places": Backbone(TORCHVISION_INCEPTION, _as_trained(InceptionPlaces)),
        "clip_vit_b32": Backbone(CLIP_B32, _as_trained(lambda: Vit(CLIP_B32_DESIGN, clip=True))),
        "csd_vit_l14": Backbone(CSD_L14, _as_trained(lambda: Vit(CSD_L14_DESIGN, clip=True))),
        "dino_vit_b8": Backbone(DINO_B8, _as_trained(lambda: Vit(DINO_B8_DESIGN, clip=False))),
        "artscore": Backbone(ARTSCORE, _as_trained(ArtScoreNetwork)),
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

    Its weights are in channels-last order, and so are its activations. On CPUs and on GPUs
    this is the faster order for 3 x 3 convolutions.

    Args:
        name: a key of ``BACKBONES``.
        device: device of the network.
        pooling: ``"max"`` as trained, or ``"average"`` (VGG only).

    Raises:
        UsageError: if there is no network of that name, or not with that pooling.
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """
    backbone = _backbone(name)
    network = backbone.build(pooling).with_weights(backbone.weight)
    # torch's stubs know the memory format of tensors only.
    return network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]


def on_network(network: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Return ``network-statistic`` tags (``MethodInfo.trained_on``) with another network.

    Example:
        >>> on_network("vgg19", ["vgg16-gram", "vgg16-content"])
        ('vgg19-gram', 'vgg19-content')
    """
    return tuple(f"{network}-{tag.partition('-')[2]}" for tag in tags)


def _backbone(name: str) -> Backbone:
    if name not in BACKBONES:
        raise UsageError(f"there is no network {name!r}.{did_you_mean(name, BACKBONES)}")
    return BACKBONES[name]
