"""Winograd's convolutions: the same results as float64 convolutions, where they are used."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from nstbench.nn.layers.frozen_chain import fused
from nstbench.nn.layers.layered import LayeredNetwork, convolution
from nstbench.nn.layers.winograd import WinogradConvolution, use_winograd

CHANNELS = 128


class Small(LayeredNetwork):
    """A picture's colours, many channels, and one convolution that tiles can make faster."""

    def __init__(self, kernel: int = 3, stride: int = 1) -> None:
        steps = (
            ("conv1", convolution(3, CHANNELS, 3, 1, 1)),
            ("relu1", torch.nn.ReLU()),
            ("conv2", convolution(CHANNELS, 24, kernel, stride, 1)),
            ("relu2", torch.nn.ReLU()),
        )
        super().__init__(steps, min_size=3)
        generator = torch.Generator().manual_seed(0)
        for name, values in self.to_empty(device="cpu").state_dict().items():
            values.copy_(torch.randn(values.shape, generator=generator) / 34)
            assert name
        self.mean.zero_()
        self.std.fill_(1.0)
        self.requires_grad_(False).to(memory_format=torch.channels_last)


def expected(network: Small, x: torch.Tensor) -> torch.Tensor:
    steps = (network.conv1, network.conv2)
    h = x.double()
    for step in steps:
        h = F.conv2d(h, step.weight.double(), step.bias.double(), padding=1).relu()
    return h


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 33, 46), (2, 64, 35), (1, 36, 300)])
def test_tiles_equal_a_float64_convolution(shape: tuple[int, int, int]) -> None:
    count, height, width = shape
    network = Small()
    x = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    right = expected(network, x)
    use_winograd(network)
    assert isinstance(network.conv2, WinogradConvolution)
    with torch.inference_mode():
        seen = network(x, ["relu2"])["relu2"]
    assert seen.shape == right.shape
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert ((seen - right).norm() / right.norm()).item() < 3e-6


def test_the_activations_before_the_rectifier_can_be_read() -> None:
    network = Small()
    x = torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        direct = network(x, ["conv2", "relu2"])
        use_winograd(network)
        tiled = network(x, ["conv2", "relu2"])
    assert (tiled["conv2"] < 0).any()
    for name, values in direct.items():
        assert torch.allclose(tiled[name], values, atol=1e-5)


def test_few_positions_and_other_kernels_are_convolved_directly() -> None:
    x = torch.rand(1, 3, 16, 16)
    network = Small()
    with torch.inference_mode():
        direct = network(x, ["relu2"])["relu2"]
        use_winograd(network)
        assert torch.equal(network(x, ["relu2"])["relu2"], direct)
    assert not isinstance(network.conv1, WinogradConvolution)
    for other in (Small(kernel=5), Small(stride=2)):
        use_winograd(other)
        assert not isinstance(other.conv2, WinogradConvolution)


def test_layers_keep_their_order_and_their_weights() -> None:
    network = Small()
    names, weight = list(network.state_dict()), network.conv2.weight
    use_winograd(network)
    assert list(network.state_dict()) == names
    assert network.conv2.weight is weight
    assert [name for name, *_ in fused(list(network.named_children()), ["relu2"])] == [
        "relu1",
        "relu2",
    ]


def test_changed_weights_change_the_result() -> None:
    network = Small()
    use_winograd(network)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = network(x, ["conv2"])["conv2"] - network.conv2.bias[:, None, None]
        network.conv2.weight.mul_(2)
        after = network(x, ["conv2"])["conv2"] - network.conv2.bias[:, None, None]
    assert torch.allclose(after, 2 * before, atol=1e-4)


def test_a_network_with_tiles_can_be_copied() -> None:
    network = Small()
    use_winograd(network)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        first = network(x, ["relu2"])["relu2"]
        again = copy.deepcopy(network)(x, ["relu2"])["relu2"]
    assert torch.equal(first, again)
