"""Numbers next to the quality metric: pairs beyond the bar, the bar's curve, and weaknesses."""

from __future__ import annotations

import csv
import html
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_board import FakeRun
from html_page import section
from rich.text import Text

from nstbench.analysis.ranking import build_leaderboard
from nstbench.analysis.weaknesses import weaknesses
from nstbench.api import Results
from nstbench.cli.show import board as terminal
from nstbench.core.board import Board
from nstbench.core.records import BAR, CONTENT_OF, STYLE_OF
from nstbench.plugins import registry
from nstbench.report.charts.bar_curve import bar_curve, mean_bar
from nstbench.report.figures.tradeoff import save_tradeoff
from nstbench.report.files import write_report
from nstbench.report.page import render_page
from nstbench.report.parts.rows import leaderboard_rows

FACTS = {
    CONTENT_OF + "blend": 0.2, STYLE_OF + "blend": 0.7,
    CONTENT_OF + "reinhard": 0.05, STYLE_OF + "reinhard": 0.8,
}  # fmt: skip
"""Errors of trivial answers on the first pair; on pair n they are larger by n percent."""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """A board with a yes-or-no metric, and with the trivial answers' errors."""
    made = FakeRun(tmp_path_factory.mktemp("run"), styles=6).board()
    own = made.scores[(made.scores["metric"] == "uef") & (made.scores["part"] == "")]
    yes = own.assign(metric="better", value=(own["value"] < 0.62).astype(float))
    pairs = sorted(set(zip(own["content"], own["style"], strict=True)))
    frames = [made.scores, yes]
    for part, value in {**FACTS, BAR: 0.8}.items():
        grown = [1 + 0.01 * pairs.index(p) for p in zip(own["content"], own["style"], strict=True)]
        frames.append(own.assign(part=part, value=value * np.array(grown)))
    scores = pd.concat(frames, ignore_index=True)
    card = replace(made.metrics["ssim"], name="better", title="Better", role="bar",
                   range=(0.0, 1.0), order=2)  # fmt: skip
    metrics = dict(sorted({**made.metrics, "better": card}.items(), key=lambda i: i[1].order))
    ranked = build_leaderboard(scores, made.units, metrics, made.methods)
    return replace(made, scores=scores, metrics=metrics, leaderboard=ranked)


@pytest.fixture(scope="module")
def counts(board: Board) -> dict[str, str]:
    """Method -> pairs better than the limit, counted from the scores."""
    rows = board.scores[board.scores["metric"] == "better"]
    found = rows.groupby("method")["value"].agg(["sum", "size"]).astype(int)
    return {str(m): f"{r['sum']} of {r['size']}" for m, r in found.iterrows()}


def test_pairs_are_counted_in_every_format(
    board: Board, counts: dict[str, str], tmp_path: Path
) -> None:
    assert len(set(counts.values())) > 1
    paths = {p.name: p for p in write_report(board, tmp_path, ["csv", "md", "tex"])}
    with paths["leaderboard.csv"].open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    tables = {name: paths[f"leaderboard.{name}"].read_text().splitlines() for name in ("md", "tex")}
    page = section(render_page(board), "leaderboard")
    for method, count in counts.items():
        beaten, _, pairs = count.split()
        assert (rows[method]["better_beaten"], rows[method]["better_pairs"]) == (beaten, pairs)
        for format, lines in tables.items():
            name = method.replace("_", r"\_") if format == "tex" else method
            assert any(name in line and count in line for line in lines), (format, method)
        cell = re.search(
            f'title="{method}".*?<span class="value">({count})</span><span class="ci">([^<]*)',
            page,
            re.S,
        )
        assert cell is not None, method
        shares = [float(number) for number in re.findall(r"[\d.]+", cell[2])]
        row = next(row for row in leaderboard_rows(board) if row.method == method)
        value = row.values["better"]
        assert shares == pytest.approx([value.value, value.low, value.high], abs=6e-4)
    assert f"UEF: {board.metrics['uef'].description}" in tables["md"][-1]
    record = board.leaderboard.iloc[0].to_dict()
    text = Text.from_markup(terminal._number(record, "better", board.metrics["better"])).plain
    assert text.startswith(counts[record["method"]] + " ")


def test_the_api_has_whole_numbers_of_pairs(board: Board, counts: dict[str, str]) -> None:
    table = Results(**vars(board)).leaderboard.set_index("method")
    assert str(table["better_beaten"].dtype) == "Int64"
    for method, count in counts.items():
        assert (
            f"{table.loc[method, 'better_beaten']} of {table.loc[method, 'better_pairs']}" == count
        )


