"""Gain over doing nothing, and the presets of metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import nstbench
from nstbench.contracts import Picture
from nstbench.core.records import GAIN
from nstbench.plan.variants import metric_cards
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.scorer import Scorer

METRICS = ["gram_distance", "color_distance", "ssim", "gmsd", "uef", "style_retrieval"]
UNIT = ["content", "style"]


@pytest.fixture(scope="module")
def board(network_weights, tmp_path_factory) -> nstbench.Results:
    folder = tmp_path_factory.mktemp("gains")
    methods = ["content_copy", "style_copy", "pixel_blend"]
    return nstbench.run(
        methods=methods, metrics=METRICS, limit=2, size=64, out=folder / "run", device="cpu",
        timing_repeats=0, formats=("html", "csv"),
    )  # fmt: skip


def gains(scores: pd.DataFrame, method: str, metric: str) -> np.ndarray:
    rows = scores[(scores["part"] == GAIN) & (scores["metric"] == metric)]
    return rows[rows["method"] == method].sort_values(UNIT)["value"].to_numpy()


def values(scores: pd.DataFrame, method: str, metric: str) -> np.ndarray:
    rows = scores[(scores["part"] == "") & (scores["metric"] == metric)]
    return rows[rows["method"] == method].sort_values(UNIT)["value"].to_numpy()


@pytest.mark.parametrize(
    ("metric", "copy", "sign"),
    [
        ("gram_distance", "content_copy", -1),
        ("color_distance", "content_copy", -1),
        ("ssim", "style_copy", 1),
        ("gmsd", "style_copy", -1),
    ],
)
def test_gain_is_the_improvement_over_the_copy_of_the_same_pair(board, metric, copy, sign) -> None:
    scores = board.scores
    assert (gains(scores, copy, metric) == 0).all()
    expected = sign * (values(scores, "pixel_blend", metric) - values(scores, copy, metric))
    found = gains(scores, "pixel_blend", metric)
    assert len(found) == len(values(scores, "pixel_blend", metric)) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found > 0).all()


def test_metrics_without_an_ideal_and_of_sets_have_no_gain(board) -> None:
    with_gain = set(board.scores.loc[board.scores["part"] == GAIN, "metric"])
    assert with_gain == {"gram_distance", "color_distance", "ssim", "gmsd"}


def test_the_leaderboard_and_its_files_have_means_and_intervals_of_gains(board) -> None:
    row = board.leaderboard.set_index("method").loc["pixel_blend"]
    per_style = board.scores[
        (board.scores["part"] == GAIN)
        & (board.scores["metric"] == "ssim")
        & (board.scores["method"] == "pixel_blend")
    ].groupby("style")["value"].mean()  # fmt: skip
    assert row["ssim_gain"] == pytest.approx(per_style.mean())
    assert row["ssim_gain_low"] <= row["ssim_gain"] <= row["ssim_gain_high"]
    report = Path(board.root) / "report"
    assert "ssim_gain_low" in pd.read_csv(report / "leaderboard.csv").columns
    assert (pd.read_parquet(Path(board.root) / "scores.parquet")["part"] == GAIN).any()
    page = (report / "index.html").read_text(encoding="utf-8")
    assert 'data-key="ssim_gain" data-default="0"' in page
    assert 'data-key="uef_gain"' not in page


def test_a_copy_of_the_content_shares_the_passes_of_the_content(network_weights) -> None:
    seen: list[str] = []

    class Counting(FeatureBank):
        def _forward(self, network, pixels, layers):
            seen.extend([network] if layers else [])
            return super()._forward(network, pixels, layers)

    used = Scorer(
        {"style_error": registry.load("metrics", "style_error")()},
        torch.device("cpu"),
        Counting(torch.device("cpu")),
    )
    pixels = torch.rand(3, 1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    content, style = Picture(pixels[0], "c", "1"), Picture(pixels[1], "s", "2")
    used.score_pair(Picture(pixels[2], "output", "3"), content, style)
    before = len(seen)
    record = used.score_pair(Picture(pixels[0].clone(), "copy", "1"), content, style)
    assert record["style_error"]["values"][""] == pytest.approx(1.0, abs=1e-12)
    assert len(seen) == before


def test_presets_take_the_metrics_that_declare_them_and_all_of_cost() -> None:
    core, field = metric_cards(["core"]), metric_cards(["field"])
    everything = metric_cards("all")
    cost = {name for name, card in everything.items() if card.scope == "timing"}
    for name, cards in (("core", core), ("field", field)):
        declared = {
            metric for metric in everything if name in registry.load("metrics", metric).info.presets
        }
        assert set(cards) == declared | cost
        assert declared
    assert {"lpips_gray", "cfsd_vgg16", "histogan_color", "clip_style"} <= set(field)
    assert "clip_style" not in core
    assert set(metric_cards(["core", "clip_style", "ssim"])) == {*core, "clip_style"}
