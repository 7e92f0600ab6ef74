"""Sections of the report: what they take from the run beside the board's own tables."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from pathlib import Path

import pytest
from fake_board import FakeRun

from nstbench import report
from nstbench.board import Board
from nstbench.reporting import tables


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("run")).board()


def test_the_fastest_method_comes_with_the_spread_of_its_calls(board: Board) -> None:
    timing = next(t for t in board.timings if t.variant == "johnson_2016")
    low, _, high = statistics.quantiles(timing.latency, n=4, method="inclusive")
    row = next(r for r in tables.rows(board) if r.method == "johnson_2016")
    speed = board.metric_with_role("speed")
    other = dataclasses.replace(timing, latency=tuple(9 * v for v in timing.latency))
    assert tables.middle_half(dataclasses.replace(board, timings=(other,)), row, speed) is None
    median = statistics.median(timing.latency)
    measured = dataclasses.replace(row, values={speed.name: tables.Interval(median)})
    spread = tables.middle_half(board, measured, speed)
    assert (spread.low, spread.value, spread.high) == pytest.approx((low, median, high))


def test_validation_in_the_run_folder_is_shown(tmp_path: Path) -> None:
    board = FakeRun(tmp_path).board()
    assert "--out RUN/validation.json" in report.render_page(board)
    row = {"part": "", "measures": "content", "tau": 0.91, "low": 0.81, "high": 0.99,
           "worst": "jpeg", "worst_tau": 0.42, "sensitivity": 2.5, "trusted": False}  # fmt: skip
    bare = dict.fromkeys(row) | {"metric": "uef", "part": "", "measures": "both"}
    other = row | {"metric": "of_another_run"}
    rows = [row | {"metric": "ssim"}, bare, other]
    path = tmp_path / "validation.json"
    path.write_text(json.dumps({"summary": rows, "by_kind": [], "unavailable": {}}))
    text = report.render_page(board)
    table = re.search(r'aria-label="Validation table".*?</table>', text, flags=re.S)
    assert table
    cells = re.sub(r"<[^>]+>", " ", table[0]).split()
    assert cells[cells.index("SSIM") :][:9] == [
        "SSIM", "content", "0.91", "[0.81,", "0.99]", "jpeg", "(0.42)", "2.5", "no"]  # fmt: skip
    assert "of_another_run" not in table[0]
    assert "leaned on there: SSIM." in text
    path.write_text('{"summary": 3}')
    assert "is no result of nstbench validate" in report.render_page(board)


def test_pictures_that_were_left_out_are_named(board: Board) -> None:
    skipped = [{"path": "/photos/<b>bad</b>.png", "reason": "it is truncated"}]
    text = report.render_page(dataclasses.replace(board, info={**board.info, "skipped": skipped}))
    assert "b&gt;.png" in text
    assert "it is truncated" in text
