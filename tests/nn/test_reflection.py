"""Mirrored borders in the form for GPUs, compared with torch's operator."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.generators.decoder import encode, reflect_borders
from nstbench.nn.layers import frozen_convolution
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.reflection import reflected_by_rows, with_reflected_border


@pytest.mark.parametrize("shape", [(2, 5, 8, 9), (1, 3, 2, 7), (3, 1, 5, 5)])
@pytest.mark.parametrize("border", [(1, 1), (0, 3), (4, 4), (1, 0), (0, 0)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_torch(shape, border, order):
    rows, columns = (min(amount, side - 1) for amount, side in zip(border, shape[2:], strict=True))
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=order).requires_grad_()
    made = reflected_by_rows(x, rows, columns)
    wanted = F.pad(x, (columns, columns, rows, rows), mode="reflect")
    assert torch.equal(made, wanted)
    assert made.is_contiguous(memory_format=torch.channels_last)
    weights = torch.randn_like(wanted)
    (found,) = torch.autograd.grad((made * weights).sum(), x)
    (expected,) = torch.autograd.grad((wanted * weights).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.gpu
def test_borders_of_sixteen_bit_maps_on_a_gpu():
    x = torch.randn(2, 16, 20, 24, device="cuda").bfloat16().requires_grad_()
    made = with_reflected_border(x, 1, 3)
    weights = torch.randn_like(made)
    (found,) = torch.autograd.grad(made, x, weights)
    wide = x.detach().double().requires_grad_()
    wanted = F.pad(wide, (3, 3, 1, 1), mode="reflect")
    assert torch.equal(made.double(), wanted)
    (expected,) = torch.autograd.grad(wanted, wide, weights.double())
    torch.testing.assert_close(found.double(), expected, atol=0.05, rtol=0.02)


@pytest.mark.usefixtures("network_weights")
def test_encoders_are_the_same_in_the_form_for_gpus(monkeypatch):
    encoder = reflect_borders(load_backbone("vgg16"))
    x = torch.rand(1, 3, 32, 40, requires_grad=True)
    layers = ("relu1_2", "relu3_1")
    results = []
    for on_gpu in (False, True):
        if on_gpu:
            monkeypatch.setattr(FrozenConvolution, "_mirrors", lambda self, x: True)
            monkeypatch.setattr(frozen_convolution, "with_reflected_border", reflected_by_rows)
        features = encode(encoder, x, layers)
        results.append(
            [*features.values(), *torch.autograd.grad(features["relu3_1"].square().mean(), x)]
        )
    for plain, turned in zip(*results, strict=True):
        torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-5)
