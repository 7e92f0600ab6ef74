"""Trained networks as in a run, and as float32 NCHW in eager mode, for measurements of speed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from plain_gatys import plain_step
from torch import nn

from nstbench.contracts import Picture
from nstbench.core.records import Role
from nstbench.generate.conformance.method_checks import example
from nstbench.nn.generators.decoder import MirroredDecoder
from nstbench.nn.generators.runtime import for_inference
from nstbench.nn.generators.transformation_network import TransformationNetwork
from nstbench.pictures.picture import load_picture
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry

_Pass = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """One stylisation in two ways; both return float (B, 3, H, W) in [0, 1].

    Attributes:
        title: the method's title.
        own: call of the method.
        plain: the same network in float32, NCHW, eager, without a graph.
    """

    title: str
    own: Callable[[], torch.Tensor]
    plain: Callable[[], torch.Tensor]


def network_pair(name: str, batch: int, size: int, device: torch.device) -> NetworkPair:
    """Return a method of one pass and its plain network, for a batch of equal pictures.

    Methods with one network per style have random weights; the others have the shipped ones and
    the first style of the starter dataset.
    """
    pixels = example(size, size).pixels.repeat(batch, 1, 1, 1).to(device)
    method, plain = (
        _ONE_PASS[name](name, size, device) if name in _ONE_PASS else _drawn(name, device)
    )
    content = Picture(pixels, "content")

    def own() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        output: torch.Tensor = method.stylize(content, generator=generator, on_step=lambda _: None)
        return output

    def theirs() -> torch.Tensor:
        with torch.no_grad():
            return plain(pixels)

    return NetworkPair(method.info.title, own, theirs)


def network_of(method: Any) -> nn.Module:
    """Return the network of a method with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = method.build(method.params)
    return network.eval().requires_grad_(False)


def prepared(name: str, params: dict[str, Any], size: int, device: torch.device) -> Any:
    """Return a method that is prepared for a starter style."""
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params(**params))
    method.load(device)
    method.prepare(_style(size, device))
    return method


def _style(size: int, device: torch.device) -> Picture:
    """Return the first style of the starter dataset."""
    style = open_dataset("starter", "styles").load(Role.STYLE).images[0]
    return load_picture(style, size, "inside", str(device))


def _drawn(name: str, device: torch.device) -> tuple[Any, _Pass]:
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params())
    usual = _plain(network_of(method).to(device))
    method.device = device
    method.network = for_inference(network_of(method), method.params, device)
    return method, usual


def _exact(name: str, size: int, device: torch.device) -> tuple[Any, Any]:
    """Return a prepared method, and another one in float32."""
    return prepared(name, {}, size, device), prepared(name, {"precision": "float32"}, size, device)


def _plain(network: nn.Module) -> nn.Module:
    """Return a copy of a float32 network whose weights and maps have channels before positions."""
    copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if isinstance(copied, TransformationNetwork):
        assert getattr(copied, "fused", None) is None
        bordered = copied._bordered
        copied._bordered = lambda pixels: bordered(pixels).contiguous()  # type: ignore[method-assign]
    return copied


def _dumoulin(name: str, size: int, device: torch.device) -> tuple[Any, _Pass]:
    method, exact = _exact(name, size, device)
    network, condition = _plain(exact.network), exact._condition
    return method, lambda x: network(x, condition)


def _adain(name: str, size: int, device: torch.device) -> tuple[Any, _Pass]:
    method, exact = _exact(name, size, device)
    vgg = exact.encoder
    steps = [plain_step(vgg.get_submodule(layer)) for layer in vgg.layers]
    encoder = _plain(nn.Sequential(*steps[: vgg.layers.index("relu4_1") + 1]))
    decoder = _plain(_module_of(exact, MirroredDecoder))

    def moments(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = encoder((pixels - vgg.mean) / vgg.std)
        variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True, correction=0)
        return features, mean, variance.clamp_min(1e-5).sqrt()

    with torch.no_grad():
        _, style_mean, style_std = moments(_style(size, device).pixels)

    def stylised(x: torch.Tensor) -> torch.Tensor:
        features, mean, std = moments(x)
        pixels: torch.Tensor = decoder((features - mean) / std * style_std + style_mean)
        return pixels.clamp(0.0, 1.0)

    return method, stylised


def _module_of(method: Any, kind: type[nn.Module]) -> nn.Module:
    """Return the first module of a class in the attributes of a method."""
    networks = [value for value in vars(method).values() if isinstance(value, nn.Module)]
    return next(m for network in networks for m in network.modules() if isinstance(m, kind))


_ONE_PASS = {"dumoulin_2017": _dumoulin, "adain_2017": _adain}
