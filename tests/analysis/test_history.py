"""A folder of baselines over time: trends and change points."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fake_board import FakeRun
from html_page import Page
from typer.testing import CliRunner

from nstbench.analysis.regression.baseline import Baseline, from_board, load_baseline
from nstbench.analysis.regression.history import add, load_history, trends
from nstbench.analysis.regression.tolerances import parse_tolerances
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.report.history_page import history_page

FACTORS = (1.0, 1.001, 1.3, 1.3, 1.31, 1.0)


def changed(baseline: Baseline, factor: float, index: int) -> Baseline:
    """Return the baseline a few days later, with the UEF of one method multiplied."""
    entries = tuple(
        dataclasses.replace(
            e, scores={**e.scores, "uef": tuple(factor * v for v in e.scores["uef"])}
        )
        if e.method == "gatys_2015"
        else e
        for e in baseline.entries
    )
    saved = f"2026-11-{index + 1:02d}T10:00:00+00:00"
    return dataclasses.replace(baseline, entries=entries, saved=saved, version=f"0.{index}.0")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    baseline = from_board(
        FakeRun(tmp_path_factory.mktemp("fake"), contents=4, styles=3, fail=0).board()
    )
    folder = tmp_path_factory.mktemp("history")
    for index, factor in enumerate(FACTORS):
        add(folder, changed(baseline, factor, index))
    return folder


def trends_of(folder: Path):
    versions = load_history(folder)
    return versions, trends(versions, parse_tolerances([], versions[-1].baseline.metrics))


def test_versions_are_in_the_order_of_time(history: Path) -> None:
    assert [version.label for version in load_history(history)] == [f"0.{i}.0" for i in range(6)]


def test_change_points_are_where_the_numbers_changed(history: Path) -> None:
    _, found = trends_of(history)
    changing = {(t.method, t.metric): t for t in found if t.changes}
    assert set(changing) == {("gatys_2015", "uef")}
    trend = changing["gatys_2015", "uef"]
    assert [(c.label, c.since, c.worse) for c in trend.changes] == [
        ("0.2.0", "0.0.0", True),
        ("0.5.0", "0.2.0", False),
    ]
    first = trend.points[0].value
    assert [p.value / first for p in trend.points] == pytest.approx(FACTORS, rel=1e-4)


def test_a_slow_drift_is_found(history: Path, tmp_path: Path) -> None:
    baseline = load_history(history)[0].baseline
    for index in range(5):
        add(tmp_path, changed(baseline, 1.008**index, index))
    _, found = trends_of(tmp_path)
    (trend,) = [t for t in found if t.changes]
    assert [(c.label, c.since) for c in trend.changes] == [("0.3.0", "0.0.0")]


def only_pairs(baseline: Baseline, pairs: int) -> Baseline:
    """Keep the first units of every method."""
    entries = tuple(
        dataclasses.replace(
            e, units=e.units[:pairs], scores={n: v[:pairs] for n, v in e.scores.items()}
        )
        for e in baseline.entries
    )
    return dataclasses.replace(baseline, entries=entries)


@pytest.mark.parametrize("factors", [(1.0, 1.5, 2.25, 3.0), (1.0, 0.7, 0.5, 0.3)])
def test_few_pairs_are_marked_as_undecided(
    history: Path, tmp_path: Path, factors: tuple[float, ...]
) -> None:
    baseline = only_pairs(load_history(history)[0].baseline, 4)
    for index, factor in enumerate(factors):
        add(tmp_path, changed(baseline, factor, index))
    versions, found = trends_of(tmp_path)
    assert not any(trend.changes for trend in found), "2^-4 is not significant"
    marked = {t.metric: [p.undecided for p in t.points] for t in found if t.method == "gatys_2015"}
    assert marked.pop("uef") == ["", "0.0.0", "0.0.0", "0.0.0"]
    assert not any(map(any, marked.values()))
    assert "0 change points, 3 undecided" in history_page(versions, found)
    shown = CliRunner().invoke(app, ["history", "show", str(tmp_path)])
    assert "0.3.0: gatys_2015 at 48 px, uef" in shown.output
    assert "3 undecided points" in shown.output


def test_another_metric_version_is_a_new_reference(history: Path, tmp_path: Path) -> None:
    baseline = load_history(history)[0].baseline
    add(tmp_path, changed(baseline, 1.0, 0))
    other = changed(baseline, 1.5, 1)
    metrics = {**other.metrics, "uef": dataclasses.replace(other.metrics["uef"], version=2)}
    add(tmp_path, dataclasses.replace(other, metrics=metrics))
    assert not any(trend.changes for trend in trends_of(tmp_path)[1])


def test_the_page_marks_change_points_and_loads_no_other_file(history: Path) -> None:
    page = Page(history_page(*trends_of(history)))
    text = history_page(*trends_of(history))
    assert "2 change points" in text
    assert text.count("worse since 0.0.0") >= 1
    svgs = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert len(svgs) == 7 * 4, "a chart per method and metric"
    assert not [a for _, a in page.elements if str(a.get("src", "")).startswith("http")]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_hostile_labels_are_escaped(history: Path, tmp_path: Path) -> None:
    baseline = load_history(history)[0].baseline
    entry = dataclasses.replace(baseline.entries[0], method="<script>x</script>")
    path = add(tmp_path, dataclasses.replace(baseline, entries=(entry,)), "../<b>1")
    assert path.parent == tmp_path
    assert "<script>x" not in history_page(*trends_of(tmp_path))


def test_the_commands(history: Path, tmp_path: Path) -> None:
    source = next(iter(sorted(history.glob("*.json"))))
    folder = tmp_path / "history"
    run = CliRunner().invoke
    assert run(app, ["history", "add", str(folder), str(source), "--label", "1.0"]).exit_code == 0
    again = run(app, ["history", "add", str(folder), str(source), "--label", "1.0"])
    assert isinstance(again.exception, UsageError)
    assert "already" in str(again.exception)
    assert load_baseline(next(folder.glob("*_1.0.json"))) == load_baseline(source)
    shown = run(app, ["history", "show", str(history), "--out", str(tmp_path / "page.html")])
    assert shown.exit_code == 0
    assert "0.2.0: gatys_2015 at 48 px, uef" in shown.output
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    with pytest.raises(UsageError, match="contains no history"):
        load_history(tmp_path / "none")
