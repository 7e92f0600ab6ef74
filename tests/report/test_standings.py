"""Standings besides the rank: Borda points, Pareto fronts and tests of pairs of methods."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_board import FakeRun
from html_page import Page
from scipy import stats

from nstbench.analysis.ranking import build_leaderboard
from nstbench.core.board import Board
from nstbench.report.files import write_report
from nstbench.report.page import render_page
from nstbench.report.parts import standings
from nstbench.report.parts.rows import (
    ENOUGH,
    main_size,
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    fake = FakeRun(tmp_path_factory.mktemp("run"), styles=6, size=24, sizes=(16, 24)).board()
    ranked = build_leaderboard(fake.scores, fake.units, fake.metrics, fake.methods)
    return dataclasses.replace(fake, leaderboard=ranked)


@pytest.fixture(scope="module")
def files(board: Board, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    out = tmp_path_factory.mktemp("out")
    return {path.name: pd.read_csv(path) for path in write_report(board, out, ["csv"])}


def test_leaderboard_csv_has_borda_points_of_each_size(tmp_path: Path) -> None:
    board = FakeRun(tmp_path / "run", sizes=(16, 24), size=24, fail=0).board()
    table = pd.read_csv(write_report(board, tmp_path / "out", ["csv"])[0])
    assert table["method"].tolist() == board.leaderboard["method"].tolist()
    pair = {name: card for name, card in board.metrics.items() if card.scope == "pair"}
    methods = table["method"].nunique()
    for _, group in table.groupby("size"):
        places = [
            stats.rankdata(group[name] * (-1 if card.higher_is_better else 1))
            for name, card in pair.items()
        ]
        points = (methods - np.mean(places, axis=0)) / (methods - 1)
        assert group["borda"].tolist() == pytest.approx(points)
        assert group["borda_rank"].tolist() == stats.rankdata(-points.round(9)).tolist()


def test_leaderboard_csv_has_the_members_of_each_front(
    board: Board, files: dict[str, pd.DataFrame]
) -> None:
    table = files["leaderboard.csv"]
    axes = {"front_content_style": ("content_error", "style_error"),
            "front_quality_speed": ("uef", "latency")}  # fmt: skip
    for column, names in axes.items():
        members = 0
        for _, group in table.groupby("size"):
            enough = group["done"] >= ENOUGH * group["planned"]
            methods = group[(group["flexibility"] != "baseline") & enough]
            costs = methods[list(names)].to_numpy()
            front = {
                method
                for method, cost in zip(methods["method"], costs, strict=True)
                if not any((c <= cost).all() and (c < cost).any() for c in costs)
            }
            assert set(group.loc[group[column].astype(bool), "method"]) == front
            members += len(front)
        assert 2 <= members < len(table)


def test_fronts_that_were_not_measured_have_no_column(board: Board) -> None:
    untimed = dataclasses.replace(
        board, leaderboard=board.leaderboard.assign(latency=math.nan), timings=()
    )
    assert list(standings.standings(untimed).columns) == [
        "size", "method", "borda", "borda_rank", "front_content_style",
    ]  # fmt: skip
    bare = dataclasses.replace(board, scores=board.scores.iloc[:0])
    assert standings.standings(bare)["borda"].isna().all()


def test_comparisons_csv_has_every_pair_with_both_tests(
    board: Board, files: dict[str, pd.DataFrame]
) -> None:
    table = files["comparisons.csv"]
    methods = board.leaderboard["method"].nunique()
    assert table.groupby("size").size().tolist() == [methods * (methods - 1) / 2] * 2
    scores = board.scores
    scores = scores[(scores["metric"] == "uef") & (scores["part"] == "") & (scores["size"] == 24)]
    values = scores.pivot_table(index=["style", "content"], columns="method", values="value")
    line = table[(table["size"] == 24) & (table["p"] > 1e-6)].iloc[0]
    gaps = (values[line["worse"]] - values[line["better"]]).groupby("style").mean().dropna()
    assert line["difference"] == pytest.approx(gaps.mean())
    assert line["styles"] == len(gaps)
    assert line["p"] == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    assert line["p_wilcoxon"] == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert (table["p_holm"] >= table["p"]).all()


def test_page_compares_the_best_ranked_method_with_the_others(board: Board) -> None:
    tables = Page(render_page(board)).tables
    size = main_size(board)
    rows, whole = standings.against_first(board, size)
    order = board.leaderboard.loc[board.leaderboard["size"] == size, "method"].tolist()
    assert [row["method"] for row in rows] == order[1:]
    for row in rows:
        assert row["low"] <= row["gap"] <= row["high"]
        assert {row["better"], row["worse"]} == {order[0], row["method"]}
        assert (row["gap"] >= 0) == (row["better"] == order[0])
    assert len(whole) == len(order) * (len(order) - 1) / 2
    shown = tables["Comparisons with the best-ranked method"][1:]
    assert [row[0] for row in shown] == order[1:]
    assert [int(row[2]) for row in shown] == [row["styles"] for row in rows]
    head, *others = tables["Other rankings"]
    assert len(head) == 4 + len(standings.fronts(board))
    assert sorted(row[0] for row in others) == sorted(order)


def test_a_contradicting_comparison_has_a_negative_gap(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = board.leaderboard.loc[board.leaderboard["size"] == 24, "method"].iloc[:2]
    line = {"size": 24, "better": second, "worse": first, "difference": 0.2, "low": 0.1,
            "high": 0.4, "styles": 3, "p": 0.5}  # fmt: skip
    monkeypatch.setattr(standings, "comparisons", lambda board: pd.DataFrame([line]))
    (row,), _ = standings.against_first(board, 24)
    assert (row["method"], row["gap"], row["low"], row["high"]) == (second, -0.2, -0.4, -0.1)


def test_one_method_has_no_comparisons(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path / "run", profiles=FakeRun(tmp_path / "x").profiles[4:5], fail=0)
    board = fake.board()
    names = {path.name for path in write_report(board, tmp_path / "out", ["csv"])}
    assert names == {"leaderboard.csv", "weaknesses.csv"}
    assert "Comparisons with the best-ranked method" not in Page(render_page(board)).tables


def test_a_size_that_was_only_timed_has_rows_without_ranks(board: Board, tmp_path: Path) -> None:
    only_timed = (board.scores["size"] == 16) & (board.scores["content"] != "")
    scores, units = board.scores[~only_timed], board.units[board.units["size"] == 24]
    ranked = build_leaderboard(scores, units, board.metrics, board.methods)
    timed = dataclasses.replace(board, scores=scores, units=units, leaderboard=ranked)
    files = {p.name: p for p in write_report(timed, tmp_path, ["html", "csv", "md", "tex"])}
    page = files["index.html"].read_text()
    assert 'class="broken"' not in page
    table = pd.read_csv(files["leaderboard.csv"])
    assert table[table["size"] == 16][["rank", "rank_low", "borda"]].isna().all(axis=None)
    assert table[table["size"] == 24]["rank"].tolist() == [*range(1, 1 + sum(table["size"] == 24))]
    lines = files["leaderboard.md"].read_text().splitlines()
    small = [line for line in lines if "16 px" in line]
    assert len(small) == (table["size"] == 16).sum()
    assert {line.split("|")[1].strip() for line in small} == {"–"}
    assert set(pd.read_csv(files["comparisons.csv"])["size"]) == {24}