def test_the_best_method_is_shown_with_its_parts(board: Board, counts: dict[str, str]) -> None:
    text = html.unescape(registry.load("reports", "overview")().html(board))
    best = next(r for r in leaderboard_rows(board) if not r.baseline)
    for name in ("content_error", "style_error"):
        assert f"{board.metrics[name].title} {best.values[name].text()}" in text
    assert f"Better {counts[best.method]} pairs" in text


# --- the chart of both errors ------------------------------------------------------------


def test_curve_and_mean_bar_are_means_over_pairs(board: Board) -> None:
    done = board.units[board.units["status"] == "done"]
    pairs = sorted(set(zip(done["content"], done["style"], strict=True)))
    growth = np.mean([1 + 0.01 * n for n in range(len(pairs))])
    expected = [(0, 1), (0.05, 0.8), (0.2, 0.7), (1, 0)]
    expected[1:3] = [(x * growth, y * growth) for x, y in expected[1:3]]
    np.testing.assert_allclose(bar_curve(board), expected)
    assert mean_bar(board) == pytest.approx(0.8 * growth)


def test_the_chart_has_curve_and_line_of_the_bar(board: Board, tmp_path: Path) -> None:
    chart = registry.load("reports", "errors")().html(board)
    for css, points in (("bar-curve", 4), ("bar-line", 2)):
        drawn = re.findall(rf'<polyline class="{css}" points="([^"]*)"', chart)
        assert drawn
        assert {len(line.split()) for line in drawn} == {points}
    assert f"mean bar {mean_bar(board):.3g}" in chart
    save_tradeoff(board, tmp_path / "figure.svg", "svg")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_boards_without_a_bar_have_no_curve(tmp_path: Path) -> None:
    plain = FakeRun(tmp_path).board()
    assert bar_curve(plain) == []
    assert np.isnan(mean_bar(plain))
    chart = registry.load("reports", "errors")().html(plain)
    assert "bar-line" not in chart
    assert "mean bar" not in chart


# --- where each method loses -------------------------------------------------------------


def test_every_method_has_a_sentence_with_its_numbers(board: Board, tmp_path: Path) -> None:
    text = html.unescape(section(render_page(board), "weaknesses"))
    found = dict(re.findall(r'<dt title="([^"]*)">[^<]*</dt><dd>(.*?)</dd>', text))
    methods = [r.method for r in leaderboard_rows(board) if not r.baseline]
    assert list(found) == methods
    paths = {p.name: p for p in write_report(board, tmp_path, ["csv", "md"])}
    with paths["weaknesses.csv"].open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {r.method for r in leaderboard_rows(board)}
    for method in methods:
        row, words = rows[method], found[method]
        assert row["sentence"] == words
        for name in ("worst_style", "best_pair_content", "worst_pair_style"):
            assert row[name] in words
        assert ("no clear difference between" in words) == (row["loses"] == "")
        if row["loses"]:
            assert words.startswith(f"loses in {row['loses']}: ")
    assert rows["content_copy"]["loses"] == "style"
    assert rows["style_copy"]["loses"] == "content"
    assert len(paths["weaknesses.md"].read_text().splitlines()) == len(rows)


def test_gaps_are_named_only_where_they_are_clear(board: Board) -> None:
    sentence = sys.modules[registry.load("reports", "weaknesses").__module__].sentence
    row = weaknesses(board).iloc[0].to_dict()
    clear = {"content_gap": 0.2, "content_gap_low": 0.1, "content_gap_high": 0.3}
    unclear = {"style_gap": 0.1, "style_gap_low": -0.1, "style_gap_high": 0.3}
    words = sentence({**row, **clear, **unclear}, board)
    assert "mean other method: content error +0.20 [0.10, 0.30];" in words
    assert "style error +" not in words
    neither = {"content_gap_low": -0.1}
    assert "no clear difference to the mean other method" in sentence(
        {**row, **clear, **unclear, **neither}, board
    )
    assert "one style is not enough" in sentence({**row, "low": np.nan, "high": np.nan}, board)


def test_a_board_without_both_errors_has_no_sentences(board: Board) -> None:
    metrics = {name: card for name, card in board.metrics.items() if card.role != "style"}
    section_of = registry.load("reports", "weaknesses")()
    bare = replace(board, metrics=metrics)
    assert section_of.html(bare) == ""
    assert not section_of.applies(bare)
