"""UEF 2: recognising places, the trivial answers of a pair, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import independent

from nstbench.contracts import Picture
from nstbench.core.errors import NoValueError
from nstbench.metrics import UniversalErrorFactor
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.pictures.colour_transfer import transfer_colours
from nstbench.pictures.mixtures import blend, eight_bit
from nstbench.pictures.picture import to_tensor
from nstbench.score.feature_bank import FeatureBank, ScoredPair, scaled_shape
from nstbench.score.maths.normalised_errors import (
    CONTENT_LAYERS,
    DegeneratePair,
    content_errors,
    content_places,
)
from nstbench.score.maths.place_recognition import confusion, confusion_map, places
from nstbench.score.maths.universal_factor import (
    ANSWERS,
    FEATURES,
    total_errors,
    universal_factors,
)

CPU = torch.device("cpu")


def random_features(seed: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator)


def q(output: torch.Tensor, content: torch.Tensor) -> float:
    grid = (output.shape[2], output.shape[3])
    return confusion(places(output), places(content), grid).item()


def expected_q(output: torch.Tensor, content: torch.Tensor) -> float:
    flat = [f[0].flatten(1).double().numpy() for f in (output, content)]
    return independent.confusion(*flat, output.shape[2], output.shape[3])


# --- recognising places ------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(12, 15), (9, 9), (5, 7), (1, 6), (8, 40)])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_confusion_equals_numpy(grid: tuple[int, int], share: float) -> None:
    content = random_features(0, 24, *grid)
    output = torch.lerp(content, random_features(1, 24, *grid), share)
    assert q(output, content) == pytest.approx(expected_q(output, content), abs=1e-6)


def test_many_places_are_compared_in_pieces_with_the_same_result() -> None:
    content, other = random_features(0, 8, 16, 96), random_features(1, 8, 16, 96)
    output = torch.lerp(content, other, 0.6)
    assert q(output, content) == pytest.approx(expected_q(output, content), abs=1e-6)


def test_a_picture_recognises_itself_and_noise_is_chance() -> None:
    content = random_features(0, 64, 24, 24)
    assert q(content, content) == 0.0
    assert q(random_features(1, 64, 24, 24), content) == pytest.approx(1.0, abs=0.05)


def test_ties_count_half() -> None:
    content = random_features(0, 16, 12, 12)
    # Two equal halves: each place has a twin that fits as well as itself.
    twins = torch.cat([content, content], dim=3)
    assert 0 < q(twins, twins) == pytest.approx(expected_q(twins, twins), abs=1e-6)
    flat = torch.full_like(content, 0.3)
    assert q(flat, content) == 1.0
    assert q(flat, flat) == 1.0


def test_repainting_channels_changes_nothing() -> None:
    content = random_features(0, 32, 14, 14)
    gain, shift = random_features(1, 32, 1, 1) + 0.5, random_features(2, 32, 1, 1)
    # The tenth of the mean deviation makes it approximate.
    assert q(content * gain + shift, content) < 0.02


def test_batches_are_confused_one_by_one() -> None:
    content = random_features(0, 16, 10, 11)
    outputs = torch.cat([content, random_features(1, 16, 10, 11), content.flip(3)])
    together = confusion(places(outputs), places(content), (10, 11)).tolist()
    assert together == pytest.approx([q(o[None], content) for o in outputs], abs=1e-6)


def test_the_map_averages_to_the_number() -> None:
    content = random_features(0, 16, 11, 13)
    output = torch.lerp(content, random_features(1, 16, 11, 13), 0.7)
    drawn = confusion_map(places(output), places(content), (11, 13))
    assert drawn.shape == (1, 11, 13)
    # The interior has the most comparisons; corners have none and hold chance.
    assert drawn[0, 0, 0] == 1.0
    assert drawn[0, 3:-3, 3:-3].mean().item() == pytest.approx(q(output, content), abs=0.1)


# --- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((256, 256), (256, 256)), ((128, 128), (256, 256)), ((512, 768), (256, 384)),
     ((300, 1200), (256, 1024)), ((100, 1600), (64, 1024)), ((1024, 1024), (256, 256))],
)  # fmt: skip
def test_short_side_is_scaled(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert scaled_shape(shape, 256) == expected


def scene_and_texture(
    size: tuple[int, int], style_size: tuple[int, int]
) -> tuple[Picture, Picture]:
    pair = independent.scene(*size), independent.texture(*style_size)
    content, style = (
        Picture(to_tensor(pixels), name) for pixels, name in zip(pair, "cs", strict=True)
    )
    return content, style


def scored(bank: FeatureBank, output: torch.Tensor, content: Picture, style: Picture) -> ScoredPair:
    saved = eight_bit(output)
    return bank.pair(Picture(saved, "output"), content, style, FEATURES)


SIZES = [
    ((128, 128), (128, 128)),
    ((96, 384), (96, 384)),
    pytest.param((200, 260), (200, 260), marks=pytest.mark.slow),
    pytest.param((200, 260), (300, 180), marks=pytest.mark.slow),
    pytest.param((512, 512), (512, 512), marks=pytest.mark.slow),
    pytest.param((1024, 768), (640, 900), marks=pytest.mark.slow),
    pytest.param((1024, 1024), (1024, 1024), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("size", "style_size"), SIZES)
def test_copies_have_total_error_one_and_no_answer_beats_the_bar(
    size: tuple[int, int], style_size: tuple[int, int], network_weights: None
) -> None:
    content, style = scene_and_texture(size, style_size)
    bank = FeatureBank(CPU)
    with torch.inference_mode():
        assert total_errors(scored(bank, content.pixels, content, style))[""].item() == (
            pytest.approx(1.0, abs=1e-9)
        )
        # Resizing changes the statistics of a style, so its copy is one at its own shape only.
        if size == style_size:
            copy = total_errors(scored(bank, style.pixels, content, style))
            assert copy[""].item() == pytest.approx(1.0, abs=1e-9)
        members = [content.pixels, transfer_colours(content.pixels, style.pixels)]
        members += [blend(content.pixels, style.pixels, t) for t in (0.3, 0.5, 0.7)]
        for member in members:
            values = universal_factors(scored(bank, member, content, style))
            for part in ("", "vgg16", "alexnet"):
                assert values[part].item() >= 1 - 1e-3, part
        assert 0 < values["bar"].item() <= 1


def test_a_flat_picture_is_chance_whatever_the_networks_pad_with(network_weights: None) -> None:
    content, style = scene_and_texture((256, 256), (256, 256))
    grey = torch.full((1, 3, 256, 256), 128 / 255)
    pair = FeatureBank(CPU).pair(Picture(grey, "grey"), content, style, FEATURES)
    with torch.inference_mode():
        for network in CONTENT_LAYERS:
            (seen, grid), (right, _) = (
                content_places(pair, network, of) for of in ("output", "content")
            )
            assert confusion(seen, right, grid).item() == pytest.approx(1.0, abs=0.05)


def test_dark_styles_have_a_lower_bar(network_weights: None) -> None:
    content, style = scene_and_texture((128, 128), (128, 128))
    dark = replace(style, pixels=eight_bit(0.1 + 0.1 * style.pixels), name="dark")
    bank = FeatureBank(CPU)
    with torch.inference_mode():
        values = universal_factors(scored(bank, content.pixels, content, dark))
    assert values["bar"].item() < 0.95
    assert values[""].item() == pytest.approx(1 / values["bar"].item(), rel=1e-9)


# --- refusals ----------------------------------------------------------------------------


def test_pairs_without_a_unit_are_refused_with_the_reason(network_weights: None) -> None:
    content, style = scene_and_texture((128, 128), (128, 128))
    recoloured = Picture(transfer_colours(content.pixels, style.pixels), "recoloured")
    flat = Picture(torch.full((1, 3, 128, 128), 0.5), "flat")
    bank = FeatureBank(CPU)
    with torch.inference_mode():
        for c, s, reason in (
            (content, recoloured, "style 'recoloured' is laid out like content 'c'"),
            (content, content, "laid out like"),
            (flat, style, "content has too many equal places"),
        ):
            with pytest.raises(DegeneratePair, match=reason) as refused:
                content_errors(scored(bank, style.pixels, c, s))
            assert isinstance(refused.value, NoValueError)
        # A flat style has nothing to be recognised by, which is fine.
        assert total_errors(scored(bank, flat.pixels, content, flat))[""].item() == pytest.approx(
            1.0, abs=0.05
        )


# --- once per pair -----------------------------------------------------------------------


def test_the_bar_is_computed_once_per_pair(
    network_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, style = scene_and_texture((128, 128), (128, 128))
    passes = []
    forward = LayeredNetwork.forward

    def counted(self: LayeredNetwork, x: torch.Tensor, layers: set[str]) -> dict[str, torch.Tensor]:
        passes.append(1)
        return forward(self, x, layers)

    monkeypatch.setattr(LayeredNetwork, "forward", counted)
    bank = FeatureBank(CPU, budget=0)
    with torch.inference_mode():
        universal_factors(scored(bank, content.pixels, content, style))
        first = len(passes)
        universal_factors(scored(bank, style.pixels, content, style))
    # Two networks see four answers at two sizes each; the second output is seen alone.
    assert first >= 4 * len(ANSWERS)
    assert len(passes) - first <= 4 * 4


def test_a_batch_shares_one_bar(network_weights: None) -> None:
    content, style = scene_and_texture((128, 128), (96, 160))
    outputs = eight_bit(torch.cat([content.pixels, content.pixels.flip(3)]))
    metric = UniversalErrorFactor()
    metric.update(outputs, content.pixels, style.pixels)
    alone = []
    for output in outputs:
        one = UniversalErrorFactor()
        one.update(output[None], content.pixels, style.pixels)
        alone.append(one.compute().item())
    assert metric.compute().item() == pytest.approx(np.mean(alone), rel=1e-6)
