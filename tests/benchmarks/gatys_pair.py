"""``gatys_2015`` and the plain implementation with the same network, for measurements of speed."""

from __future__ import annotations

from typing import Any

import torch
from plain_gatys import PlainGatys

from nstbench.contracts import Picture
from nstbench.generate.conformance.method_checks import example
from nstbench.nn.backbones.loss_network import fast_precision, lower_precision
from nstbench.nn.backbones.vgg import VGG19_BLOCKS, Vgg
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.terms import CAFFE_SCALE
from nstbench.nn.optimise.in_buffers import minimise_in_buffers
from nstbench.nn.optimise.minimise import LEARNING_RATES, Descent, Objective, minimise
from nstbench.plugins import registry

RATE = LEARNING_RATES["adam"]
STYLE = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
"""Layer -> channels."""


def vgg19_topology() -> LayeredNetwork:
    """Return VGG-19 with random weights that preserve the scale of activations."""
    network = Vgg(VGG19_BLOCKS, "max").to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name in network.layers:
        step = network.get_submodule(name)
        if isinstance(step, torch.nn.Conv2d):
            fan_in = step.weight[0].numel()
            step.weight.data.normal_(0.0, (2 / fan_in) ** 0.5, generator=generator)
            step.bias.data.zero_()
    shape = (1, 3, 1, 1)
    network.mean = torch.tensor((0.485, 0.456, 0.406)).view(shape)
    network.std = torch.tensor((0.229, 0.224, 0.225)).view(shape)
    return network.requires_grad_(False)


def on(device: torch.device, picture: Picture) -> Picture:
    """Return a picture on a device."""
    return Picture(picture.pixels.to(device), picture.name)


def method_with(size: int, device: torch.device, **params: Any) -> tuple[Any, Picture, Picture]:
    """Return gatys_2015 in its authors' convention with random weights, content and style.

    Args:
        size: side of both pictures in pixels.
        device: device of network and pictures.
        params: other parameters of the method.
    """
    cls = registry.load("methods", "gatys_2015")
    method: Any = cls(cls.Params(convention="author_code", **params))
    method.network = vgg19_topology().to(device)
    if fast_precision(device) != torch.float32:
        lower_precision(method.network, fast_precision(device))
    method.network.to(memory_format=torch.channels_last)
    content, style = (on(device, example(size, size, kind)) for kind in (0, 1))
    return method, content, style


def ours(size: int, device: torch.device) -> tuple[Picture, Picture, Objective]:
    """Return content, style and the objective of gatys_2015 in its authors' convention."""
    method, content, style = method_with(size, device)
    with torch.no_grad():
        targets = method.style_targets(style)
    return content, style, method.objective(content, targets, 1.0)


def plain(content: Picture, style: Picture) -> PlainGatys:
    """Return the plain implementation with the same layers and weights."""
    weights = {name: 1000.0 / channels**2 for name, channels in STYLE.items()}
    network = vgg19_topology().to(content.pixels.device)
    return PlainGatys(network, content.pixels, style.pixels, ("relu4_2",), weights, CAFFE_SCALE)


def descend(start: torch.Tensor, objective: Objective, steps: int) -> torch.Tensor:
    """Return the picture after some steps of Adam, by the loop that ``gatys_2015`` takes."""
    loop = minimise_in_buffers if start.is_cuda else minimise
    return loop(start, objective, Descent("adam", steps), lambda *_: None)
