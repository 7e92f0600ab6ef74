"""What the terminal shows during a run: few lines, the time left, one line per cause."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner
from unit_records import unit_record

import nstbench
from nstbench.cli.app import app
from nstbench.core.records import Status
from nstbench.pipeline import job, progress
from nstbench.pipeline.progress import TerminalListener, blocked
from nstbench.pipeline.status import read_status, time_left
from nstbench.pipeline.time_spent import TimeLeft
from nstbench.plan.config_file import build_config
from nstbench.plan.listener import Listener, NoteKeeper
from nstbench.plan.plan_file import read_plan
from nstbench.store.store import Store


def listener(**options) -> TerminalListener:
    return TerminalListener(Console(file=io.StringIO(), width=100), **options)


def printed(shown: TerminalListener) -> list[str]:
    assert isinstance(shown.console.file, io.StringIO)
    return shown.console.file.getvalue().splitlines()


def test_a_run_shows_at_most_25_lines_before_the_board(tmp_path):
    config = build_config({"limit": 1, "size": 32, "out": tmp_path / "run", "device": "cpu"})
    plan = job.plan_run(config)[2]
    assert len(plan.methods) > 8
    shown = listener()
    shown.planned(plan)
    for name, total in (("weights", 3), ("generate", 40), ("time", 9), ("score", 40)):
        shown.stage(name, total)
        for index in range(total):
            shown.began(f"item {index}")
            if name != "generate":
                shown.note(f"{name} {index}: " + "a long reason " * 50)
            shown.advanced()
    shown.stage("report", 1)
    shown.close()
    lines = printed(shown)
    assert len(lines) <= 25
    assert lines[-1].startswith("... and ")
    assert lines[-1].endswith("more notes (in the report)")
    # the plan as a table, and all notes, where only the plan is asked for
    full = listener(full=True)
    full.planned(plan)
    assert sum(name in "\n".join(printed(full)) for name in plan.methods) == len(plan.methods)


def test_methods_with_one_cause_share_a_note(tmp_path):
    config = build_config({"methods": "johnson_2016,texture_net", "out": tmp_path / "run"})
    try:
        plan = job.plan_run(config)[2]
    except nstbench.core.errors.UsageError:
        config = build_config({"methods": "johnson_2016", "out": tmp_path / "run"})
        plan = job.plan_run(config)[2]
    lines = blocked(plan)
    assert len(lines) == len({line.partition(": ")[2] for line in lines})


def test_long_stages_without_a_terminal_print_lines(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = listener()
    shown.stage("validate", 264)
    for _ in range(264):
        now[0] += 5.0
        shown.advanced()
    lines = printed(shown)
    # after 20 s, then 40, 80, ... s later
    assert lines[1].startswith("  4/264")
    assert lines[1].endswith(", about 22 min left")
    assert lines[2].startswith("  12/264")
    assert 5 <= len(lines) <= 8


def test_a_failure_is_shown_once_per_method_and_reason(tmp_path):
    config = build_config({"methods": "noise", "limit": 2, "size": 32, "out": tmp_path / "run"})
    plan = job.plan_run(config)[2]
    shown = listener()
    shown.planned(plan)
    shown.stage("generate", len(plan.pending))
    before = len(printed(shown))
    for unit in plan.pending:
        record = unit_record(unit.key, plugin="noise", message="no GPU")
        shown.finished(unit, record)
        shown.advanced()
    assert len(printed(shown)) == before + 1


def test_the_first_unit_of_a_method_corrects_the_estimate():
    left = TimeLeft({"slow": 1.0, "fast": 2.0}, ["slow"] * 10 + ["fast"] * 5, workers=2)
    assert left.seconds == pytest.approx(10)
    left.add(done("slow", 90.0))
    assert left.seconds == pytest.approx((9 * 90 + 10) / 2)
    left.add(done("slow", 110.0))
    assert left.seconds == pytest.approx((8 * 100 + 10) / 2)
    # a failure takes a unit away and measures nothing
    left.add(done("fast", None, Status.FAILED))
    assert left.seconds == pytest.approx((8 * 100 + 8) / 2)


def done(method: str, seconds: float | None, status: Status = Status.DONE):
    from dataclasses import replace

    record = unit_record("0" * 64, plugin=method)
    return replace(record, method=method, status=status, seconds=seconds)


def test_guesses_are_scaled_by_the_speed_of_the_machine(tmp_path, monkeypatch):
    config = build_config(
        {"methods": "gatys_2015:iterations=400,noise", "size": 256, "out": tmp_path / "run",
         "device": "cpu"}
    )  # fmt: skip
    monkeypatch.setattr(
        job, "kernel_seconds_per_pixel", lambda device, threads: 3 * job.KERNEL_SECONDS_PER_PIXEL
    )
    plan = job.plan_run(config)[2]
    scaled = job.scaled_to_machine(plan, threads=1)
    assert scaled.expected_seconds == pytest.approx(3 * plan.expected_seconds)
    small = job.plan_run(build_config({"methods": "noise", "out": tmp_path / "b"}))[2]
    assert job.scaled_to_machine(small, threads=1) is small


def test_status_shows_the_time_left(picture_folders, tmp_path):
    contents, styles = picture_folders
    nstbench.run(
        "content_copy,pixel_blend", contents, styles, metrics="ssim", size=64, timing_repeats=0,
        device="cpu", threads=1, out=tmp_path / "run", formats="csv",
    )  # fmt: skip
    assert time_left(read_status(tmp_path / "run")) == ""
    store = Store(tmp_path / "run")
    units = [unit for unit in read_plan(store.root) if unit["plugin"] == "content_copy"]
    from dataclasses import replace

    for unit in units:
        record = store.record(unit["plugin"], unit["key"])
        store.write_record(replace(record, seconds=100.0))
    for unit in units[:3]:
        store.record_path(unit["plugin"], unit["key"]).unlink()
    status = read_status(store.root)
    assert status.seconds_left == pytest.approx(300)
    assert time_left(status) == "3 units left: about 5 min, once the run goes on."
    result = CliRunner().invoke(app, ["status", str(store.root)])
    assert "3 units left: about 5 min" in result.output


def test_notes_of_a_run_are_kept_once_for_the_report():
    heard = []

    class Ear(Listener):
        def note(self, message):
            heard.append(message)

    keeper = NoteKeeper(Ear())
    for message in ("a", "b", "a"):
        keeper.note(message)
    assert heard == keeper.notes == ["a", "b"]


def test_the_report_has_the_notes(picture_folders, tmp_path):
    contents, styles = picture_folders
    settings = {
        "contents": contents, "styles": styles, "metrics": "ssim", "size": 64,
        "timing_repeats": 0, "device": "cpu", "threads": 1, "out": tmp_path / "run",
        "formats": "html", "limit": 1,
    }  # fmt: skip
    nstbench.run("content_copy", **settings)
    board = nstbench.run("noise", **settings)
    (note,) = board.info["notes"]
    assert "contains a run with other settings" in note
    assert "contains a run with other settings" in (tmp_path / "run/report/index.html").read_text()


def test_seeds_with_commas_show_their_spread(picture_folders, tmp_path):
    contents, styles = picture_folders
    arguments = [
        "run", "--methods", "noise", "--contents", contents, "--styles", styles, "--size", "64",
        "--metrics", "ssim", "--timing-repeats", "0", "--format", "html,csv,md", "--seed", "0,1",
        "--seed", "2", "--device", "cpu", "--threads", "1", "--out", tmp_path / "run",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "over seeds" in result.output
    board = nstbench.load_run(tmp_path / "run")
    assert sorted(set(board.units["seed"])) == [0, 1, 2]
    means = board.scores.groupby(["seed", "style"])["value"].mean().groupby("seed").mean()
    (row,) = board.leaderboard.to_dict("records")
    assert row["ssim_seeds"] == pytest.approx(means.std(ddof=1))
    assert "over seeds" in (tmp_path / "run" / "report" / "index.html").read_text()
    assert "over seeds" in (tmp_path / "run" / "report" / "leaderboard.md").read_text()
