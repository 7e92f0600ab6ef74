"""Error maps: their means are the errors they explain, and they point at the damage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import independent

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.contracts import Picture
from nstbench.nn.backbones.load import load_backbone
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import resize, to_tensor
from nstbench.plugins import registry
from nstbench.report.error_maps import FEATURES, LIMIT, content_map, overlay, style_map, write_maps
from nstbench.report.page import render_page
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths.normalised_errors import DegeneratePair
from nstbench.score.maths.place_recognition import confusion_map, places
from nstbench.score.scorer import Scorer
from nstbench.store.store import map_path

CPU = torch.device("cpu")


def trio(case: str = "other_size") -> tuple[Picture, Picture, Picture]:
    output, content, style = (to_tensor(p) for p in independent.triple(case))
    return Picture(output, "output"), Picture(content, "content"), Picture(style, "style")


def maps(output: Picture, content: Picture, style: Picture) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        pair = FeatureBank(CPU).pair(output, content, style, FEATURES)
        return content_map(pair), style_map(pair)


def content_error(*pictures: Picture) -> float:
    scorer = Scorer({"content_error": registry.load("metrics", "content_error")()}, CPU)
    value: float = scorer.score_pair(*pictures)["content_error"]["values"]["vgg16"]
    return value


@pytest.mark.parametrize("case", list(independent.SIZES))
def test_means_are_the_errors_on_vgg16(case, network_weights) -> None:
    pictures = trio(case)
    lost, missed = maps(*pictures)
    assert lost.shape == missed.shape == (1, pictures[0].height, pictures[0].width)
    assert lost.mean().item() == pytest.approx(content_error(*pictures), rel=1e-5)
    assert (lost >= 0).all()
    x, c, s = (
        {name: independent.gram(f) for name, f in found.items() if name in independent.STYLE_VGG}
        for found in (
            independent.activations("vgg16", independent.as_tensor(pixels))
            for pixels in independent.triple(case)
        )
    )
    ratios = [
        np.linalg.norm(x[n] - s[n]) / np.linalg.norm(c[n] - s[n]) for n in independent.STYLE_VGG
    ]
    assert missed.mean().item() == pytest.approx(np.mean(np.square(ratios)), rel=1e-5)


def test_up_sampling_changes_little(network_weights) -> None:
    """What is put back is small: the coarse map, computed here by itself, has nearly that mean."""
    pictures = trio("same_size")
    network = load_backbone("vgg16")
    with torch.inference_mode():
        x, c = (
            places(network(resize(p.pixels, (256, 256)), ["relu4_1"])["relu4_1"])
            for p in pictures[:2]
        )
        coarse = confusion_map(x, c, (32, 32)) - confusion_map(c, c, (32, 32))
    scale = content_error(*pictures) / coarse.mean()
    fine = maps(*pictures)[0]
    blocks = torch.nn.functional.adaptive_avg_pool2d(fine, (32, 32))
    order = np.corrcoef(blocks.flatten(), (coarse * scale).flatten())[0, 1]
    assert order > 0.95


def test_copies_have_no_error_of_their_kind(network_weights) -> None:
    _, content, style = trio("same_size")
    lost, missed = maps(content, content, style)
    assert lost.abs().max() == 0
    assert missed.mean().item() == pytest.approx(1.0, rel=1e-5)
    lost, missed = maps(style, content, style)
    assert lost.mean().item() == pytest.approx(1.0, rel=1e-6)
    assert missed.abs().max() < 1e-3


def test_the_damage_is_where_the_map_is_red(network_weights) -> None:
    _, content, style = trio("same_size")
    damaged = content.pixels.clone()
    damaged[..., :48, 48:] = style.pixels[..., :48, 48:]
    lost, missed = maps(Picture(damaged, "damaged"), content, style)
    quarter = lost[0, :48, 48:]
    assert quarter.mean() > 5 * lost[0, 48:, :48].mean()
    assert quarter.sum() > 0.7 * lost.sum()
    # The same quarter is what makes up for the style error of the rest.
    assert missed[0, :48, 48:].mean() < missed[0, 48:, :48].mean()


def test_alike_pictures_are_refused(network_weights) -> None:
    _, content, _ = trio("same_size")
    with pytest.raises(DegeneratePair, match="style 'content' is laid out like content 'content'"):
        maps(content, content, content)


def test_overlay_colours() -> None:
    pixels = np.full((1, 4, 3), 100, dtype=np.uint8)
    drawn = overlay(np.array([[0.0, LIMIT, 5 * LIMIT, -LIMIT]]), pixels)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[0, 1].tolist() == drawn[0, 2].tolist()
    assert drawn[0, 1, 0] > 200 > drawn[0, 1, 2]
    assert drawn[0, 3, 2] > 200 > drawn[0, 3, 0]


def test_maps_of_a_run_stand_beside_outputs_and_in_the_gallery(
    picture_folders, tmp_path, network_weights
) -> None:
    contents, styles = picture_folders
    board = nstbench.run(
        ["content_copy", "style_copy"], contents, styles, limit=1, size=48, metrics=("ssim",),
        timing_repeats=0, formats=("csv",), out=tmp_path / "run",
    )  # fmt: skip
    assert 'id="gallery-view"' not in render_page(board)
    assert write_maps(board.root, "cpu") == 2
    page = render_page(load_board(board.root))
    assert 'id="gallery-view"' in page
    for output in board.units["output"]:
        for kind in ("content", "style"):
            path = map_path(output, kind)
            assert read_image(board.root / path).shape == (48, 48, 3)
            assert f'data-kind="{kind}" data-picture="{path.as_posix()}"' in page
    assert len(load_board(board.root).units) == 2
