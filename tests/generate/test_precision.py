"""bfloat16, the default where it is fast, must not change the numbers of a board noticeably."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import nstbench
from nstbench.core.board import Board

FEED_FORWARD = (
    "johnson_2016", "ulyanov_2016", "dumoulin_2017", "ghiasi_2017:network=own", "ghiasi_2017",
    "adain_2017", "wct_2017",
)  # fmt: skip
OPTIMISATION = ("gatys_2015", "novak_nikulin_2016", "champandard_2016", "li_wand_2016")
DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))


def both(method: str) -> list[str]:
    """Return a method in both number formats."""
    separator = "," if ":" in method else ":"
    return [f"{method}{separator}precision={name}" for name in ("float32", "bfloat16")]


def run_both(methods: list[str], device: str, out: Path) -> Board:
    board: Board = nstbench.run(
        [variant for method in methods for variant in both(method)], suite="starter", size=128,
        metrics="uef", timing_repeats=0, formats=(), device=device, out=out,
    )  # fmt: skip
    return board


def relative_change(board: Board, method: str) -> pd.Series:
    """Return by how much bfloat16 changes the universal error factor of each pair."""
    rows = board.scores[(board.scores["metric"] == "uef") & (board.scores["part"] == "")]
    exact, fast = (
        rows[rows["method"] == variant].set_index(["content", "style"])["value"]
        for variant in both(method)
    )
    assert len(exact) == len(fast) >= 3, method
    change = fast / exact - 1
    print(
        f"{method}: {len(change)} pairs, mean {change.mean():+.2%}, "
        f"mean size {change.abs().mean():.2%}, largest {change.abs().max():.2%}"
    )
    return change


@pytest.mark.slow
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("device", DEVICES)
def test_feed_forward_methods_keep_their_error_within_a_percent(tmp_path, device):
    board = run_both(list(FEED_FORWARD), device, tmp_path / "run")
    for method in FEED_FORWARD:
        change = relative_change(board, method)
        assert abs(change.mean()) < 0.01, (method, change)
        assert change.abs().max() < 0.02, (method, change)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("device", DEVICES)
def test_gatys_keeps_loss_and_error_within_a_percent(tmp_path, device):
    """L-BFGS amplifies the smallest difference, so single pairs differ more than the mean."""
    board = run_both(["gatys_2015"], device, tmp_path / "run")
    change = relative_change(board, "gatys_2015")
    assert abs(change.mean()) < 0.01, change
    assert change.abs().max() < 0.1, change
    exact, fast = (final_losses(board, variant) for variant in both("gatys_2015"))
    assert abs((fast / exact - 1).mean()) < 0.01
    assert (fast / exact - 1).abs().max() < 0.12


def final_losses(board: Board, variant: str) -> pd.Series:
    """Return the last total of each pair's trace."""
    units = board.units[board.units["method"] == variant].set_index(["content", "style"])["key"]
    traces = (json.loads((board.root / "traces" / f"{key}.json").read_text()) for key in units)
    losses = pd.Series([trace["steps"][-1]["total"] for trace in traces], units.index)
    print(variant, losses.round(4).to_list())
    return losses


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", OPTIMISATION)
def test_optimisation_keeps_its_error_within_a_percent_over_all_pairs(tmp_path, method, device):
    """Single pairs may differ more, because a patch can get another match."""
    board = run_both([method], device, tmp_path / "run")
    change = relative_change(board, method)
    assert abs(change.mean()) < 0.01, change
    assert change.abs().mean() < 0.02, change
