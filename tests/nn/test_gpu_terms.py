"""Distances for GPUs against those of the CPU and of float64."""

from __future__ import annotations

import pytest
import torch

from nstbench.nn.losses import gpu_terms, terms, wide_products
from nstbench.nn.losses.wide_products import wide_product

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
LAST = torch.channels_last


def activations(*shape, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator).relu()
    return values.to(device, dtype).contiguous(memory_format=LAST)


def both(ours, usual, *inputs):
    """Return value and gradients of two functions; the second one computes in float64."""
    found = []
    for function, wide in ((ours, False), (usual, True)):
        leaves = [
            (each.cpu().double() if wide else each).detach().requires_grad_() for each in inputs
        ]
        value = function(*leaves)
        gradients = torch.autograd.grad(value * 0.5, leaves)
        found.append([value.cpu().double(), *(each.cpu().double() for each in gradients)])
    return zip(*found, strict=True)


def close(pairs, tolerance):
    for ours, wanted in pairs:
        assert (ours - wanted).norm() <= tolerance * wanted.norm()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (32, 48), (37, 41), (64, 64)])
def test_products_are_those_of_float64(device, dtype, batch, height, width):
    left = activations(batch, 24, height, width, dtype=dtype, device=device)
    right = activations(batch, 40, height, width, seed=1, dtype=dtype, device=device)
    found = wide_product(left.flatten(2), right.flatten(2))
    wide = [side.cpu().double().flatten(2) for side in (left, right)]
    wanted = wide[0] @ wide[1].mT
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    close([(found.cpu().double(), wanted)], 1e-6)


