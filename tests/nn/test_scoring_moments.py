"""Gram matrices and means for scores, against float64."""

from __future__ import annotations

import pytest
import torch

from nstbench.nn.losses.gram import scoring_gram_matrix, scoring_mean, self_products
from nstbench.score.maths.place_recognition import places


def activations(channels: int, height: int, width: int, order: torch.memory_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, channels, height, width, generator=generator).relu()
    return values.to(memory_format=order)


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(64, 48, 48), (7, 23, 29), (3, 4, 5), (1, 32, 16), (130, 1, 1)])
def test_moments_equal_those_of_float64(
    shape: tuple[int, int, int], order: torch.memory_format
) -> None:
    features = activations(*shape, order)
    wide = features.double().flatten(2)
    expected = wide @ wide.mT / wide.shape[2]
    gram, mean = scoring_gram_matrix(features), scoring_mean(features)
    assert gram.dtype == mean.dtype == torch.float64
    assert (gram - expected).norm() <= 5e-7 * expected.norm()
    torch.testing.assert_close(gram, gram.mT, rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(mean, wide.mean(dim=2), rtol=2e-7, atol=1e-12)


def test_products_of_columns_are_those_of_every_chunk() -> None:
    chunks = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    expected = (chunks.mT @ chunks).sum(dim=1)
    torch.testing.assert_close(self_products(chunks, torch.float32), expected)


def test_a_picture_without_contrast_has_no_place_vectors() -> None:
    features = torch.rand(1, 6, 1, 1).expand(1, 6, 13, 11)
    assert not places(features).any()
    features = torch.cat([features, activations(2, 13, 11, torch.contiguous_format)[:1]], dim=1)
    vectors = places(features)
    assert not vectors[..., :6].any()
    torch.testing.assert_close(vectors.norm(dim=2), torch.ones(1, 143))
