"""Patch matching against brute force in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nstbench.core.errors import ImageError
from nstbench.nn.losses import patches
from nstbench.nn.losses.patches import PatchLoss, StylePatches, match, patch_energy, target_of
from nstbench.nn.losses.semantic import one_hot, read_labels, tonal_map


def features(seed, channels=5, height=9, width=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=generator).relu() + 0.05


def labels(seed, height=9, width=7, count=3):
    generator = torch.Generator().manual_seed(seed)
    return one_hot(torch.randint(count, (1, height, width), generator=generator), count)


def cut(array, size=3):
    """Return all patches, (n, C, k, k), float64."""
    planes = array[0].double().numpy()
    rows, columns = planes.shape[1] - size + 1, planes.shape[2] - size + 1
    return np.array(
        [planes[:, y : y + size, x : x + size] for y in range(rows) for x in range(columns)]
    )


def cosines(left, right):
    left, right = (p.reshape(len(p), -1) for p in (left, right))
    norms = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    return left @ right.T / norms


@pytest.mark.parametrize("weight", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("chunk", [1, 100, 1 << 24])
def test_matches_are_those_of_normalised_cross_correlation(monkeypatch, weight, chunk):
    monkeypatch.setattr(patches, "_CHUNK", chunk)
    output, style = features(0), features(1, height=8, width=11)
    output_map, style_map = labels(2), labels(3, 8, 11)
    similarity = cosines(cut(output), cut(style))
    similarity += weight * cosines(cut(output_map), cut(style_map))
    found = match(output, StylePatches.of(style, style_map, weight), output_map)
    best = similarity.max(axis=1)
    np.testing.assert_allclose(
        similarity[np.arange(len(found)), found.numpy()], best, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_energy_and_gradient_are_those_of_the_patches(size):
    output, style = features(4).requires_grad_(), features(5, height=6, width=10)
    style_patches = StylePatches.of(style, size=size)
    indices = match(output.detach(), style_patches)
    energy = patch_energy(output, target_of(indices, style_patches, (9, 7)))
    energy.backward()

    again = output.detach().double().requires_grad_()
    columns = torch.nn.functional.unfold(again, size)
    wanted = torch.nn.functional.unfold(style.double(), size)[..., indices]
    plain = (columns - wanted).square().mean()
    plain.backward()
    torch.testing.assert_close(energy.double(), plain, rtol=1e-5, atol=0)
    torch.testing.assert_close(output.grad.double(), again.grad, rtol=1e-4, atol=1e-7)


def test_a_picture_matches_itself():
    style = features(6)
    style_patches = StylePatches.of(style)
    indices = match(style, style_patches)
    assert torch.equal(indices, torch.arange(7 * 5))
    assert patch_energy(style, target_of(indices, style_patches, (9, 7))) < 1e-6


def test_matches_are_updated_on_schedule():
    style = {"layer": StylePatches.of(features(7))}
    loss = PatchLoss(style, None, every=3)
    first, second = {"layer": features(8)}, {"layer": features(9)}
    kept = [loss(first), loss(second), loss(second)]
    renewed = loss(second)
    assert kept[1] == kept[2]
    assert renewed != kept[2]


def test_a_layer_smaller_than_a_patch_is_an_error():
    with pytest.raises(ImageError, match="do not fit into a layer of 2 x 4"):
        StylePatches.of(features(0, height=4, width=2))
    with pytest.raises(ImageError, match="use larger pictures"):
        match(features(0, height=2, width=9), StylePatches.of(features(1)))


class TestLabels:
    def test_soft_edges_are_not_labels(self):
        painted = torch.zeros(1, 3, 40, 40)
        painted[:, 0, :, :20] = 1.0
        painted[:, 1, :, 20:] = 1.0
        painted[:, :, 7, 19] = 0.5
        other = torch.zeros(1, 3, 30, 50)
        other[:, 1] = 1.0
        other[:, :, :4, :4] = 1.0
        found = read_labels(painted, other)
        assert found.count == 3
        red, green = (
            int(((found.colours - torch.tensor(c)).abs().sum(1) < 0.01).nonzero())
            for c in ([1.0, 0, 0], [0, 1.0, 0])
        )
        assert found.shared() == [green]
        assert (found.content[:, :, 20:] == green).all()
        assert (found.content[:, :, :19] == red).all()

    def test_tones_are_ordered_and_mean_the_same_in_every_picture(self):
        ramp = torch.linspace(0, 1, 90).view(1, 1, 1, 90).expand(1, 3, 60, 90)
        found = tonal_map(ramp)
        assert found.unique().tolist() == [0.0, 0.5, 1.0]
        assert (found[..., 1:] >= found[..., :-1]).all()
        dark = tonal_map(ramp * 0.4)
        assert dark.unique().tolist() == [0.0, 0.5, 1.0]
        flat = tonal_map(torch.full((1, 3, 20, 20), 0.7))
        assert len(flat.unique()) == 1
