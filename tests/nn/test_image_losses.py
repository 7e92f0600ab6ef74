"""Losses of image optimisation against float64 NumPy and the papers' closed-form gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nstbench.nn.losses.terms import content_energy, gram_energy, total_variation


def activations(seed: int, channels: int = 6, height: int = 5, width: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(0.3, 1.0, (channels, height, width)), 0.0)


def gram(features: np.ndarray, shift: float = 0.0) -> np.ndarray:
    flat = features.reshape(len(features), -1) + shift
    return flat @ flat.T


def as_tensor(features: np.ndarray, **kwargs) -> torch.Tensor:
    return torch.tensor(features[None], **kwargs)


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_gatys_layer_loss_and_gradient(shift):
    """E_l and dE_l/dF of arXiv 1508.06576, eq. 4 and 5, with F + s for F (arXiv 1605.04603)."""
    generated, style = activations(0), activations(1)
    channels, positions = len(generated), generated[0].size
    difference = gram(generated, shift) - gram(style, shift)
    expected = (difference**2).sum() / (4 * channels**2 * positions**2)
    flat = generated.reshape(channels, -1)
    closed_form = difference @ (flat + shift) / (channels**2 * positions**2)

    features = as_tensor(generated, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(gram(style, shift)[None] / positions)
    loss = gram_energy(features, target, shift) / (4 * channels**2)
    loss.backward()
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)
    np.testing.assert_allclose(
        features.grad.numpy()[0].reshape(channels, -1), closed_form, rtol=1e-6, atol=1e-12
    )


def test_gradient_of_a_shifted_gram_entry_is_two_f_plus_s():
    """d/dF of tr((F + s)(F + s)^T) is 2 (F + s): not zero where F is 0."""
    features = as_tensor(activations(2), dtype=torch.float64, requires_grad=True)
    (features - 1.0).square().sum().backward()
    closed_form = 2 * (features.detach() - 1.0)
    torch.testing.assert_close(features.grad, closed_form, rtol=1e-6, atol=0)

    # by the chain rule, sum((G - A)^2) with A = G - I / 2 has the gradient of the trace
    own = gram(features.detach().numpy()[0], -1.0)
    positions = features[0, 0].numel()
    target = torch.tensor(own / positions)[None] - torch.eye(len(own), dtype=torch.float64) / 2
    again = features.detach().clone().requires_grad_()
    gram_energy(again, target, shift=-1.0).backward()
    torch.testing.assert_close(again.grad * positions, closed_form, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gram_energy_is_differentiated_exactly(memory_format):
    features = torch.rand(2, 4, 3, 5, dtype=torch.float64).to(memory_format=memory_format)
    target = torch.rand(2, 4, 4, dtype=torch.float64)
    target = target + target.transpose(1, 2)
    assert torch.autograd.gradcheck(
        lambda f: gram_energy(f, target, -0.5, 4.0), features.requires_grad_()
    )


def test_gram_energy_in_bfloat16_is_summed_in_float32():
    features = torch.rand(1, 32, 64, 64, generator=torch.Generator().manual_seed(0))
    rounded = features.bfloat16().requires_grad_()
    target = torch.zeros(1, 32, 32)
    loss = gram_energy(rounded, target)
    loss.backward()
    exact = rounded.detach().double().requires_grad_()
    wanted = gram_energy(exact, target.double())
    wanted.backward()
    assert loss.dtype == torch.float32
    np.testing.assert_allclose(loss.item(), wanted.item(), rtol=1e-5)
    error = (rounded.grad.double() - exact.grad).norm() / exact.grad.norm()
    assert error < 0.01


def test_content_loss_and_gradient():
    """L_content and its gradient F - P, arXiv 1508.06576, eq. 1 and 2."""
    generated, content = activations(3), activations(4)
    features = as_tensor(generated, dtype=torch.float32, requires_grad=True)
    loss = content_energy(features, as_tensor(content, dtype=torch.float32)) / 2
    loss.backward()
    np.testing.assert_allclose(loss.item(), ((generated - content) ** 2).sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(features.grad.numpy()[0], generated - content, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exponent", [2.0, 1.25])
def test_total_variation(exponent):
    pixels = np.random.default_rng(5).random((3, 9, 8))
    down = pixels[:, 1:, :-1] - pixels[:, :-1, :-1]
    right = pixels[:, :-1, 1:] - pixels[:, :-1, :-1]
    expected = ((down**2 + right**2) ** (exponent / 2)).sum()
    found = total_variation(as_tensor(pixels, dtype=torch.float64), exponent)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-5)
    flat = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    total_variation(flat, exponent).backward()
    assert flat.grad.isfinite().all()
