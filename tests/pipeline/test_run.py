"""The whole job on tiny real input: run, kill, resume, score, report, and the API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slow_method import write_slow_method

import nstbench
from nstbench.core.errors import StoreError, UsageError
from nstbench.pipeline.job import execute, rescore
from nstbench.plan import variants
from nstbench.plan.config_file import build_config
from nstbench.plugins import registry
from nstbench.store.atomic_files import read_json
from nstbench.store.store import Store

METHODS = "content_copy,style_copy,pixel_blend,noise"


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    return {
        "methods": METHODS,
        "contents": str(contents),
        "styles": str(styles),
        "size": 64,
        "timing_repeats": 2,
        "device": "cpu",
        "threads": 1,
        "out": tmp_path / "run",
    }


def command_line(settings, *more):
    options = [
        f"--{'format' if name == 'formats' else name.replace('_', '-')}={value}"
        for name, value in settings.items()
    ]
    return [sys.executable, "-m", "nstbench", "run", *options, *more]


def finish_times(root):
    return {
        path.stem: json.loads(path.read_text())["finished"]
        for path in (root / "outputs").rglob("*.json")
    }


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A small real board that several tests look at and none changes."""
    root = tmp_path_factory.mktemp("board")
    rng = np.random.default_rng(1)
    from PIL import Image

    for role in ("contents", "styles"):
        (root / role).mkdir()
        for index in range(2):
            coarse = rng.integers(0, 255, (4 + 6 * (role == "styles"), 5, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((90, 80)).save(root / role / f"{role[0]}{index}.png")
    return nstbench.run(
        methods=METHODS,
        contents=root / "contents",
        styles=root / "styles",
        size=64,
        timing_repeats=2,
        device="cpu",
        threads=1,
        out=root / "run",
    )


def test_every_unit_is_done_and_scored(board):
    assert set(board.units["status"]) == {"done"}
    assert list(board.leaderboard["coverage"].unique()) == ["4/4"]
    pair_metrics = {name for name, card in board.metrics.items() if card.scope == "pair"}
    usable = {name for name in pair_metrics if board.metrics[name].availability.ok}
    main = board.scores[board.scores["part"] == ""]
    counts = main[main["metric"].isin(usable)].groupby("metric").size()
    assert set(counts.index) == usable
    assert set(counts) == {16}


def test_copies_have_a_total_error_of_one(board):
    values = board.leaderboard.set_index("method")["total_error"]
    assert values["content_copy"] == pytest.approx(1, abs=1e-3)
    assert values["style_copy"] == pytest.approx(1, abs=1e-3)


def test_files_are_there_and_agree(board):
    report = board.root / "report"
    table = pd.read_csv(report / "leaderboard.csv")
    assert table.columns[0] == "method"
    assert set(table["method"]) == set(METHODS.split(","))
    merged = table.set_index("method").loc[board.leaderboard["method"]]
    for name in ("uef", "latency", "ssim"):
        assert np.allclose(merged[name], board.leaderboard[name], rtol=1e-6, equal_nan=True)
    tidy = pd.read_parquet(report / "scores.parquet")
    assert len(tidy[(tidy["metric"] == "uef") & (tidy["part"] == "")]) == 16
    page = (report / "index.html").read_text()
    for method in METHODS.split(","):
        assert method in page


def test_board_in_a_notebook(board, tmp_path):
    assert "<table" in board._repr_html_()
    board.to_csv(tmp_path / "x.csv")
    assert len(pd.read_csv(tmp_path / "x.csv")) == 4
    assert board.to_html(tmp_path / "x.html").lower().startswith("<!doctype html>")


def test_timing_is_recorded_with_its_samples(board):
    for timing in board.timings:
        assert len(timing.latency) >= 2
        assert timing.calibration
    latency = board.leaderboard.set_index("method")["latency"]
    assert (latency > 0).all()


def test_second_run_repeats_nothing_and_gives_the_same_table(settings):
    first = execute(build_config(settings))
    before = finish_times(settings["out"])
    second = execute(build_config(settings))
    assert finish_times(settings["out"]) == before
    pd.testing.assert_frame_equal(first.leaderboard, second.leaderboard)


def test_resume_never_runs_everything_again(settings):
    settings |= {"methods": "content_copy", "metrics": ("ssim",), "timing_repeats": 0}
    execute(build_config(settings))
    before = finish_times(settings["out"])
    execute(build_config(settings | {"resume": "never"}))
    after = finish_times(settings["out"])
    assert before.keys() == after.keys()
    assert all(after[key] > before[key] for key in before)


def test_a_new_metric_runs_no_method(settings, monkeypatch):
    execute(build_config(settings | {"metrics": ("ssim",)}))
    before = finish_times(settings["out"])
    board = rescore(settings["out"], metrics="ssim,gram_distance", device="cpu")
    assert finish_times(settings["out"]) == before
    assert board.leaderboard["gram_distance"].notna().all()


def test_failures_are_rows_and_lower_the_coverage(settings, tmp_path):
    check = "assert content.name != 'c1' or self.style.name != 's1', 'bad pair'"
    plugin = write_slow_method(tmp_path, 0, check).rename(tmp_path / "often_broken.py")
    settings |= {"methods": "content_copy,often_broken", "plugins": (plugin,), "metrics": ("ssim",)}
    board = execute(build_config(settings))
    row = board.leaderboard.set_index("method").loc["often_broken"]
    assert row["coverage"] == "3/4"
    failed = board.units[board.units["status"] == "failed"]
    assert "bad pair" in failed["message"].item()
    assert "AssertionError" in failed["traceback"].item()
    assert "bad pair" in (settings["out"] / "report" / "index.html").read_text()


def test_kill_and_run_again(settings, tmp_path):
    """SIGKILL in the middle; the same command gives the table of an undisturbed run."""
    plugin = write_slow_method(tmp_path, 0.5)
    settings |= {"methods": "content_copy,slow_method,noise", "timing_repeats": 0}
    settings |= {"metrics": "ssim,gram_distance", "formats": "csv"}
    undisturbed = settings | {"out": tmp_path / "undisturbed"}
    subprocess.run(command_line(undisturbed, f"--plugin={plugin}"), check=True, capture_output=True)
    process = subprocess.Popen(
        command_line(settings, f"--plugin={plugin}"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    store = Store(settings["out"])
    deadline = time.monotonic() + 120
    while not any(store.records("slow_method")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed_at = finish_times(settings["out"])
    assert 0 < len(killed_at) < 12
    assert not (settings["out"] / "report" / "leaderboard.csv").exists()
    subprocess.run(command_line(settings, f"--plugin={plugin}"), check=True, capture_output=True)
    after = finish_times(settings["out"])
    assert len(after) == 12
    assert {key: after[key] for key in killed_at} == killed_at, "finished units ran again"
    one = (settings["out"] / "report" / "leaderboard.csv").read_bytes()
    assert one == (tmp_path / "undisturbed" / "report" / "leaderboard.csv").read_bytes()


def test_dry_run_writes_no_output(settings):
    assert execute(build_config(settings), dry_run=True) is None
    assert not (settings["out"] / "outputs").exists()
    assert not (settings["out"] / "run.json").exists()


def test_python_api_refuses_unknown_settings(settings):
    with pytest.raises(UsageError, match="no setting called 'sise'"):
        nstbench.run(methods=METHODS, sise=3)


def test_run_json_tells_what_was_run(board):
    info = read_json(board.root / "run.json")
    assert info["environment"]["device"] == "cpu"
    assert info["finished"] >= info["started"]
    assert info["config"]["size"] == 64
    assert [card["method"] for card in info["methods"]] == METHODS.split(",")
    assert registry.names("methods")


def test_the_configuration_is_resolved_once(picture_folders, tmp_path, monkeypatch):
    contents, styles = picture_folders
    made = []
    make = variants.make_variant
    monkeypatch.setattr(
        variants, "make_variant", lambda spec, params: made.append(spec.name) or make(spec, params)
    )
    settings = {"contents": str(contents), "styles": str(styles), "size": 32, "metrics": ("ssim",)}
    nstbench.run(METHODS, **settings, timing_repeats=1, formats=(), out=tmp_path / "run")
    assert made == METHODS.split(",")


def test_run_json_is_read_once_to_load_a_board(picture_folders, tmp_path, monkeypatch):
    contents, styles = picture_folders
    settings = {"contents": str(contents), "styles": str(styles), "size": 32, "metrics": ("ssim",)}
    nstbench.run("content_copy", **settings, timing_repeats=0, formats=(), out=tmp_path / "run")
    read = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))
    nstbench.load_run(tmp_path / "run")
    assert read.count("run.json") == 1


def test_a_damaged_run_json_is_named(picture_folders, tmp_path):
    contents, styles = picture_folders
    settings = {"contents": str(contents), "styles": str(styles), "size": 32, "metrics": ("ssim",)}
    nstbench.run("content_copy", **settings, timing_repeats=0, formats=(), out=tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"schema": 1, "methods"')
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        nstbench.load_run(tmp_path / "run")
    board = nstbench.run(
        "content_copy", **settings, timing_repeats=0, formats=(), out=tmp_path / "run"
    )
    assert set(board.units["status"]) == {"done"}


def test_a_dry_run_leaves_no_file(picture_folders, tmp_path):
    contents, styles = picture_folders
    config = build_config(
        {"methods": METHODS, "contents": str(contents), "styles": str(styles), "size": 32,
         "out": tmp_path / "run"}
    )  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    assert execute(config, dry_run=True) is None
    assert sorted(tmp_path.rglob("*")) == before
