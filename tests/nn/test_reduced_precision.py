"""Searches and decompositions of GPUs, on the CPU: against float64, with planted difficulties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nstbench.nn.losses import feature_transforms, nearest, patches
from nstbench.nn.losses.feature_transforms import (
    colouring,
    moments_at_once,
    transformed_at_once,
    whiten_and_colour,
)
from nstbench.nn.losses.patches import StylePatches


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def brute_force(keys: torch.Tensor, queries: torch.Tensor) -> np.ndarray:
    return (keys.double().numpy() @ queries.double().numpy()).argmax(axis=0)


# --- search ------------------------------------------------------------------------------------


@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 500, 1 << 24])
@pytest.mark.parametrize(("count", "width"), [(1, 4), (5, 30), (300, 90)])
def test_the_search_finds_what_float64_finds(monkeypatch, low, chunk, count, width):
    monkeypatch.setattr(nearest, "_CHUNK", chunk)
    keys, queries = unit(draw(count, width)), unit(draw(40, width, seed=1)).T
    found = nearest.nearest(keys, queries, low=low)
    assert found.tolist() == brute_force(keys, queries).tolist()


@pytest.mark.parametrize("low", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ties", [2, 7, 60])
def test_near_ties_are_compared_exactly(low, ties):
    """Keys that differ by 1e-5 are equal in float16; the best of them is not the first."""
    queries = unit(draw(30, 100, seed=2)).T
    keys = unit(draw(400, 100, seed=3))
    generator = torch.Generator().manual_seed(4)
    places = torch.randperm(400, generator=generator)[: 6 * ties].view(6, ties)
    for query, rows in enumerate(places):
        noise = draw(ties, 100, seed=10 + query) * 1e-5
        keys[rows] = unit(queries[:, query] + noise)
    rough = (keys.to(low) @ queries.to(low)).float().argmax(dim=0)
    expected = brute_force(keys, queries)
    assert (rough.numpy() != expected).any(), "the planted ties deceive a search without ranking"
    assert nearest.nearest(keys, queries, low=low).tolist() == expected.tolist()


def test_of_equal_keys_the_first_is_found():
    keys = unit(draw(1, 20)).expand(50, 20).contiguous()
    queries = unit(draw(5, 20, seed=1)).T
    assert nearest.nearest(keys, queries).tolist() == [0] * 5


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_patches_are_matched_as_in_float64(monkeypatch, weight):
    """Neighbouring patches of a smooth picture are near ties."""
    smooth = torch.nn.functional.interpolate(draw(1, 8, 4, 4).relu(), size=24, mode="bicubic")
    other = torch.nn.functional.interpolate(draw(1, 8, 4, 4, seed=1).relu(), 20, mode="bicubic")
    labels = torch.zeros(1, 2, 24, 24)
    labels[:, 0, :, :12] = 1
    labels[:, 1, :, 12:] = 1
    style = StylePatches.of(other, labels[:, :, :20, :20], weight)
    keys = patches._keys(smooth, labels if weight else None, weight, 3)[0]
    found = nearest.nearest(style.keys, keys, (1 + weight) ** 0.5)
    assert found.tolist() == brute_force(style.keys, keys).tolist()


# --- decompositions ----------------------------------------------------------------------------


def activations(batch: int, channels: int, side: int, spread: float, seed: int = 0):
    """Return rectified activations whose covariance has eigenvalues over ``spread`` decades."""
    scales = torch.logspace(0, -spread / 2, channels).view(1, -1, 1, 1)
    mixed = torch.linalg.qr(draw(channels, channels, seed=seed))[0]
    plain = draw(batch, channels, side, side, seed=seed + 1) * scales
    return torch.einsum("oc,bchw->bohw", mixed, plain) * 3


@pytest.fixture
def formats(monkeypatch):
    """Return the list of number formats in which covariances are decomposed."""
    seen = []
    eigh = torch.linalg.eigh

    def watched(matrices):
        seen.append((matrices.dtype, len(matrices)))
        return eigh(matrices)

    monkeypatch.setattr(feature_transforms.torch.linalg, "eigh", watched)
    return seen


@pytest.mark.parametrize(("spread", "again"), [(1.0, 0), (3.0, 0), (6.0, 3), (14.0, 3)])
def test_ill_conditioned_covariances_are_decomposed_in_float64(formats, spread, again):
    content, style = activations(3, 24, 16, spread), activations(1, 24, 13, spread, seed=5)
    wanted = whiten_and_colour(content.double(), colouring(style.double()))
    formats.clear()
    (mean,), (root,) = moments_at_once(style, 0.5)
    made = transformed_at_once(content, feature_transforms.Colouring(mean, root))
    assert made.dtype == torch.float32
    assert formats[-1 if not again else -2] == (torch.float32, 3)
    assert ((torch.float64, 3) in formats) == bool(again)
    assert (made - wanted).abs().max() < 5e-3 * wanted.abs().max()


def test_a_dead_channel_and_few_positions_are_as_in_float64():
    content, style = activations(2, 32, 5, 1.0), activations(1, 32, 12, 1.0, seed=7)
    content[:, 3] = 0.0
    style[:, 8:12] = 0.0
    wanted = whiten_and_colour(content.double(), colouring(style.double()))
    (mean,), (root,) = moments_at_once(style, 0.5)
    made = transformed_at_once(content, feature_transforms.Colouring(mean, root))
    assert (made - wanted).abs().max() < 5e-3 * wanted.abs().max()


def test_autocast_does_not_reach_covariances():
    content, style = activations(2, 16, 12, 2.0), activations(1, 16, 12, 2.0, seed=7)
    (mean,), (root,) = moments_at_once(style, 0.5)
    given = feature_transforms.Colouring(mean, root)
    with torch.autocast("cpu", torch.bfloat16):
        low = transformed_at_once(content, given)
    assert torch.equal(low, transformed_at_once(content, given))


@pytest.mark.parametrize("failure", ["error", "nan"])
def test_what_float32_cannot_decompose_float64_does(monkeypatch, failure):
    content = activations(3, 16, 12, 1.0)
    wanted = moments_at_once(content, -0.5)[1]
    eigh = torch.linalg.eigh
    asked = []

    def failing(matrices):
        asked.append((matrices.dtype, len(matrices)))
        if matrices.dtype == torch.float64:
            return eigh(matrices)
        if failure == "error":
            raise torch.linalg.LinAlgError("linalg.eigh: (Batch element 1): failed to converge")
        values, vectors = eigh(matrices)
        values[1, 4] = torch.nan
        return values, vectors

    monkeypatch.setattr(feature_transforms.torch.linalg, "eigh", failing)
    made = moments_at_once(content, -0.5)[1]
    assert asked == [(torch.float32, 3), (torch.float64, 3 if failure == "error" else 1)]
    torch.testing.assert_close(made, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_wct_and_patches_on_the_gpu_are_those_of_float64():
    content, style = activations(4, 64, 20, 6.0), activations(1, 64, 24, 6.0, seed=3)
    wanted = whiten_and_colour(content.double(), colouring(style.double()))
    made = whiten_and_colour(content.cuda(), colouring(style.cuda())).cpu()
    assert (made - wanted).abs().max() < 5e-3 * wanted.abs().max()
    features, other = draw(1, 16, 30, 30).relu(), draw(1, 16, 40, 40, seed=1).relu()
    keys = StylePatches.of(other).keys
    found = patches.match(features.cuda(), StylePatches.of(other.cuda())).cpu()
    expected = brute_force(keys, patches._keys(features, None, 0.0, 3)[0])
    assert (found.numpy() == expected).mean() > 0.999
