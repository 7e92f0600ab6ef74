"""Decoders and feature transforms: layer tables, and statistics against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nstbench.nn.backbones.vgg import VGG16_BLOCKS, VGG19_BLOCKS
from nstbench.nn.generators.decoder import MirroredDecoder, copy_tail, padded_to
from nstbench.nn.losses.feature_transforms import (
    LEAST_EIGENVALUE,
    adain,
    channel_moments,
    colouring,
    whiten_and_colour,
)


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _features(channels: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Return correlated, skewed features like rectified ones, float64."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    raw = torch.randn(1, channels, height, width, generator=generator, dtype=torch.float64).exp()
    return torch.einsum("ij,bjhw->bihw", mixing, raw) + 3.0


def test_vgg19_decoder_has_the_layers_of_the_paper() -> None:
    decoder = MirroredDecoder(VGG19_BLOCKS, "relu4_1")
    widths = [
        (step.in_channels, step.out_channels)
        for step in decoder
        if isinstance(step, torch.nn.Conv2d)
    ]
    assert widths == [
        (512, 256), (256, 256), (256, 256), (256, 256), (256, 128),
        (128, 128), (128, 64), (64, 64), (64, 3),
    ]  # fmt: skip
    assert _parameters(decoder) == 3_505_219


@pytest.mark.parametrize(
    ("layer", "count", "stride"),
    [
        ("relu1_1", 1_731, 1),
        ("relu2_1", 112_451, 2),
        ("relu3_1", 555_075, 4),
        ("relu4_1", 2_915_139, 8),
        ("relu5_1", 9_994_563, 16),
    ],
)
def test_vgg16_decoders_mirror_their_encoders(layer: str, count: int, stride: int) -> None:
    decoder = MirroredDecoder(VGG16_BLOCKS, layer)
    assert _parameters(decoder) == count
    assert decoder.stride == stride
    first = next(step for step in decoder if isinstance(step, torch.nn.Conv2d))
    with torch.no_grad():
        picture = decoder(torch.rand(2, first.in_channels, 4, 5))
    assert picture.shape == (2, 3, 4 * stride, 5 * stride)
    assert not [step for step in decoder.modules() if "Norm" in type(step).__name__]


def test_decoder_of_a_missing_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match="relu3_4"):
        MirroredDecoder(VGG16_BLOCKS, "relu3_4")


def test_the_end_of_a_shallower_decoder_is_copied_into_a_deeper_one() -> None:
    shallow, deep = (MirroredDecoder(VGG16_BLOCKS, f"relu{level}_1") for level in (2, 3))
    first = deep[0].weight.clone()
    copy_tail(shallow, deep)
    assert torch.equal(deep[0].weight, first)
    features = _features(128, 8, 8, seed=0).float()
    end = torch.nn.Sequential(*list(deep)[-len(shallow) :])
    torch.testing.assert_close(end(features), shallow(features))


def test_padding_repeats_the_edge_and_only_where_needed() -> None:
    pixels = torch.rand(1, 3, 17, 24)
    padded = padded_to(pixels, 8)
    assert padded.shape == (1, 3, 24, 24)
    assert torch.equal(padded[:, :, :17], pixels)
    assert torch.equal(padded[:, :, 20], pixels[:, :, 16])
    assert padded_to(padded, 8) is padded


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adain_has_mean_and_deviation_of_the_style(dtype: torch.dtype) -> None:
    content, style = (_features(16, 12, 9, seed).to(dtype) for seed in (0, 1))
    result = adain(content, *channel_moments(style)).double().numpy()
    wanted = style.double().numpy()
    # The features' magnitude is about 10, and float32 has seven digits.
    tolerance = 1e-6 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(result.mean((2, 3)), wanted.mean((2, 3)), atol=tolerance, rtol=1e-6)
    np.testing.assert_allclose(result.std((2, 3)), wanted.std((2, 3)), atol=tolerance, rtol=1e-6)


def test_adain_is_one_affine_map_per_channel_and_picture() -> None:
    content = torch.cat([_features(4, 8, 8, seed) for seed in (0, 1)])
    style = _features(4, 6, 6, 2)
    result = adain(content, *channel_moments(style))
    for one, transformed in zip(content, result, strict=True):
        for before, after in zip(one.numpy(), transformed.numpy(), strict=True):
            slope, offset = np.polyfit(before.ravel(), after.ravel(), 1)
            np.testing.assert_allclose(before * slope + offset, after, atol=1e-8)


def test_adain_of_a_flat_channel_is_the_styles_mean_with_a_finite_gradient() -> None:
    content = torch.full((1, 2, 5, 5), 0.7, requires_grad=True)
    style = torch.rand(1, 2, 5, 5)
    mean, std = channel_moments(style)
    result = adain(content, mean, std)
    torch.testing.assert_close(result, mean.expand_as(result), rtol=0, atol=1e-5)
    (channel_moments(result)[1].sum() + result.sum()).backward()
    assert content.grad is not None
    assert bool(torch.isfinite(content.grad).all())


def test_moments_of_half_precision_are_computed_in_single_precision() -> None:
    features = torch.full((1, 1, 64, 64), 3.0, dtype=torch.bfloat16)
    features[..., 0] = 3.015625
    mean, _ = channel_moments(features)
    assert mean.dtype == torch.float32
    assert float(mean) == pytest.approx(3.0 + 0.015625 / 64, abs=1e-6)


def test_whitening_and_colouring_give_the_styles_covariance() -> None:
    content, style = _features(24, 16, 20, 0), _features(24, 13, 11, 1)
    result = whiten_and_colour(content, colouring(style))
    wanted = np.cov(style.flatten(2)[0].numpy())
    found = np.cov(result.flatten(2)[0].numpy())
    scale = np.linalg.norm(wanted)
    assert np.linalg.norm(found - wanted) / scale < 1e-8
    np.testing.assert_allclose(
        result.mean((2, 3)).numpy(), style.mean((2, 3)).numpy(), atol=1e-8, rtol=0
    )


def test_adain_leaves_a_covariance_error_that_whitening_removes() -> None:
    content, style = _features(24, 16, 20, 0), _features(24, 13, 11, 1)
    wanted = np.cov(style.flatten(2)[0].numpy())
    found = np.cov(adain(content, *channel_moments(style)).flatten(2)[0].numpy())
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) > 0.1


def test_few_positions_get_the_style_covariance_in_their_subspace() -> None:
    content, style = _features(32, 3, 5, 0), _features(32, 12, 12, 1)
    result = whiten_and_colour(content, colouring(style)).flatten(2)[0].numpy()
    raw = content.flatten(2)[0].numpy()
    raw = raw - raw.mean(1, keepdims=True)
    left, values, _ = np.linalg.svd(raw, full_matrices=False)
    subspace = left[:, values**2 / (raw.shape[1] - 1) > LEAST_EIGENVALUE]
    covariance = np.cov(style.flatten(2)[0].numpy())
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T
    wanted = root @ subspace @ subspace.T @ root
    assert subspace.shape[1] == 14
    np.testing.assert_allclose(np.cov(result), wanted, atol=1e-8 * np.abs(wanted).max())


def test_a_picture_whitened_and_coloured_with_itself_is_unchanged() -> None:
    style = _features(8, 9, 9, 3)
    torch.testing.assert_close(whiten_and_colour(style, colouring(style)), style)


def test_pictures_of_a_batch_are_transformed_one_by_one() -> None:
    style = colouring(_features(8, 9, 9, 3))
    batch = torch.cat([_features(8, 7, 6, seed) for seed in (0, 1)])
    together = whiten_and_colour(batch, style)
    apart = torch.cat([whiten_and_colour(one, style) for one in batch.split(1)])
    assert torch.equal(together, apart)
