"""Convolutions with packed weights, and chains of them: results and gradients as torch's own."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.loss_network import fast_precision, lower_precision
from nstbench.nn.layers import frozen_chain, frozen_convolution, layered
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.layered import LayeredNetwork, convolution

LAST = torch.channels_last
LAYERS = ("conv1", "relu1", "conv2", "relu2", "pool1", "conv3", "relu3")

packs_here = pytest.mark.skipif(
    not frozen_convolution._works(torch.float32), reason="weights are packed on x86 by oneDNN only"
)


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator).contiguous(memory_format=LAST)


def frozen(**options: object) -> FrozenConvolution:
    torch.manual_seed(1)
    layer = FrozenConvolution(8, 12, 3, **options)
    return layer.to(memory_format=LAST).requires_grad_(False)


def plain(layer: FrozenConvolution, x: torch.Tensor) -> torch.Tensor:
    """Return the result of torch's own convolution, in the precision of ``x``."""
    twin = nn.Conv2d(
        8, 12, 3, layer.stride, layer.padding, layer.dilation, layer.groups,
        padding_mode=layer.padding_mode, dtype=x.dtype,
    )  # fmt: skip
    twin.load_state_dict({k: v.to(x.dtype) for k, v in layer.state_dict().items()})
    return twin(x)


