"""One iteration of ``gatys_2015`` against other implementations of its losses."""

from __future__ import annotations

import importlib
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gatys_pair import RATE, STYLE, descend, ours, plain, vgg19_topology
from measure import compare, without_tf32
from plain_gatys import plain_step

from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision
from nstbench.nn.layers.layered import LayeredNetwork

pytestmark = pytest.mark.usefixtures("as_in_a_worker")


def steps_on(device: torch.device) -> int:
    """Return the steps of a round: on a GPU as many as make the capture of a graph negligible."""
    return 200 if device.type == "cuda" else 3


def must_be_fast(device: torch.device) -> None:
    """Skip if there is no fast dtype, because the limits assume one."""
    if fast_precision(device) == torch.float32:
        pytest.skip(f"{device} does not multiply bfloat16 natively")


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, pytest.param(512, marks=pytest.mark.bench)])
def test_an_iteration_takes_at_most_055_of_the_plain_one(benchmark, device, size):
    must_be_fast(device)
    content, style, objective = ours(size, device)
    usual = plain(content, style)
    one_step = count_flops(lambda: descend(content.pixels, objective, 1))
    steps = steps_on(device)

    def theirs() -> None:
        with without_tf32():
            usual.optimise(content.pixels, steps, RATE)

    row = compare(
        benchmark,
        lambda: descend(content.pixels, objective, steps),
        theirs,
        case=f"Gatys, {steps} iterations of Adam, VGG-19 to relu5_1, {size} px",
        compared_with="plain float32 NCHW",
        limit=0.55 if device.type == "cpu" else 0.25,
        rounds=7 if size == 256 else 5,
        device=device,
        flops=None if one_step is None else float(one_step * steps),
        dtype=fast_precision(device),
    )
    assert row.ratio <= row.limit


@pytest.mark.bench
@pytest.mark.parametrize("size", [256, 512])
def test_an_iteration_takes_at_most_035_of_pystiches(benchmark, device, size):
    must_be_fast(device)
    content, style, objective = ours(size, device)
    loss = pystiche_loss(content.pixels, style.pixels)
    steps = steps_on(device)

    def theirs() -> None:
        pixels = content.pixels.clone().requires_grad_()
        optimizer = torch.optim.Adam([pixels], lr=RATE)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(pixels).backward()
            optimizer.step()

    row = compare(
        benchmark,
        lambda: descend(content.pixels, objective, steps),
        theirs,
        case=f"Gatys, {steps} iterations of Adam, VGG-19 to relu5_1, {size} px",
        compared_with="pystiche 1.0.1",
        limit=0.35,
        rounds=5 if size == 256 else 3,
        device=device,
    )
    assert row.ratio <= row.limit


def pystiche_loss(content: torch.Tensor, style: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return pystiche's perceptual loss with the same layers and network."""
    ensure_torchvision()
    for name in ("alexnet", "vgg"):
        # pystiche reads weight addresses that torchvision no longer has; they are not needed
        module = importlib.import_module(f"torchvision.models.{name}")
        if not hasattr(module, "model_urls"):
            module.model_urls = defaultdict(str)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pystiche import enc, loss

    network = vgg19_topology().to(content.device)
    steps = [(name, plain_step(network.get_submodule(name))) for name in network.layers]
    encoder = enc.MultiLayerEncoder([("normalise", Normalise(network)), *steps])
    perceptual = loss.PerceptualLoss(
        loss.FeatureReconstructionLoss(encoder.extract_encoder("relu4_2")),
        loss.MultiLayerEncodingLoss(
            encoder,
            tuple(STYLE),
            lambda part, weight: loss.GramLoss(part, score_weight=weight),
            layer_weights=[1000.0 / channels**2 for channels in STYLE.values()],
        ),
    ).to(content.device)
    perceptual.set_content_image(content)
    perceptual.set_style_image(style)
    return lambda pixels: perceptual(pixels).total()


class Normalise(torch.nn.Module):
    """A network's own normalisation of pictures."""

    def __init__(self, network: LayeredNetwork) -> None:
        super().__init__()
        self.register_buffer("mean", network.mean)
        self.register_buffer("std", network.std)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return normalised pixels."""
        return (pixels - self.mean) / self.std


@pytest.mark.slow
@pytest.mark.parametrize("size", [96, pytest.param(256, marks=pytest.mark.bench)])
def test_a_hundred_iterations_reach_the_loss_of_the_plain_ones(benchmark, device, size):
    content, style, objective = ours(size, device)
    usual = plain(content, style)
    # Optimisation from noise takes the most steps.
    start = torch.rand(content.pixels.shape, generator=torch.Generator().manual_seed(1)).to(device)
    found: list[torch.Tensor] = []
    theirs: list[torch.Tensor] = []
    compare(
        benchmark,
        lambda: found.append(descend(start, objective, 100)),
        lambda: theirs.append(usual.optimise(start, 100, RATE)),
        case=f"Gatys, 100 iterations of Adam, final loss within 2 %, {size} px",
        compared_with="plain float32 NCHW",
        rounds=1,
        warm_up=False,
        device=device,
    )
    with torch.no_grad():
        own_loss, their_loss = (float(sum(usual(p[-1]))) for p in (found, theirs))
        first_loss = float(sum(usual(start)))
    benchmark.extra_info |= {"loss": own_loss, "yardstick_loss": their_loss}
    assert their_loss < 0.1 * first_loss
    assert own_loss == pytest.approx(their_loss, rel=0.02)
