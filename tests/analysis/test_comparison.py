"""Comparison of runs: which units are compared, and the numbers."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_board import FakeRun
from html_page import Page
from scipy import stats
from typer.testing import CliRunner

from nstbench.analysis import run_comparison as comparison
from nstbench.cli.app import app
from nstbench.core.board import Board
from nstbench.core.errors import UsageError
from nstbench.report.files import write_comparison


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("first"), styles=8).board()


def changed(board: Board, method: str, amount: float) -> Board:
    """Return the board with a method's UEF changed by about ``amount`` on every unit."""
    rows = (board.scores["method"] == method) & (board.scores["metric"] == "uef")
    noise = np.random.default_rng(1).normal(amount, abs(amount) / 10, int(rows.sum()))
    scores = board.scores.copy()
    scores.loc[rows, "value"] += noise
    return dataclasses.replace(board, scores=scores)


def verdicts(first: Board, other: Board) -> dict[str, str]:
    return {check.subject: check.verdict for check in comparison.checks(first, other)}


def row(table: pd.DataFrame, method: str, metric: str = "uef") -> pd.Series:
    return table[(table["method"] == method) & (table["metric"] == metric)].iloc[0]


def test_a_run_agrees_with_itself_in_every_respect(first: Board) -> None:
    assert set(verdicts(first, first).values()) == {comparison.SAME}
    table = comparison.differences(first, first)
    assert set(table["method"]) == set(first.methods)
    assert (table[["difference", "low", "high"]] == 0).all().all()
    assert (table["p_holm"] == 1).all()


def test_differences_are_paired_and_tested_over_styles(first: Board) -> None:
    other = changed(first, "johnson_2016", -0.02)
    table = comparison.differences(first, other)
    found = row(table, "johnson_2016")
    pairs = comparison.paired_scores(first, other, first.metrics["uef"])
    mine = pairs[pairs["method"] == "johnson_2016"]
    styles = (mine["other"] - mine["first"]).groupby(mine["style"]).mean()
    assert found["difference"] == pytest.approx(styles.mean())
    assert found["low"] < styles.mean() < found["high"] < 0
    methods = table[table["metric"] == "uef"]["method"].nunique()
    assert found["p_holm"] == pytest.approx(methods * stats.ttest_1samp(styles, 0).pvalue)
    # Styles differ more than the two runs do, so the change shows in paired scores only.
    assert abs(found["difference"]) < mine.groupby("style")["first"].mean().std()
    assert row(table, "ghiasi_2017")["difference"] == 0


def test_only_units_of_the_same_pixels_are_compared(first: Board) -> None:
    pictures = tuple(
        dataclasses.replace(p, sha256="other") if p.name == "style_1" else p for p in first.pictures
    )
    other = dataclasses.replace(first, pictures=pictures)
    assert verdicts(first, other)["Pictures"] == comparison.PARTLY
    table = comparison.differences(first, other)
    assert set(table["styles"]) == {7}
    none = dataclasses.replace(first, pictures=())
    assert verdicts(first, none)["Pictures"] == comparison.DIFFERS
    assert comparison.differences(first, none).empty


def test_metrics_of_another_version_are_not_compared(first: Board) -> None:
    metrics = {**first.metrics, "uef": dataclasses.replace(first.metrics["uef"], version=2)}
    other = dataclasses.replace(first, metrics=metrics)
    assert verdicts(first, other)["Metrics and their versions"] == comparison.PARTLY
    assert "uef" not in set(comparison.differences(first, other)["metric"])


def test_differences_of_settings_are_named(first: Board) -> None:
    environment = {**first.info["environment"], "cpu": "Other CPU", "threads": 4,
                   "packages": {"numpy": "2.1", "pandas": "3.0"}}  # fmt: skip
    gatys = dataclasses.replace(first.methods["gatys_2015"], params={"iterations": 100})
    other = dataclasses.replace(
        first,
        info={**first.info, "environment": environment, "version": "9.9", "suite_version": 2},
        methods={**first.methods, "gatys_2015": gatys},
    )
    found = {check.subject: check for check in comparison.checks(first, other)}
    assert found["Suite and its version"].verdict == comparison.DIFFERS
    assert "Fake CPU @ 2 GHz / Other CPU" in found["Device and threads"].details
    assert "threads 2 / 4" in found["Device and threads"].details
    assert "iterations 300 / 100" in found["Parameters and weights"].details
    assert "numpy 2.0 / 2.1" in found["Python and packages"].details
    assert not comparison.same_machine(first, other)


def test_calibrated_ratio_does_not_depend_on_the_machine(first: Board) -> None:
    slower = tuple(
        dataclasses.replace(
            t,
            latency=tuple(3 * v for v in t.latency),
            calibration=tuple(3 * v for v in t.calibration),
        )
        for t in first.timings
    )
    table = comparison.speeds(first, dataclasses.replace(first, timings=slower))
    assert table["ratio"].to_numpy() == pytest.approx(3)
    assert table["calibrated_ratio"].to_numpy() == pytest.approx(1)
    timing = next(t for t in first.timings if t.method == "gatys_2015")
    one = table[table["method"] == "gatys_2015"].iloc[0]
    assert one["first"] == statistics.median(timing.latency)


def test_page_and_files(first: Board, tmp_path: Path) -> None:
    hostile = FakeRun(tmp_path / "hostile", hostile=True).board()
    boards = [first, changed(first, "gatys_2015", 0.05), hostile]
    written = write_comparison(boards, tmp_path / "out", ["html", "csv", "md"])
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    parsed = Page(page)
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert len([a for a in parsed.all("script") if a.get("type") != "application/json"]) == 1
    assert "worse" in page
    table = pd.read_csv(tmp_path / "out" / "comparison.csv")
    mine = table[table["run"] == str(first.root)]
    expected = row(comparison.differences(first, boards[1]), "gatys_2015")
    assert row(mine, "gatys_2015")["difference"] == expected["difference"]
    lines = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8").split("\n")
    assert not [line for line in lines if "<script" in line]


def test_formats_of_one_run_are_refused_with_a_remedy(first: Board, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as 'parquet'.*html, csv, md"):
        write_comparison([first, first], tmp_path, ["parquet"])


def test_command_needs_runs_that_exist(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path / "a"), str(tmp_path / "b")])
    assert isinstance(done.exception, UsageError)
