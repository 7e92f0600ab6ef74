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
from nstbench.nn.generators.runtime import for_inference
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
    style = open_dataset("starter", "styles").load(Role.STYLE).images[0]
    method.prepare(load_picture(style, size, "inside", str(device)))
    return method


def _drawn(name: str, device: torch.device) -> tuple[Any, _Pass]:
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params())
    usual = network_of(method).to(device)
    method.device = device
    method.network = for_inference(network_of(method), method.params, device)
    return method, lambda x: method.apply(usual, x, torch.Generator().manual_seed(0))


def _exact(name: str, size: int, device: torch.device) -> tuple[Any, Any]:
    """Return a prepared method, and another one in float32."""
    return prepared(name, {}, size, device), prepared(name, {"precision": "float32"}, size, device)


def _plain(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _dumoulin(name: str, size: int, device: torch.device) -> tuple[Any, _Pass]:
    method, exact = _exact(name, size, device)
    network, condition = _plain(exact.network), exact._condition
    return method, lambda x: network(x, condition)


def _adain(name: str, size: int, device: torch.device) -> tuple[Any, _Pass]:
    method, exact = _exact(name, size, device)
    vgg = exact.encoder
    steps = [plain_step(vgg.get_submodule(layer)) for layer in vgg.layers]
    encoder = _plain(nn.Sequential(*steps[: vgg.layers.index("relu4_1") + 1]))
    decoder, ((mean, std),) = _plain(exact._decoder), exact._styles

    def stylised(x: torch.Tensor) -> torch.Tensor:
        features = encoder((x - vgg.mean) / vgg.std)
        own = features.std(dim=(2, 3), keepdim=True, unbiased=False)
        centred = features - features.mean(dim=(2, 3), keepdim=True)
        pixels: torch.Tensor = decoder(centred / own.clamp_min(1e-5**0.5) * std + mean)
        return pixels.clamp(0.0, 1.0)

    return method, stylised


_ONE_PASS = {"dumoulin_2017": _dumoulin, "adain_2017": _adain}