def test_positions_are_cut_into_parts(monkeypatch):
    seen = []
    multiplied = wide_products._multiplied

    def watched(left, right):
        seen.append(tuple(left.shape))
        return multiplied(left, right)

    monkeypatch.setattr(wide_products, "_multiplied", watched)
    wide_product(torch.ones(1, 64, 256 * 33 + 5), torch.ones(1, 64, 256 * 33 + 5))
    wide_product(torch.ones(2, 300, 4096), torch.ones(2, 300, 4096))
    assert seen == [(32, 64, 264), (1, 64, 5), (2 * 8, 300, 512)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("shift", [0.0, -1.0])
@pytest.mark.parametrize("batch", [1, 2])
def test_gram_distances(device, dtype, tolerance, shift, batch):
    features = activations(batch, 16, 24, 20, dtype=dtype, device=device)
    target = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(2))
    close(
        both(
            lambda f: gpu_terms.gram_distance(f, target.to(device), shift, 480.0),
            lambda f: terms.gram_energy(f, target.double(), shift),
            features,
        ),
        tolerance,
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("shift", [0.0, -1.0])
@pytest.mark.parametrize("batch", [1, 2])
def test_cross_distances(device, dtype, tolerance, shift, batch):
    shallow = activations(batch, 16, 24, 20, dtype=dtype, device=device)
    deep = activations(batch, 24, 24, 20, seed=1, dtype=dtype, device=device)
    target = torch.rand(1, 16, 24, generator=torch.Generator().manual_seed(2))
    close(
        both(
            lambda f, h: gpu_terms.cross_distance(f, h, target.to(device), shift),
            lambda f, h: terms.cross_energy(f, h, target.double(), shift),
            shallow,
            deep,
        ),
        tolerance,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", [((24, 20), (12, 10)), ((25, 21), (12, 10))])
def test_layers_of_different_size_on_the_gpu(sizes):
    shallow = activations(1, 16, *sizes[0], device="cuda")
    deep = activations(1, 24, *sizes[1], seed=1, device="cuda")
    target = torch.rand(1, 16, 24, generator=torch.Generator().manual_seed(2))
    close(
        both(
            lambda f, h: terms.cross_energy(f, h, target.cuda(), -1.0),
            lambda f, h: terms.cross_energy(f, h, target.double(), -1.0),
            shallow,
            deep,
        ),
        1e-5,
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_distances(device, dtype, tolerance, weighted):
    features = activations(1, 16, 13, 11, dtype=dtype, device=device)
    target = activations(1, 16, 13, 11, seed=1, dtype=dtype)
    weight = torch.arange(1.0, 144.0).view(1, 1, 13, 11)
    close(
        both(
            lambda f: gpu_terms.squared_distance(
                f, target.to(device), weight.to(device) if weighted else None
            ),
            lambda f: (((f - target.double()) ** 2) * (weight if weighted else 1)).sum(),
            features,
        ),
        tolerance,
    )
    assert (features.grad_fn, features.dtype) == (None, dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("exponent", [2.0, 2.5, 1.0])
def test_variations(device, exponent):
    pixels = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0)).to(device)
    pixels[0] = 0.5
    close(
        both(
            lambda p: gpu_terms.variation(p, exponent),
            lambda p: terms.total_variation(p, exponent),
            pixels,
        ),
        1e-5,
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-3)])
@pytest.mark.parametrize("size", [(24, 20), (37, 41), (64, 64)])
def test_gram_distances_of_several_layers(device, dtype, tolerance, size):
    height, width = size
    layers = [
        activations(1, 16, height, width, dtype=dtype, device=device),
        activations(1, 24, height // 2, width // 2, seed=1, dtype=dtype, device=device),
    ]
    draw = torch.Generator().manual_seed(2)
    grams = [torch.rand(1, n, n, generator=draw) for n in (16, 24)]
    grams = [gram + gram.mT for gram in grams]
    weights = (0.7, 3.0)
    joined = gpu_terms.joined_targets([gram.to(device) for gram in grams], weights)
    close(
        both(
            lambda *f: gpu_terms.gram_distances(f, joined, weights),
            lambda *f: sum(
                w * terms.gram_energy(x, a.double())
                for w, x, a in zip(weights, f, grams, strict=True)
            ),
            *layers,
        ),
        tolerance,
    )
    usual = terms.GramLoss({"one": grams[0].to(device), "two": grams[1].to(device)}, weights)
    close(
        both(
            lambda one, two: usual({"one": one, "two": two}),
            lambda *f: gpu_terms.gram_distances(f, joined.cpu().double(), weights),
            *layers,
        ),
        tolerance,
    )


@pytest.mark.parametrize("device", DEVICES)
def test_weighted_sums(device):
    weights = torch.tensor([2.0, -3.0, 0.5])
    values = [torch.tensor(value, device=device) for value in (1.0, 4.0, -7.0)]
    usual = terms.WeightedSum(weights.tolist())
    given = weights.to(device)
    close(both(lambda *v: gpu_terms.weighted_sum(v, given), lambda *v: usual(v), *values), 1e-6)
    close(
        both(
            lambda *v: usual(v),
            lambda *v: sum(a * b for a, b in zip(v, weights, strict=True)),
            *values,
        ),
        1e-6,
    )


def test_gradients_are_those_of_differences():
    draw = torch.Generator().manual_seed(0)
    f = torch.rand(1, 4, 5, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    h = torch.rand(1, 2, 5, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    gram = torch.rand(1, 4, 4, generator=draw, dtype=torch.float64)
    gram = gram + gram.mT
    weight = torch.rand(1, 1, 5, 3, generator=draw, dtype=torch.float64)
    target = f.detach() * 0.3
    check = torch.autograd.gradcheck
    assert check(lambda x: gpu_terms.gram_distance(x, gram, -0.5, 4.0), f)
    assert check(lambda x, y: gpu_terms.cross_distance(x, y, gram[:, :, :2], -0.5), (f, h))
    assert check(lambda x: gpu_terms.squared_distance(x, target, weight), f)
    assert check(lambda x: gpu_terms.variation(x, 2.5), f)


@pytest.mark.gpu
def test_the_gpu_multiplies_bfloat16_with_a_wide_result():
    assert wide_products._has_output_format(torch.device("cuda", torch.cuda.current_device()))
