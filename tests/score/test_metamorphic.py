"""Invariances of the pair metrics: order of a batch, symmetry, size of pictures."""

from __future__ import annotations

import pytest
import torch
from reference import independent

from nstbench.contracts import Picture
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank

CPU = torch.device("cpu")
PAIR_METRICS = list(independent.METRICS)
SYMMETRIC_IN_CONTENT = ["content_loss", "lpips_alex", "lpips_vgg", "ssim", "self_similarity"]
SYMMETRIC_IN_CONTENT += ["lpips_gray", "ms_ssim", "gmsd"]
SYMMETRIC_IN_STYLE = ["gram_distance", "style_loss", "color_distance"]
SYMMETRIC_IN_STYLE += ["histogan_color", "sifd_vgg16", "style_moments"]
UNSYMMETRIC = ["swd_style", "style_error", "content_error", "total_error", "uef"]
UNSYMMETRIC += ["cfsd_vgg16", "patch_coverage"]
YES_OR_NO = ["beats_bar"]
# The strongest activations, a further scale, and the patches of inner borders count more.
BORDERS = {"cfsd_vgg16": 0.6, "ms_ssim": 0.3, "patch_coverage": 0.35}


@pytest.fixture(scope="module")
def bank(network_weights) -> FeatureBank:
    return FeatureBank(CPU)


def compute(
    bank: FeatureBank, name: str, output: torch.Tensor, content: torch.Tensor, style: torch.Tensor
) -> dict[str, torch.Tensor]:
    metric = registry.load("metrics", name)()
    metric.load(CPU)
    pictures = (Picture(p, n) for p, n in ((output, "x"), (content, "c"), (style, "s")))
    with torch.inference_mode():
        values: dict[str, torch.Tensor] = metric.compute(bank.pair(*pictures, metric.info.features))
    return values


@pytest.fixture(scope="module")
def trio() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three outputs, each with its own content and style."""
    output, content, style = (to_tensor(p) for p in independent.triple("same_size"))
    each = [torch.cat([p, p.flip(-1), p.transpose(2, 3)]) for p in (output, content, style)]
    return each[0], each[1].flip(0), each[2]


def test_every_metric_is_listed_as_symmetric_or_not() -> None:
    assert sorted([*SYMMETRIC_IN_CONTENT, *SYMMETRIC_IN_STYLE, *UNSYMMETRIC, *YES_OR_NO]) == sorted(
        PAIR_METRICS
    )


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_permuting_a_batch_permutes_its_values(name, bank, trio) -> None:
    order = [2, 0, 1]
    straight = compute(bank, name, *trio)
    permuted = compute(bank, name, *(p[order] for p in trio))
    for part, values in straight.items():
        assert values.shape == (3,)
        assert permuted[part].tolist() == pytest.approx(values[order].tolist(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", [*SYMMETRIC_IN_CONTENT, *SYMMETRIC_IN_STYLE, *UNSYMMETRIC])
def test_exchanging_output_and_target(name, bank, trio) -> None:
    output, content, style = (p[:1] for p in trio)
    if name in SYMMETRIC_IN_CONTENT:
        there = compute(bank, name, output, content, style)[""]
        back = compute(bank, name, content, output, style)[""]
    else:
        there = compute(bank, name, output, content, style)[""]
        back = compute(bank, name, style, content, output)[""]
    equal = back.item() == pytest.approx(there.item(), rel=1e-5)
    assert equal == (name not in UNSYMMETRIC)


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_tiled_pictures_have_the_same_scores_except_for_sums(name, bank, trio) -> None:
    """Four tiled copies: means hardly change, and sums over positions are four times as large."""
    once = compute(bank, name, *(p[:1] for p in trio))
    four = compute(bank, name, *(p[:1].tile(1, 1, 2, 2) for p in trio))
    expected = once[""].item() * (4 if name == "content_loss" else 1)
    # Windows and padding differ at the borders between copies.
    assert four[""].item() == pytest.approx(expected, rel=BORDERS.get(name, 0.2))
    if name == "content_loss":
        assert four["per_element"].item() == pytest.approx(once["per_element"].item(), rel=0.2)
