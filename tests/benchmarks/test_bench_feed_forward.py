"""Pictures per second of trained networks, one by one and in batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from measure import compare

from nstbench.contracts import Picture
from nstbench.core.records import Role
from nstbench.generate.conformance.method_checks import example
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision
from nstbench.nn.generators.runtime import for_inference
from nstbench.pictures.picture import load_picture
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry

pytestmark = pytest.mark.usefixtures("as_in_a_worker")


def size_on(device: torch.device) -> int:
    """Return the side of the pictures in pixels, as in a run on this device."""
    return 512 if device.type == "cuda" else 256


def network_of(method: Any) -> torch.nn.Module:
    """Return the network of a method with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: torch.nn.Module = method.build(method.params)
    return network.eval().requires_grad_(False)


@pytest.mark.bench
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", ["johnson_2016", "ulyanov_2016"])
def test_a_picture_is_faster_than_in_plain_eager_mode(benchmark, device, name, batch):
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params())
    usual = network_of(method).to(device)
    method.device = device
    method.network = for_inference(network_of(method), method.params, device)
    size = size_on(device)
    pixels = example(size, size).pixels.repeat(batch, 1, 1, 1).to(device)
    content = Picture(pixels, "content")

    def own() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        output: torch.Tensor = method.stylize(content, generator=generator, on_step=lambda _: None)
        return output

    def theirs() -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = method.apply(usual, pixels, torch.Generator().manual_seed(0))
        return output

    close = (own() - theirs()).abs().mean()
    row = compare(
        benchmark,
        own,
        theirs,
        case=f"{method.info.title}, {batch} at a time, {size} px",
        compared_with="plain float32 NCHW",
        limit=0.8 if fast_precision(device) != torch.float32 else 1.1,
        device=device,
        flops=float(count_flops(own) or 0),
        dtype=fast_precision(device),
        pictures=batch,
    )
    # mean difference over the picture between both dtypes, in units of [0, 1]
    assert close < 0.02
    assert row.ratio <= row.limit


SHIPPED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dumoulin_2017", {}), ("ghiasi_2017", {"network": "own"}), ("adain_2017", {}),
    ("wct_2017", {}),
)  # fmt: skip
"""Methods of several networks, with the checkpoints that are shipped with nstbench."""


def prepared(name: str, params: dict[str, Any], size: int, device: torch.device) -> Any:
    """Return a method that is prepared for a starter style."""
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params(**params))
    method.load(device)
    style = open_dataset("starter", "styles").load(Role.STYLE).images[0]
    method.prepare(load_picture(style, size, "inside", str(device)))
    return method


@pytest.mark.bench
@pytest.mark.parametrize(("name", "params"), SHIPPED, ids=[name for name, _ in SHIPPED])
def test_a_picture_is_not_slower_than_in_float32(benchmark, device, name, params, network_weights):
    size = size_on(device)
    content = Picture(example(size, size).pixels.to(device), "content")
    own, exact = (
        prepared(name, params | {"precision": precision}, size, device)
        for precision in ("auto", "float32")
    )

    def stylize(method: Any) -> Any:
        generator = torch.Generator().manual_seed(0)
        return method.stylize(content, generator=generator, on_step=lambda _: None)

    row = compare(
        benchmark,
        partial(stylize, own),
        partial(stylize, exact),
        case=f"{own.info.title}, {size} px",
        compared_with="the same in float32",
        limit=1.0 if fast_precision(device) != torch.float32 else 1.1,
        device=device,
        flops=float(count_flops(partial(stylize, own)) or 0),
        dtype=fast_precision(device),
        pictures=1,
    )
    assert row.ratio <= row.limit
