"""Convolutions and rectifiers for GPUs: on the CPU with torch's operators, on GPUs compiled."""

from __future__ import annotations

import pytest
import torch
from test_frozen_convolution import LAST, LAYERS, Chain, gradient, picture
from torch import nn

from nstbench.nn.backbones.loss_network import lower_precision
from nstbench.nn.layers import frozen_chain, gpu_kernels, layered
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.winograd import WinogradConvolution


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 64), (64, 3), (8, 16), (13, 21)])
@pytest.mark.parametrize("rectify", [False, True])
def test_channels_are_filled_up_without_a_change(inputs, outputs, rectify):
    torch.manual_seed(0)
    layer = nn.Conv2d(inputs, outputs, 3, padding=1).requires_grad_(False)
    x = picture(2, inputs, 9, 7)
    weight = gpu_kernels.aligned(layer.weight)
    assert weight.shape[0] % 8 == weight.shape[1] % 8 == 0
    assert weight.is_contiguous(memory_format=LAST)
    made = gpu_kernels.convolved(x, weight, outputs, (1, 1), (1, 1))
    made = gpu_kernels.with_bias(made, layer.bias, rectify)
    wanted = layer(x)
    torch.testing.assert_close(made, wanted.relu() if rectify else wanted, rtol=1e-5, atol=1e-5)


def test_gradients_of_rectifiers_are_those_of_torch():
    one, two, values = (picture(1, 8, 5, 5, seed=seed) - 0.5 for seed in range(3))
    leaf = values.clone().requires_grad_()
    leaf.relu().backward(one + two)
    assert torch.equal(gpu_kernels.gradient_of_rectified(one, two, values.relu()), leaf.grad)


@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2, 2), nn.AvgPool2d(2, 2)])
@pytest.mark.parametrize("layers", [("relu3",), ("relu1", "relu3"), ("conv1",), LAYERS])
@pytest.mark.parametrize("height", [19, 32])
def test_a_chain_of_aligned_convolutions_has_the_gradient_of_autograd(
    monkeypatch, pooling, layers, height
):
    network, x = Chain(pooling), picture(2, 3, height, 22)
    with monkeypatch.context() as patch:
        patch.setattr(layered, "is_chain", lambda *_: False)
        expected = gradient(network, x, layers)
    chains = []

    def watched(*given):
        chains.append(given)
        return frozen_chain.run_chain(*given)

    monkeypatch.setattr(layered, "run_chain", watched)
    monkeypatch.setattr(FrozenConvolution, "chains", lambda *_: True)
    monkeypatch.setattr(FrozenConvolution, "_is_on_cpu", lambda _: False)
    found = gradient(network, x, layers)
    assert chains
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# --- on a GPU ----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_kernels_are_compiled_on_the_gpu(dtype):
    device = torch.device("cuda", torch.cuda.current_device())
    kernels = gpu_kernels._compiled(device, dtype)
    assert kernels is not None
    values = torch.tensor([torch.nan, -1.0, 2.0, torch.inf], device=device, dtype=dtype)
    values = values.view(1, 4, 1, 1)
    made = kernels[0](values, torch.zeros_like(values)).flatten().float()
    assert made.isnan().tolist() == [True, False, False, False]
    assert made[1:].tolist() == [0.0, 2.0, torch.inf]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2, 2), nn.AvgPool2d(2, 2)])
@pytest.mark.parametrize("layers", [("relu3",), ("relu1", "relu3"), LAYERS])
@pytest.mark.parametrize("height", [19, 32])
def test_gradients_of_chains_on_the_gpu(monkeypatch, dtype, pooling, layers, height):
    network, x = Chain(pooling), picture(2, 3, height, 22)
    with monkeypatch.context() as patch:
        patch.setattr(layered, "is_chain", lambda *_: False)
        leaf = x.double().requires_grad_()
        wide = Chain(pooling).double()
        total = sum(values.sin().sum() for values in wide(leaf, layers).values())
        (expected,) = torch.autograd.grad(total, leaf)
    network.cuda()
    if dtype != torch.float32:
        lower_precision(network, dtype)
    chains = []
    monkeypatch.setattr(
        layered, "run_chain", lambda *g: (chains.append(g), frozen_chain.run_chain(*g))[1]
    )
    leaf = x.cuda().contiguous(memory_format=LAST).requires_grad_()
    total = sum(values.float().sin().sum() for values in network(leaf, layers).values())
    (found,) = torch.autograd.grad(total, leaf)
    assert chains
    error = (found.cpu().double() - expected).norm() / expected.norm()
    # torch's own bfloat16 operators are up to 0.11 away from float64 here
    assert error < (0.15 if dtype == torch.bfloat16 else 5e-3)


@pytest.mark.gpu
def test_winograd_is_for_cpus():
    layer = WinogradConvolution(128, 128, 3, padding=1).requires_grad_(False)
    x = picture(1, 128, 40, 40)
    wanted = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    layer, x = layer.cuda().to(memory_format=LAST), x.cuda().contiguous(memory_format=LAST)
    leaf = x.requires_grad_()
    for made in (layer(leaf), layer.convolve_packed(leaf.detach(), False)):
        torch.testing.assert_close(made.cpu(), wanted, rtol=1e-2, atol=1e-2)
