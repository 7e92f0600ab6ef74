"""The report of a run that goes on: partial rows, and the same scores as at the end."""

from __future__ import annotations

import json
import re
import shutil
import time

import pandas as pd
import pytest

from nstbench.generate.executors.local import LocalExecutor
from nstbench.pipeline import growing_report
from nstbench.pipeline.growing_report import GrowingReport
from nstbench.pipeline.job import execute
from nstbench.plan.config_file import build_config
from nstbench.plan.listener import Listener
from nstbench.report.files import PAGE
from nstbench.store.run_info import read_scores

METHODS = ("content_copy", "pixel_blend", "reinhard_2001")


class Watcher(Listener):
    """Keeps the page and the scores after each unit."""

    def __init__(self, root):
        self.root = root
        self.pages: list[str] = []
        self.scores: list[pd.DataFrame] = []
        self.paths = []

    def report_grows(self, page):
        self.paths.append(page)

    def finished(self, unit, record):
        page = self.root / "report" / PAGE
        self.pages.append(page.read_text() if page.is_file() else "")
        self.scores.append(read_scores(self.root / "scores.parquet"))


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    return {
        "methods": ",".join(METHODS), "metrics": ("ssim", "color_distance"), "timing_repeats": 0,
        "contents": str(contents), "styles": str(styles), "size": 32, "limit": 2,
        "device": "cpu", "out": tmp_path / "run", "formats": ("html", "csv"),
    }  # fmt: skip


@pytest.fixture
def at_once(monkeypatch):
    """Write the page after every unit."""
    monkeypatch.setattr(growing_report, "EVERY_SECONDS", 0.0)


def done_of(page: str) -> tuple[int, int] | None:
    found = re.search(r"incomplete: (\d+) of (\d+) units", page)
    return (int(found[1]), int(found[2])) if found else None


def test_the_page_grows_and_says_so(settings, at_once):
    watcher = Watcher(settings["out"])
    board = execute(build_config(settings), listener=watcher)
    total = len(board.units)
    counts = [done_of(page) for page in watcher.pages]
    assert counts[0] == (0, total), "the first page is there before the first unit"
    assert None not in counts
    done = [count[0] for count in counts]
    assert done == sorted(done)
    assert done[-1] >= total - 3
    assert all('http-equiv="refresh"' in page for page in watcher.pages)
    assert watcher.paths == [settings["out"] / "report" / PAGE], "named once"
    rows = [{m for m in METHODS if m in set(scores["method"])} for scores in watcher.scores]
    assert rows[0] == set()
    assert {METHODS[0]} in rows, "rows of the first method alone"
    final = (settings["out"] / "report" / PAGE).read_text()
    assert done_of(final) is None
    assert 'http-equiv="refresh"' not in final


def test_scores_of_a_growing_run_are_those_of_the_end(
    settings, at_once, monkeypatch, network_weights, tmp_path
):
    settings |= {"metrics": ("ssim", "color_distance", "gram_distance", "fd_vgg16")}
    watcher = Watcher(settings["out"])
    grown = execute(build_config(settings), listener=watcher)
    partial = watcher.scores[-1]
    later = settings | {"out": tmp_path / "late"}
    # the same outputs, scored at the end only
    execute(build_config(later | {"metrics": ("ssim",)}))
    shutil.rmtree(tmp_path / "late" / "scores")
    monkeypatch.setattr(growing_report, "EVERY_SECONDS", 1e9)
    late = execute(build_config(later))
    columns = ["method", "content", "style", "metric", "part"]
    ordered = [board.scores.sort_values(columns).reset_index(drop=True) for board in (grown, late)]
    pd.testing.assert_frame_equal(*ordered, check_exact=True)
    assert len(partial)
    assert {"ssim", "fd_vgg16"} <= set(grown.scores["metric"])
    both = partial.merge(grown.scores, on=columns, suffixes=("_then", "_end"))
    assert len(both) == len(partial)
    assert (both["value_then"] == both["value_end"]).all()


def test_outputs_are_scored_as_they_come_where_units_go_on(settings, monkeypatch, tmp_path):
    plain = execute(build_config(settings | {"out": tmp_path / "plain"}))
    monkeypatch.setattr(LocalExecutor, "_shares_cores", lambda self: False)
    monkeypatch.setattr(growing_report, "AHEAD_EVERY", 0.0)
    watcher, before = Watcher(settings["out"]), []
    board_of_end = GrowingReport.scores

    def scores(self, listener, *seconds):
        if not seconds:
            before.append(len(list((settings["out"] / "scores").rglob("*.json"))))
        return board_of_end(self, listener, *seconds)

    monkeypatch.setattr(GrowingReport, "scores", scores)
    board = execute(build_config(settings), listener=watcher)
    assert before[0] >= len(board.scores) / 2, "most scores exist before the stage begins"
    assert set(watcher.pages) == {""}, "without a page"
    columns = ["method", "content", "style", "metric", "part"]
    ordered = [each.scores.sort_values(columns).reset_index(drop=True) for each in (plain, board)]
    pd.testing.assert_frame_equal(*ordered)
    records = [json.loads(p.read_text()) for p in (settings["out"] / "outputs").rglob("*.json")]
    assert {record["alone"] for record in records} == {True, False}


def test_a_quick_run_writes_one_page(settings):
    watcher = Watcher(settings["out"])
    execute(build_config(settings), listener=watcher)
    assert set(watcher.pages) == {""}
    assert watcher.paths == []


def test_the_path_is_named_before_the_first_unit_of_a_long_run(settings, monkeypatch):
    monkeypatch.setattr(growing_report, "EVERY_SECONDS", 0.01)
    events = []

    class Order(Watcher):
        def report_grows(self, page):
            events.append("page")

        def finished(self, unit, record):
            events.append("unit")

        def stage(self, name, total, seconds=None):
            events.append(name)

    execute(build_config(settings), listener=Order(settings["out"]))
    assert events.index("page") < events.index("generate") < events.index("unit")


def test_the_seconds_of_scoring_are_not_those_of_generation(settings, at_once, monkeypatch):
    write = growing_report.GrowingReport._write_page

    def slowly(self):
        time.sleep(0.1)
        write(self)

    monkeypatch.setattr(growing_report.GrowingReport, "_write_page", slowly)
    board = execute(build_config(settings))
    stages = board.info["stage_seconds"]
    assert stages["report"] >= 0.1 * 8
    assert sum(stages.values()) <= board.info["wall_seconds"]


def test_a_page_without_time_for_scoring_is_written_and_the_end_has_all_scores(
    settings, at_once, monkeypatch
):
    monkeypatch.setattr(growing_report, "SCORING_SECONDS", 0.0)
    watcher = Watcher(settings["out"])
    board = execute(build_config(settings), listener=watcher)
    assert {len(scores) for scores in watcher.scores} == {0}
    assert done_of(watcher.pages[-1])[0] > 0
    values = board.scores[(board.scores["metric"] == "ssim") & (board.scores["part"] == "")]
    assert len(values) == len(board.units)
