"""Pictures per second of a transformation network, one by one and in batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from measure import compare

from nstbench import registry
from nstbench.conformance import example
from nstbench.contracts import Picture
from nstbench.flops import count_flops
from nstbench.nn.inference import for_inference
from nstbench.nn.loss_network import fast_precision


def network_of(method: Any) -> torch.nn.Module:
    """Return the network of a method with weights that no training has seen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: torch.nn.Module = method.build(method.params)
    return network.eval().requires_grad_(False)


@pytest.mark.bench
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", ["johnson_2016", "ulyanov_2016"])
def test_a_picture_takes_less_than_in_plain_eager(benchmark, device, name, batch):
    cls = registry.load("methods", name)
    method: Any = cls(cls.Params())
    yardstick = network_of(method).to(device)
    method.device = device
    method.network = for_inference(network_of(method), method.params, device)
    size = 512 if device.type == "cuda" else 256
    pixels = example(size, size).pixels.repeat(batch, 1, 1, 1).to(device)
    content = Picture(pixels, "content")

    def own() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        output: torch.Tensor = method.stylize(content, generator=generator, on_step=lambda _: None)
        return output

    def theirs() -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = method.apply(yardstick, pixels, torch.Generator().manual_seed(0))
        return output

    close = (own() - theirs()).abs().mean()
    row = compare(
        benchmark,
        own,
        theirs,
        case=f"{method.info.title}, {batch} at a time, {size} px",
        yardstick="plain float32 NCHW",
        limit=0.8 if fast_precision(device) != torch.float32 else 1.1,
        device=device,
        flops=float(count_flops(own) or 0),
        dtype=fast_precision(device),
    )
    benchmark.extra_info["pictures_per_second"] = batch / row.ours
    # the mean over the picture of two number formats, in units of [0, 1]
    assert close < 0.02
    assert row.ratio <= row.limit
