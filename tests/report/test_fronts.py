"""The curves of a study: interpolation, intervals, page and files."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import nstbench
from fake_board import FakeRun, Profile
from fake_study import HOSTILE, WEIGHTS, fake_study
from html_page import Page
from html_page import section as section_of
from rich.console import Console

from nstbench.analysis.ranking import build_leaderboard
from nstbench.cli.show import board as tables
from nstbench.core.board import Board
from nstbench.plan.study import StudyVariant
from nstbench.report.files import write_report
from nstbench.report.page import render_page
from nstbench.report.parts import convergence
from nstbench.report.parts.fronts import Front, FrontPoint, fronts_of, study_of
from nstbench.report.parts.rows import Row


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return fake_study(tmp_path_factory.mktemp("study"))


def synthetic_front(content: np.ndarray, style: np.ndarray) -> Front:
    """A front from style means (points, styles)."""
    row = Row("m0", "m", "m", "arbitrary", 64, "1", (1.0, 1.0), "1/1", 1, 1, {})
    return Front(
        "f",
        tuple(
            FrontPoint(StudyVariant(str(i), "f", i, {}), row, c, s)
            for i, (c, s) in enumerate(zip(content, style, strict=True))
        ),
        1.0,
    )


def test_a_curve_is_read_where_it_passes_the_level(board: Board) -> None:
    study = fronts_of(board)
    assert study is not None
    scores = board.scores[board.scores["part"] == ""]
    per_style = scores.groupby(["method", "metric", "style"])["value"].mean()
    means = per_style.groupby(["method", "metric"]).mean().unstack()
    for front in study.fronts:
        curve = means.loc[[p.variant.label for p in front.points]]
        level = float(curve["content_error"].iloc[:2].mean())
        expected = np.interp(level, curve["content_error"], curve["style_error"])
        values = front.at(level)
        assert values is not None
        assert values.mean() == pytest.approx(expected)
        assert front.at(1.5) is None


def test_intervals_agree_with_a_bootstrap_of_the_whole_curve() -> None:
    rng = np.random.default_rng(3)
    styles = 60
    hard = rng.normal(0, 0.08, styles)
    content = np.array([[0.2], [0.5], [0.9]]) + hard + rng.normal(0, 0.04, (3, styles))
    style = np.array([[0.9], [0.5], [0.3]]) + hard + rng.normal(0, 0.04, (3, styles))
    values = synthetic_front(content, style).at(0.6)
    assert values is not None
    draws = rng.integers(0, styles, (4000, styles))
    resampled = [
        np.interp(0.6, content[:, d].mean(axis=1), style[:, d].mean(axis=1)) for d in draws
    ]
    assert values.std(ddof=1) / np.sqrt(styles) == pytest.approx(np.std(resampled), rel=0.08)
    # without the variation of the content errors the interval would be too short
    naive = style[1].std(ddof=1) / np.sqrt(styles)
    assert np.std(resampled) > 1.2 * naive


def test_styles_without_a_score_are_left_out() -> None:
    content = np.array([[0.2, 0.4, np.nan], [0.6, 0.8, 0.9]])
    style = np.array([[0.8, 0.6, 0.1], [0.4, 0.2, 0.1]])
    values = synthetic_front(content, style).at(0.5)
    assert values is not None
    assert np.isnan(values[2])
    assert np.nanmean(values) == pytest.approx(0.5)


def test_a_point_with_a_failed_unit_is_not_on_its_curve(tmp_path: Path) -> None:
    complete = fake_study(tmp_path)
    victim = "b, w=3"
    units = complete.units.copy()
    first = units.index[units["method"] == victim][0]
    units.loc[first, "status"] = "failed"
    leaderboard = build_leaderboard(complete.scores, units, complete.metrics, complete.methods)
    study = fronts_of(dataclasses.replace(complete, units=units, leaderboard=leaderboard))
    assert study is not None
    front = {f.label: f for f in study.fronts}["b"]
    assert [p.variant.label for p in front.points][-1] == victim
    assert victim not in [p.variant.label for p in front.curve]
    assert front.at(0.5) is None  # between the second point and the incomplete one
    summary = {s.label: s for s in study.summaries()}["b"]
    count = (complete.units["method"].str.startswith("b,")).sum()
    assert summary.done == f"{count - 1}/{count}"
    assert summary.best_variant is not None
    assert summary.best_variant.label != victim


def test_the_lowest_style_error_of_several_passes_is_used() -> None:
    content = np.array([[0.2, 0.2], [0.6, 0.6], [0.2, 0.2]])
    style = np.array([[0.8, 0.8], [0.5, 0.5], [0.1, 0.1]])
    values = synthetic_front(content, style).at(0.4)
    assert values is not None
    assert values.mean() == pytest.approx(0.3)


def test_differences_are_taken_style_by_style(board: Board) -> None:
    study = fronts_of(board)
    assert study is not None
    summaries = {s.label: s for s in study.summaries()}
    assert not any(change.known for change in summaries["a"].change)
    for change, at in zip(summaries["b"].change, summaries["b"].at, strict=True):
        assert change.value == pytest.approx(-0.2, abs=0.04)
        assert change.high < 0
        assert change.high - change.low < at.high - at.low
    assert summaries["b"].best.value < summaries["a"].best.value


def test_levels_are_round_and_within_the_curves(board: Board) -> None:
    study = fronts_of(board)
    assert study is not None
    assert len(study.levels) == 3
    for level in study.levels:
        assert level == pytest.approx(round(level, 2))
        assert all(front.at(level) is not None for front in study.fronts)


def test_page_shows_curves_table_and_points(board: Board) -> None:
    page = render_page(board)
    assert 'class="broken"' not in page
    assert 'id="errors"' not in page
    section = section_of(page, "fronts")
    parsed = Page(section)
    assert HOSTILE.split("|")[0] not in section
    marks = [a for a in parsed.all("g") if "data-tip" in a]
    assert len(marks) == 2 * 9
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in marks)
    assert sum("line s" in (a.get("class") or "") for a in parsed.all("polyline")) == 2 * 3
    assert "Is b &lt;better&gt; than a?" in section
    study = fronts_of(board)
    assert study is not None
    head, *curves = parsed.tables["Comparison of the curves"]
    assert len(head) == 5 + 2 * len(study.levels)
    assert [row[0] for row in curves] == [front.label for front in study.fronts]
    assert len(parsed.tables["Points of the study"]) == 1 + 3 * len(WEIGHTS)


def test_chart_draws_the_points_at_their_values(board: Board) -> None:
    page = render_page(board)
    lines = re.findall(r'<polyline class="line s1 d1" points="([^"]+)"', page)
    pixels = np.array([[float(v) for v in p.split(",")] for p in lines[0].split()])
    study = fronts_of(board)
    assert study is not None
    points = study.fronts[1].points
    values = np.array(
        [[p.row.of(study.content).value, p.row.of(study.style).value] for p in points]
    )
    for axis in (0, 1):
        assert abs(np.corrcoef(pixels[:, axis], values[:, axis])[0, 1]) > 0.9999


def test_files_hold_every_point_and_the_comparison(board: Board, tmp_path: Path) -> None:
    written = {p.name: p for p in write_report(board, tmp_path, ["csv", "md", "svg"])}
    frame = pd.read_csv(written["fronts.csv"])
    assert list(frame["series"].unique()) == ["a", "b", HOSTILE]
    assert list(frame["w"]) == [*WEIGHTS] * 3
    expected = board.leaderboard.set_index("method")["style_error"]
    got = frame[(frame["series"] == "b") & (frame["w"] == 2)]["style_error"]
    assert got.item() == pytest.approx(expected["b, w=2"])
    lines = written["fronts.md"].read_text().splitlines()
    assert len(lines) == 2 + 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "convergence.svg" in written
    assert written["fronts.svg"].read_text().count("Content error") == 1


def test_figures_repeat(board: Board, tmp_path: Path) -> None:
    for name in ("fronts.svg", "convergence.svg"):
        write_report(board, tmp_path / "1", ["svg"])
        write_report(board, tmp_path / "2", ["svg"])
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_other_boards_have_no_curves(tmp_path: Path) -> None:
    plain = FakeRun(tmp_path / "run").board()
    assert study_of(plain) is None
    names = {p.name for p in write_report(plain, tmp_path / "out", ["csv", "md", "html"])}
    assert not any(name.startswith("fronts") for name in names)
    assert {"comparisons.csv", "leaderboard.csv", "leaderboard.md", "index.html"} <= names


def test_unfinished_studies_render(tmp_path: Path) -> None:
    full = fake_study(tmp_path, contents=1)
    # one series did not run, another one has a single point
    gone = ["a, w=1", "a, w=2", *(f"b, w={w}" for w in WEIGHTS)]
    scores = full.scores[~full.scores["method"].isin(gone)]
    units = full.units.assign(
        status=full.units["status"].where(~full.units["method"].isin(gone), "pending")
    )
    leaderboard = build_leaderboard(scores, units, full.metrics, full.methods)
    board = dataclasses.replace(full, scores=scores, units=units, leaderboard=leaderboard)
    assert 'class="broken"' not in render_page(board)
    study = fronts_of(board)
    assert study is not None
    assert [(f.label, len(f.points)) for f in study.fronts] == [("a", 1), (HOSTILE, 3)]
    assert write_report(board, tmp_path / "out", ["csv", "md", "svg"])


def test_convergence_has_the_middle_variant_of_each_curve(board: Board) -> None:
    methods = convergence.method_curves(board)
    assert [m.label for m in methods] == ["a", "b", HOSTILE]
    grid, (low, median, high) = methods[0].quartiles("steps")
    assert np.all(low <= median)
    assert np.all(median <= high)
    keys = board.units.loc[board.units["method"] == "a, w=2", "key"]
    each = []
    for key in list(keys)[:: max(1, len(keys) // convergence.MAX_READ)][: convergence.MAX_READ]:
        trace = pd.DataFrame(board.trace(key))
        each.append(np.interp(grid, trace["step"], trace["total"] / trace["total"].iloc[0]))
    assert median == pytest.approx(np.median(each, axis=0))
    assert "w = 2" in convergence.traced_note(board)


def test_charts_omit_methods_that_the_table_lists(tmp_path: Path) -> None:
    profiles = [
        Profile(f"m{i}", "arbitrary", 0.4, 0.4, 1.0, 1e6, iterative=True)
        for i in range(convergence.MAX_DRAWN + 3)
    ]
    many = FakeRun(tmp_path, profiles=profiles, contents=1, styles=2, fail=0).board()
    page = render_page(many)
    parsed = Page(section_of(page, "convergence"))
    lines = [a for a in parsed.all("polyline") if (a["class"] or "").startswith("line")]
    bands = [a for a in parsed.all("polyline") if (a["class"] or "").startswith("band")]
    # two axes, two scales, two widths
    assert len(lines) == len(bands) == 8 * convergence.MAX_DRAWN
    names = [row[0] for row in parsed.tables["Convergence table"][1:]]
    assert names == [f"m{i}" for i in range(convergence.MAX_DRAWN + 3)]


def test_terminal_shows_the_curves(
    board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables, "console", lambda: Console(width=300))
    tables.print_board(board)
    text = capsys.readouterr().out
    assert "Curves of gatys_2015" in text
    assert "difference from" in text


@pytest.mark.slow
def test_sweep_from_command_to_report(
    picture_folders: tuple[Path, Path], tmp_path: Path, network_weights: None
) -> None:
    contents, styles = picture_folders
    nstbench(
        "sweep", "pixel_blend", "--grid", "amount=0..1:5", "--contents", str(contents),
        "--styles", str(styles), "--size", "64", "--metrics", "uef,content_error,style_error",
        "--timing-repeats", "0", "--format", "csv,html", cwd=tmp_path,
    )  # fmt: skip
    (run,) = (tmp_path / "runs").glob("sweep_pixel_blend-*")
    frame = pd.read_csv(run / "report" / "fronts.csv")
    assert list(frame["amount"]) == [0, 0.25, 0.5, 0.75, 1]
    # a blend goes from the content to the style, where the errors are 0 and 1
    assert frame["content_error"].is_monotonic_increasing
    assert frame["style_error"].is_monotonic_decreasing
    assert frame["content_error"].iloc[[0, -1]].to_list() == pytest.approx([0, 1], abs=1e-6)
    assert frame["style_error"].iloc[[0, -1]].to_list() == pytest.approx([1, 0], abs=1e-6)
    before = (run / "report" / "fronts.csv").read_bytes()
    (run / "report" / "fronts.csv").unlink()
    nstbench("report", str(run), cwd=tmp_path)
    assert (run / "report" / "fronts.csv").read_bytes() == before
    assert 'id="fronts"' in (run / "report" / "index.html").read_text()
