"""Where the time of a run went."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.cli.app import app
from nstbench.pipeline.time_spent import shares


def test_shares_add_up_to_the_wall_clock():
    info = {
        "wall_seconds": 100.0,
        "stage_seconds": {"weights": 1.0, "generate": 50.0, "time": 20.0, "score": 25.0},
        # of two workers
        "stylize_seconds": 80.0, "setup_seconds": 15.0, "harness_seconds": 5.0,
    }  # fmt: skip
    found = shares(info)
    assert sum(found.values()) == pytest.approx(100.0)
    assert found["stylize"] == pytest.approx(40.0)
    assert found["harness"] == pytest.approx(2.5)
    assert found["plan and rest"] == pytest.approx(4.0)


def test_a_run_that_found_everything_done_has_shares():
    assert shares({"wall_seconds": 3.0, "stage_seconds": {"generate": 0.0, "score": 1.0}}) == {
        "score": 1.0,
        "plan and rest": 2.0,
    }


def test_run_draws_a_bar_of_what_run_json_says(picture_folders, tmp_path):
    contents, styles = map(str, picture_folders)
    result = CliRunner().invoke(
        app,
        [
            "run", "--methods", "content_copy,noise", "--contents", contents, "--styles", styles,
            "--size", "64", "--metrics", "ssim", "--timing-repeats", "0", "--format", "csv",
            "--device", "cpu", "--threads", "1", "--out", str(tmp_path / "run"), "--profile",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    info = load_board(tmp_path / "run").info
    assert info["stage_seconds"]["report"] > 0
    lines = result.output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Time by stage"))
    assert lines[start] == f"Time by stage, {info['wall_seconds']:.1f} s:"
    bar = lines[start + 1].strip()
    assert len(bar) == 72
    # as many letters as its share of the bar
    for index, (name, seconds) in enumerate(shares(info).items()):
        letter = "abcdefgh"[index]
        assert bar.count(letter) == pytest.approx(72 * seconds / info["wall_seconds"], abs=1)
        assert any(name in line and f"{seconds:.1f} s" in line for line in lines[start + 2 :])


def test_units_of_an_earlier_run_cost_nothing(picture_folders, tmp_path):
    contents, styles = map(str, picture_folders)
    for methods in ("content_copy,noise", "content_copy,noise,pixel_blend"):
        board = nstbench.run(
            methods, contents=contents, styles=styles, size=64, metrics="ssim", timing_repeats=0,
            formats=(), device="cpu", threads=1, out=tmp_path / "run", workers=8,
        )  # fmt: skip
    assert board.info["method_seconds"].keys() == {"pixel_blend"}
    assert board.info["stylize_seconds"] == sum(board.info["method_seconds"].values())
    # there were four units to do, so no more than four workers
    assert board.info["harness_seconds"] <= 4 * board.info["stage_seconds"]["generate"]
