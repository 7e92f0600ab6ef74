"""Sections of the report: their rows and numbers."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from fake_board import PROFILES, FakeRun, metric_cards
from html_page import Page, section
from rich.text import Text

from nstbench.cli.show import board as terminal
from nstbench.core.board import Board
from nstbench.core.records import Availability
from nstbench.plugins import registry
from nstbench.report.files import write_report
from nstbench.report.page import render_page
from nstbench.report.parts.rows import (
    Interval,
    leaderboard_rows,
    middle_half,
    ordered_by,
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("run")).board()


def test_middle_half_has_the_quartiles_of_the_timed_calls(board: Board) -> None:
    timing = next(t for t in board.timings if t.method == "johnson_2016")
    low, _, high = statistics.quantiles(timing.latency, n=4, method="inclusive")
    row = next(r for r in leaderboard_rows(board) if r.method == "johnson_2016")
    speed = board.metric_with_role("speed")
    other = dataclasses.replace(timing, latency=tuple(9 * v for v in timing.latency))
    assert middle_half(dataclasses.replace(board, timings=(other,)), row, speed) is None
    median = statistics.median(timing.latency)
    measured = dataclasses.replace(row, values={speed.name: Interval(median)})
    spread = middle_half(board, measured, speed)
    assert (spread.low, spread.value, spread.high) == pytest.approx((low, median, high))


@pytest.mark.parametrize(("error", "warned"), [(0.9, True), (0.69, True), (0.3, False)])
def test_best_quality_names_a_baseline_that_is_as_good(
    tmp_path: Path, error: float, warned: bool
) -> None:
    method = dataclasses.replace(PROFILES[3], content=error, style=error)
    board = FakeRun(tmp_path, profiles=(*PROFILES[:2], method), fail=0).board()
    text = registry.load("reports", "overview")().html(board)
    assert "1 method + 2 baselines" in text
    quality = text.split('<article class="answer">')[1]
    assert method.name in re.sub("<wbr>", "", quality)
    assert ("content_copy" in quality) == warned
    assert ("UEF 1.00" in quality) == warned


def test_validation_in_the_run_folder_is_shown(tmp_path: Path) -> None:
    board = FakeRun(tmp_path).board()
    assert "Validation table" not in Page(render_page(board)).tables
    row = {"part": "", "measures": "content", "tau": 0.91, "low": 0.81, "high": 0.99,
           "worst": "jpeg", "worst_tau": 0.42, "sensitivity": 2.5, "trusted": False}  # fmt: skip
    bare = dict.fromkeys(row) | {"metric": "uef", "part": "", "measures": "both"}
    other = row | {"metric": "of_another_run"}
    rows = [row | {"metric": "ssim"}, bare, other]
    path = tmp_path / "validation.json"
    path.write_text(json.dumps({"summary": rows, "by_kind": [], "unavailable": {}}))
    text = render_page(board)
    head, *rows = Page(text).tables["Validation table"]
    assert [row[0] for row in rows] == ["UEF", "SSIM"]
    assert rows[1] == ["SSIM", "content", "0.91 [0.81, 0.99]", "jpeg (0.42)", "2.5", "no"]
    assert len(head) == len(rows[1])
    assert 'class="broken"' not in text
    path.write_text('{"summary": 3}')
    assert render_page(board).count('class="broken"') == 1


def test_verdicts_in_the_run_folder_are_shown(tmp_path: Path) -> None:
    board = FakeRun(tmp_path).board()
    row = {"metric": "ssim", "test": "T1", "question": "q1", "n": 3, "value": 0.9, "low": 0.85,
           "high": 0.95, "verdict": "yes"}  # fmt: skip
    rows = [
        row, row | {"test": "T3", "question": "q3", "verdict": "no"},
        row | {"test": "T4", "verdict": "not asked"}, row | {"metric": "of_another_run"},
    ]  # fmt: skip
    path = tmp_path / "validation.json"
    path.write_text(json.dumps({"summary": [], "verdicts": rows}))
    tables = Page(render_page(board)).tables
    head, *lines = tables["Trust table"]
    assert head == ["Metric", "yes", "unclear", "no", "not enough data"]
    assert [[line[0], line[1], line[3]] for line in lines] == [["SSIM", "q1 (T1)", "q3 (T3)"]]
    assert "Validation table" not in tables


def test_skipped_pictures_are_listed(board: Board) -> None:
    skipped = [{"path": "/photos/<b>bad</b>.png", "reason": "it is truncated"}]
    text = render_page(dataclasses.replace(board, info={**board.info, "skipped": skipped}))
    assert Page(text).tables["Skipped pictures"][1:] == [["b>.png", "it is truncated"]]


def test_unavailable_metrics_are_listed_with_a_fix(board: Board) -> None:
    card = board.metrics["artfid"].availability
    head, row = Page(render_page(board)).tables["Unavailable plug-ins"]
    assert head == ["Name", "Kind", "Reason", "Fix"]
    assert row == ["artfid", "metric", card.reason, card.remedy]


def test_networks_have_curves_cards_and_licences(board: Board) -> None:
    text = render_page(board)
    convergence = section(text, "convergence")
    for method in ("ghiasi_2017", "johnson_2016", "dumoulin_2017"):
        assert f"Training loss of {method} against steps" in convergence
    tables = Page(text).tables
    row = next(row for row in tables["Trainings table"] if row[0] == "johnson_2016")
    assert row[1:3] == ["2", "2 000 to 4 000"]
    cards = section(text, "methods")
    for index in (0, 1):
        assert f"c{index}" * 32 in cards
    assert "90 min" in cards
    assert "Trained with 4000 steps instead of 40,000." in cards
    weights = tables["Weights table"][1:]
    assert sum("nstbench" in row[2] for row in weights) == 6
    assert ["vgg16", "BSD-3-Clause", "example.org"] in [row[:3] for row in weights]


def test_cost_table_has_totals_and_chart_has_break_even_points(board: Board) -> None:
    text = section(render_page(board), "amortised")
    (_, *rows) = Page(text).tables["Cost table"]
    row = next(row for row in rows if row[0] == "johnson_2016")
    assert row[1:] == ["90 min", "0 s", "121 ms", "90 min", "90 min 12 s", "110 min 12 s"]
    assert "johnson_2016, dumoulin_2017 on Fake GPU" in text
    assert re.search(r"\d pictures</text>", text)


def test_failures_of_a_method_are_in_one_row(board: Board) -> None:
    bad = board.units["method"] == "johnson_2016"
    words = [f"no style {i}" if hit else "" for i, hit in enumerate(bad)]
    units = board.units.assign(
        status=board.units["status"].mask(bad, "failed"), message=words, traceback=""
    )
    text = section(render_page(dataclasses.replace(board, units=units)), "failures")
    assert len(re.findall(r'<th scope="row" title="johnson_2016">', text)) == 1
    assert f"{bad.sum()} of {bad.sum()}" in text
    assert all(word in text for word in filter(None, words))


def test_chart_labels_have_incomplete_coverage(board: Board) -> None:
    rows = [row for row in leaderboard_rows(board) if not row.complete]
    assert rows
    text = render_page(board)
    for row in rows:
        assert f">{row.label} ({row.coverage})</text>" in text


def test_facts_tell_the_last_session_of_a_resumed_run(board: Board) -> None:
    for seconds, resumed in ((1.0, False), (9.0, True)):
        run = dataclasses.replace(board, units=board.units.assign(seconds=seconds))
        facts = next(text for text in Page(render_page(run)).texts["span"] if "UTC" in text)
        assert "6 min 10 s" in facts
        assert ("last session" in facts) == resumed


# --- the leaderboard ---------------------------------------------------------------------


def module_of(name: str) -> ModuleType:
    return sys.modules[registry.load("reports", name).__module__]


def test_each_size_has_its_own_best_values(tmp_path: Path) -> None:
    board = FakeRun(tmp_path / "run", sizes=(24, 48), fail=0).board()
    columns = module_of("leaderboard")._columns(board, leaderboard_rows(board))
    for name in ("latency", "uef"):
        best = next(c.best for c in columns if c.card.name == name)
        rows = [row for row in leaderboard_rows(board) if row.label in best]
        assert {row.size for row in rows} == {24, 48}
    (tmp_path / "out").mkdir()
    path = write_report(board, tmp_path / "out", ["tex"])[0]
    heads, *lines = [
        line.split(" & ") for line in path.read_text().splitlines() if line.endswith("\\\\")
    ]
    place = next(i for i, head in enumerate(heads) if head.startswith("Latency"))
    bold = [line[1] for line in lines if "textbf" in line[place]]
    assert len(bold) == 2
    assert {label.split()[-2] for label in bold} == {"24", "48"}


def test_pareto_front_is_that_of_the_main_size(tmp_path: Path) -> None:
    board = FakeRun(tmp_path / "run", sizes=(24, 48), fail=0).board()
    text = section(render_page(board), "tradeoff")
    assert "Pareto front at 48 px" in text
    front = re.search(r"On the Pareto front, fastest first: (.*?)</", text, flags=re.S)
    assert front
    assert "· 48 px" in front[1]
    assert "· 24 px" not in front[1]


def test_table_per_style_counts_pairs_not_seeds(board: Board) -> None:
    style = board.scores["style"][board.scores["style"] != ""].iloc[0]
    method = "gatys_2015"
    mine = (board.scores["method"] == method) & (board.scores["style"] == style)
    mine &= (board.scores["metric"] == "uef") & (board.scores["part"] == "")
    first, other = board.scores[mine].iloc[0], board.scores[mine].iloc[1]
    # the first pair twice, with a seed that scored 1 more, and once where the unit failed
    more = pd.DataFrame([{**first, "seed": 1, "value": first["value"] + 1},
                         {**first, "seed": 2, "value": 1e6}])  # fmt: skip
    unit = board.units[
        (board.units["method"] == method)
        & (board.units["style"] == style)
        & (board.units["content"] == first["content"])
    ]
    units = [board.units, unit.assign(seed=1, status="done"), unit.assign(seed=2, status="oom")]
    seeds = dataclasses.replace(
        board, scores=pd.concat([board.scores, more]), units=pd.concat(units, ignore_index=True)
    )
    found = module_of("leaderboard")._per_style(seeds, [board.metrics["uef"]])
    count, mean = found.loc[(method, first["size"], style, "uef"), ["count", "mean"]]
    values = board.scores[mine]["value"].to_list()
    assert count == len(values)
    assert other["value"] in values
    assert mean == pytest.approx((sum(values) + 0.5) / len(values))


def test_page_names_the_metric_that_orders_the_board(board: Board) -> None:
    assert ordered_by(board) == ""
    lost = replace(
        board.metrics["uef"], availability=Availability(False, "no weights <here>", "fetch")
    )
    columns = [c for c in board.leaderboard.columns if c.startswith("uef")]
    without = dataclasses.replace(
        board,
        metrics={**board.metrics, "uef": lost},
        leaderboard=board.leaderboard.assign(**dict.fromkeys(columns, math.nan)),
    )
    words = ordered_by(without)
    assert without.quality is not None
    assert words == (
        f"Ordered by {without.quality.title}, because UEF has no value here: no weights <here>."
    )
    assert "has no value here: no weights &lt;here&gt;." in section(
        render_page(without), "leaderboard"
    )


@pytest.mark.parametrize(
    ("row", "unit", "text"),
    [
        ({"m": 2012397.124, "m_low": 2.0e6, "m_high": 2.1e6}, "", "2.01×10⁶ 2.0×10⁶–2.1×10⁶"),
        ({"m": -0.07, "m_low": -0.1, "m_high": -0.05}, "", "−0.0700 −0.10 to −0.050"),
        ({"m": 3 * 2**20, "m_low": 2**20, "m_high": 2**22}, "bytes", "3.00 1.0–4.0"),
        ({"m": 0.805, "m_low": 0.759, "m_high": 0.846}, "", "0.805 0.76–0.85"),
        ({"m": 0.5}, "", "0.500"),
        ({"m": math.nan, "m_low": math.nan}, "", "–"),
    ],
)  # fmt: skip
def test_numbers_of_the_terminal(row: dict[str, float], unit: str, text: str) -> None:
    card = replace(metric_cards()["uef"], unit=unit)
    assert Text.from_markup(terminal._number(row, "m", card)).plain == text
