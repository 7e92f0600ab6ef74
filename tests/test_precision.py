"""bfloat16 is the default where it is fast: the numbers that a board shows must not notice."""

from __future__ import annotations

import json

import pytest

import nstbench

FEED_FORWARD = (
    "johnson_2016", "ulyanov_2016", "dumoulin_2017", "ghiasi_2017:network=own", "adain_2017",
    "wct_2017",
)  # fmt: skip


def both(method: str) -> list[str]:
    """Return a method in both number formats."""
    separator = "," if ":" in method else ":"
    return [f"{method}{separator}precision={name}" for name in ("float32", "bfloat16")]


def uef_by_pair(board, variant):
    scores = board.scores
    rows = scores[(scores["metric"] == "uef") & (scores["part"] == "")]
    return rows[rows["method"] == variant].set_index(["content", "style"])["value"]


@pytest.mark.slow
@pytest.mark.usefixtures("network_weights")
def test_feed_forward_methods_keep_their_error_within_a_percent(tmp_path):
    variants = {method: both(method) for method in FEED_FORWARD}
    board = nstbench.run(
        [variant for pair in variants.values() for variant in pair],
        suite="starter", size=128, metrics="uef", timing_repeats=0, formats=(),
        device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    for method, (exact, fast) in variants.items():
        before, after = uef_by_pair(board, exact), uef_by_pair(board, fast)
        assert len(before) == len(after) >= 3, method
        change = after / before - 1
        assert abs(change.mean()) < 0.01, (method, change)
        assert change.abs().max() < 0.02, (method, change)
        print(f"{method}: mean {change.mean():+.3%}, largest {change.abs().max():.3%}")


@pytest.mark.slow
@pytest.mark.usefixtures("network_weights")
def test_gatys_keeps_loss_and_error_within_a_percent(tmp_path):
    exact, fast = variants = both("gatys_2015")
    board = nstbench.run(
        variants, suite="starter", size=128, limit=4, metrics="uef", timing_repeats=0, formats=(),
        device="cpu", out=tmp_path / "run",
    )  # fmt: skip
    change = uef_by_pair(board, fast) / uef_by_pair(board, exact) - 1
    print(f"gatys_2015: mean {change.mean():+.3%}, largest {change.abs().max():.3%}")
    assert len(change) == 4
    assert abs(change.mean()) < 0.01, change
    losses = {name: [] for name in variants}
    for _, unit in board.units.iterrows():
        trace = json.loads((tmp_path / "run" / "traces" / f"{unit['key']}.json").read_text())
        losses[unit["method"]].append(trace["steps"][-1]["total"])
    print(f"final loss {sum(losses[fast]) / sum(losses[exact]) - 1:+.3%}")
    assert sum(losses[fast]) == pytest.approx(sum(losses[exact]), rel=0.01), losses
