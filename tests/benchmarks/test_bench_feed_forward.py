"""Pictures per second of trained networks, one by one and in batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from measure import compare, repeat, without_tf32
from network_pair import network_pair, prepared

from nstbench.contracts import Picture
from nstbench.generate.conformance.method_checks import example
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision

pytestmark = pytest.mark.usefixtures("as_in_a_worker")


def size_on(device: torch.device) -> int:
    """Return the side of the pictures in pixels, as in a run on this device."""
    return 512 if device.type == "cuda" else 256


@pytest.mark.bench
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("name", ["johnson_2016", "ulyanov_2016"])
def test_a_picture_is_faster_than_in_plain_eager_mode(benchmark, device, name, many):
    size, on_gpu = size_on(device), device.type == "cuda"
    batch = (8 if on_gpu else 4) if many else 1
    pair = network_pair(name, batch, size, device)
    # a call of a GPU is too short to be timed alone
    calls = (5 if many else 20) if on_gpu else 1

    def theirs() -> None:
        with without_tf32():
            repeat(pair.plain, calls)

    close = (pair.own() - pair.plain()).abs().mean()
    slowest = 1.1 if fast_precision(device) == torch.float32 else 0.8
    row = compare(
        benchmark,
        lambda: repeat(pair.own, calls),
        theirs,
        case=f"{pair.title}, {batch} at a time, {size} px",
        compared_with="plain float32 NCHW",
        limit=0.35 if on_gpu and not many else slowest,
        device=device,
        flops=float(calls * (count_flops(pair.plain) or 0)),
        dtype=fast_precision(device),
        pictures=batch * calls,
    )
    # mean difference over the picture between both dtypes, in units of [0, 1]
    assert close < 0.02
    assert row.ratio <= row.limit
    if on_gpu and many:
        assert row.share is not None
        assert row.share >= 0.30


SHIPPED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dumoulin_2017", {}), ("ghiasi_2017", {"network": "own"}), ("adain_2017", {}),
    ("wct_2017", {}),
)  # fmt: skip
"""Methods of several networks, with the checkpoints that are shipped with nstbench."""


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