@packs_here
@pytest.mark.parametrize(
    "options",
    [
        {}, {"padding": 1}, {"padding": 2, "stride": 2}, {"padding": (0, 1), "stride": (2, 1)},
        {"padding": 1, "padding_mode": "reflect"}, {"padding": 2, "padding_mode": "replicate"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("rectify", [False, True])
def test_result_is_that_of_float64(options, rectify):
    layer, x = frozen(**options), picture(2, 8, 17, 13)
    assert layer.packs(x)
    found = layer(x, rectify=rectify)
    expected = plain(layer, x.double())
    expected = expected.clamp_min(0) if rectify else expected
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    assert found.is_contiguous(memory_format=LAST)


@pytest.mark.skipif(fast_precision(torch.device("cpu")) != torch.bfloat16, reason="no bfloat16")
def test_bfloat16_rounds_as_torch_does():
    layer, x = frozen(padding=1).bfloat16(), picture(1, 8, 32, 32).bfloat16()
    assert layer.packs(x)
    assert torch.equal(layer(x), plain(layer, x))
    with torch.autocast("cpu", torch.bfloat16):
        layer, x = frozen(padding=1), x.float()
        assert layer.packs(x)
        assert torch.equal(layer(x), plain(layer, x))


@pytest.mark.parametrize(
    ("options", "make"),
    [
        ({"dilation": 2}, lambda x: x),
        ({"groups": 2}, lambda x: x),
        ({"padding": "same"}, lambda x: x),
        ({}, torch.Tensor.double),
        ({}, torch.Tensor.contiguous),
    ],
)
def test_unsupported_convolutions_are_those_of_torch(options, make):
    torch.manual_seed(1)
    layer = FrozenConvolution(8, 12, 3, **options).requires_grad_(False)
    x = make(picture(1, 8, 9, 9))
    layer.to(x.dtype)
    assert not layer.packs(x)
    assert torch.equal(layer(x), plain(layer, x))


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weights_that_learn_are_not_packed(name):
    layer, x = frozen(), picture(1, 8, 9, 9)
    getattr(layer, name).requires_grad_(True)
    assert not layer.packs(x)
    layer(x).sum().backward()
    assert getattr(layer, name).grad is not None


def test_weights_without_a_version_counter_are_not_packed():
    with torch.inference_mode():
        layer, x = frozen(), picture(1, 8, 9, 9)
        assert not layer.packs(x)
        before = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        torch.testing.assert_close(layer(x), 2 * before)


@packs_here
def test_nothing_is_packed_without_onednn(monkeypatch):
    layer, x = frozen(), picture(1, 8, 9, 9)
    assert layer.packs(x)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not layer.packs(x)


@packs_here
@pytest.mark.parametrize(
    "copy", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_packed_layers_can_be_copied(copy):
    layer, x = frozen(), picture(1, 8, 9, 9)
    layer(x)
    twin = copy(layer)
    assert not twin._packed
    assert torch.equal(twin(x), layer(x))


@packs_here
def test_packed_weights_are_dropped_for_another_dtype():
    layer, x = frozen(), picture(1, 8, 9, 9)
    layer(x)
    assert len(layer._packed) == 1
    layer.double()
    assert not layer._packed


@packs_here
def test_weights_are_packed_for_each_size_and_equal_copies_are_kept_once():
    layer = frozen()
    sizes = [(8, 8), (9, 9), (24, 40), (64, 64), (100, 20)]
    for height, width in sizes:
        x = picture(1, 8, height, width)
        torch.testing.assert_close(layer(x), plain(layer, x))
    copies = list(layer._packed.values())
    assert len(copies) == len(sizes)
    different = {id(packed): packed for packed in copies}.values()
    pairs = itertools.combinations(different, 2)
    assert not any(frozen_convolution.same_bytes(*pair) for pair in pairs)
    layer.weight.mul_(2)
    layer(x)
    assert len(layer._packed) == 1


REORDERS = """
import torch
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.winograd import use_winograd

torch.set_num_threads(2)
steps = [FrozenConvolution(i, o, k, padding=k // 2) for i, o, k in
         ((64, 192, 5), (192, 384, 3), (384, 256, 3), (512, 512, 3))]
network = torch.nn.ModuleList(steps).requires_grad_(False)
network.to(memory_format=torch.channels_last)
use_winograd(network)
pictures = [torch.rand(1, step.in_channels, side, side).to(memory_format=torch.channels_last)
            for step in network for side in (5, 15, 16, 33)]
with torch.inference_mode():
    for round in range(2):
        print(f"round {round}", flush=True)
        for x in pictures:
            step = next(step for step in network if step.in_channels == x.shape[1])
            assert step.packs(x)
            step(x)
"""


@packs_here
@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX2"])
def test_onednn_does_not_reorder_packed_weights_at_each_call(instructions):
    """Sizes for which another order is best are taken in turns; oneDNN reports what it executes."""
    environment = {"ONEDNN_VERBOSE": "1", "ONEDNN_MAX_CPU_ISA": instructions}
    made = subprocess.run(
        [sys.executable, "-c", REORDERS], env=os.environ | environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    first, second = made.stdout.split("round 1")
    assert ",convolution," in second
    assert ",reorder," in first
    assert ",reorder," not in second


@packs_here
@pytest.mark.parametrize("how", ["in place", "load", "assign", "double"])
def test_changed_weights_are_packed_again(how):
    layer, x = frozen(), picture(1, 8, 9, 9)
    layer(x)
    state = {name: 2 * value for name, value in layer.state_dict().items()}
    if how == "in place":
        layer.weight.mul_(2)
    elif how == "double":
        layer.double()
        x = x.double()
    else:
        layer.load_state_dict(state, assign=how == "assign")
    torch.testing.assert_close(layer(x), plain(layer, x))


class Chain(LayeredNetwork):
    """Two small VGG blocks, with weights that preserve the size of activations."""

    def __init__(self, pooling: nn.Module) -> None:
        steps = (
            ("conv1", convolution(3, 8, 3, 1, 1)), ("relu1", nn.ReLU()),
            ("conv2", convolution(8, 16, 3, 1, 1)), ("relu2", nn.ReLU()),
            ("pool1", pooling), ("conv3", convolution(16, 8, 3, 1, 1)), ("relu3", nn.ReLU()),
        )  # fmt: skip
        super().__init__(steps, min_size=2)
        self.to_empty(device="cpu")
        self.mean, self.std = torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.25)
        torch.manual_seed(2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                nn.init.normal_(module.bias, std=0.1)
        self.to(memory_format=LAST)


def gradient(network: LayeredNetwork, x: torch.Tensor, layers: Sequence[str]) -> torch.Tensor:
    """Return the gradient of a sum with a different weight for each position of each layer."""
    leaf = x.clone().requires_grad_()
    found = network(leaf, layers)
    assert list(found) == [name for name in network.layers if name in layers]
    total = torch.zeros((), dtype=x.dtype)
    for i, values in enumerate(found.values()):
        total = total + (values.to(x.dtype).sin() * picture(*values.shape, seed=i)).sum()
    (result,) = torch.autograd.grad(total, leaf)
    return result


@pytest.fixture
def chains(monkeypatch):
    """Return a list to which the names of each run chain are appended."""
    seen: list[list[str]] = []

    def watched(x, steps, wanted):
        seen.append([name for name, _ in steps])
        return frozen_chain.run_chain(x, steps, wanted)

    monkeypatch.setattr(layered, "run_chain", watched)
    return seen


@packs_here
@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2, 2), nn.AvgPool2d(2, 2), nn.MaxPool2d(3, 2)])
@pytest.mark.parametrize(
    "layers",
    [("relu3",), ("relu1", "relu3"), ("conv2", "relu2", "pool1"), ("conv1",), ("relu1",), LAYERS],
)
@pytest.mark.parametrize("height", [19, 28, 32], ids=["whole", "stripes", "more stripes"])
def test_gradient_is_that_of_float64(pooling, layers, height, chains):
    network, x = Chain(pooling), picture(2, 3, height, 22)
    found = gradient(network, x, layers)
    assert chains
    assert {"conv1"} <= set(chains[0])
    chains.clear()
    expected = gradient(network.double(), x.double(), layers)
    assert not chains
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@packs_here
def test_weights_that_change_before_the_backward_pass_are_an_error(chains):
    network, leaf = Chain(nn.MaxPool2d(2)), picture(1, 3, 12, 12).requires_grad_()
    found = network(leaf, ("relu3",))["relu3"]
    assert chains
    with torch.no_grad():
        network.conv2.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_wide_borders_are_differentiated_by_autograd(chains):
    network, leaf = Chain(nn.MaxPool2d(2)), picture(1, 3, 12, 12).requires_grad_()
    network.conv1 = FrozenConvolution(3, 8, 1, padding=1).requires_grad_(False)
    (found,) = network(leaf, ("conv1",)).values()
    assert not chains
    found.sum().backward()
    assert leaf.grad.shape == leaf.shape


@packs_here
def test_checkpointed_blocks_are_differentiated_by_autograd(chains):
    network, x = Chain(nn.MaxPool2d(2, 2)), picture(1, 3, 16, 16)
    expected = gradient(network, x, ("relu1", "relu3"))
    chains.clear()
    network.checkpointing = True
    found = gradient(network, x, ("relu1", "relu3"))
    assert not chains
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@packs_here
def test_autocast_is_differentiated_by_autograd(chains):
    network, x = Chain(nn.MaxPool2d(2, 2)), picture(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient(network, x, ("relu3",))
    assert not chains
    expected = gradient(network, x, ("relu3",))
    assert not torch.equal(found, expected)
    assert float((found - expected).norm() / expected.norm()) < 0.25


@packs_here
def test_layers_without_a_gradient_are_skipped_in_the_backward_pass(chains):
    network, leaf = Chain(nn.MaxPool2d(2, 2)), picture(1, 3, 16, 16).requires_grad_()
    found = network(leaf, ("relu1", "relu2"))
    assert chains
    (of_one,) = torch.autograd.grad(found["relu1"].sum(), leaf)
    (alone,) = torch.autograd.grad(network(leaf, ("relu1",))["relu1"].sum(), leaf)
    assert torch.equal(of_one, alone)


@packs_here
def test_incoming_gradients_are_not_changed(chains):
    network, leaf = Chain(nn.MaxPool2d(2, 2)), picture(1, 3, 16, 16).requires_grad_()
    found = list(network(leaf, ("relu1", "relu2")).values())
    given = [picture(*values.shape, seed=3) for values in found]
    copies = [values.clone() for values in given]
    torch.autograd.grad(found, leaf, given)
    assert chains
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))


@packs_here
def test_operations_are_counted_like_those_of_torch(chains, monkeypatch):
    network, x = Chain(nn.MaxPool2d(2, 2)), picture(1, 3, 16, 16)
    counted = count_flops(lambda: gradient(network, x, ("relu3",)))
    assert chains
    monkeypatch.setattr(layered, "is_chain", lambda *_: False)
    assert counted == count_flops(lambda: gradient(network, x, ("relu3",)))


@pytest.mark.skipif(fast_precision(torch.device("cpu")) != torch.bfloat16, reason="no bfloat16")
@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2, 2), nn.AvgPool2d(2, 2)])
@pytest.mark.parametrize("height", [19, 32])
def test_half_precision_rounds_as_autograd_does(pooling, height, chains, monkeypatch):
    network, x = Chain(pooling), picture(1, 3, height, 32)
    lower_precision(network, torch.bfloat16)
    found = gradient(network, x, ("relu1", "relu3"))
    assert chains
    monkeypatch.setattr(layered, "is_chain", lambda *_: False)
    expected = gradient(network, x, ("relu1", "relu3"))
    assert torch.equal(found, expected)
