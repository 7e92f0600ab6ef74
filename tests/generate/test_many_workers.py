"""Small complete runs with several workers, several processes and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from slow_method import write_slow_method

from nstbench.core.errors import UsageError
from nstbench.pipeline import timing_stage
from nstbench.pipeline.job import execute
from nstbench.plan.config_file import build_config
from nstbench.store.atomic_files import read_json
from nstbench.store.leases import Leases
from nstbench.store.store import Store


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    plugin = write_slow_method(tmp_path, 0.4)
    return {
        "methods": "content_copy,slow_method,pixel_blend", "plugins": (plugin,),
        "contents": str(contents), "styles": str(styles), "size": 64, "timing_repeats": 0,
        "metrics": ("ssim",), "formats": ("csv",), "device": "cpu",
        "threads": 1, "out": tmp_path / "run",
    }  # fmt: skip


def command(settings, *more):
    given = {name: value for name, value in settings.items() if name != "plugins"}
    given["metrics"], given["format"] = ",".join(given["metrics"]), ",".join(given.pop("formats"))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    options += [f"--plugin={file}" for file in settings["plugins"]]
    return [sys.executable, "-m", "nstbench", "run", *options, *more]


def records(root):
    return [json.loads(path.read_text()) for path in (root / "outputs").rglob("*.json")]


def table(root):
    return (root / "report" / "leaderboard.csv").read_bytes()


def wait_for(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


def test_two_workers_give_the_table_of_one(settings, tmp_path):
    execute(build_config(settings))
    both = settings | {"out": tmp_path / "both", "workers": 2}
    board = execute(build_config(both))
    assert table(tmp_path / "both") == table(settings["out"])
    written = records(tmp_path / "both")
    assert len({record["process"] for record in written}) == 2
    assert {record["threads"] for record in written} == {1}
    assert {record["alone"] for record in written} == {False}
    assert {record["alone"] for record in records(settings["out"])} == {True}
    assert board.info["harness_seconds"] >= 0
    assert board.info["stylize_seconds"] >= 4 * 0.4
    assert {"generate", "score"} <= board.info["stage_seconds"].keys()


@pytest.mark.slow
def test_two_processes_on_one_folder_make_one_table_and_run_each_unit_once(settings, tmp_path):
    execute(build_config(settings | {"out": tmp_path / "alone"}))
    processes = [
        subprocess.Popen(command(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outcomes = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outcomes
    assert table(settings["out"]) == table(tmp_path / "alone")
    assert len(records(settings["out"])) == 12
    assert not (settings["out"] / "leases").exists()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_first_and_stops_at_the_second_time(settings, times, tmp_path):
    write_slow_method(
        tmp_path,
        0.4,
        # The first unit ends by itself and the others wait, so the test has no race.
        f"""import pathlib
        folder = pathlib.Path({str(tmp_path)!r})
        try:
            (folder / "first").touch(exist_ok=False)
        except FileExistsError:
            while not (folder / "go on").exists():
                time.sleep(0.02)""",
    )
    log = tmp_path / "errors.txt"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command(settings, "--workers=2"), stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    store = Store(settings["out"])
    wait_for(lambda: any(store.records("slow_method")))
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "finishing the units in work" in " ".join(log.read_text().split()))
    if times == 2:
        process.send_signal(signal.SIGINT)
    else:
        (tmp_path / "go on").touch()
    out, _ = process.communicate(timeout=200)
    errors = log.read_text()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "the same command continues" in " ".join(errors.split())
    assert all(record["status"] == "done" for record in records(settings["out"]))
    before = {record["key"]: record["finished"] for record in records(settings["out"])}
    if times == 1:
        assert "Leaderboard" in out
        assert table(settings["out"])
    else:
        assert not (settings["out"] / "report" / "leaderboard.csv").exists()
    assert 0 < len(before) < 12
    assert not (settings["out"] / "leases").exists()
    (tmp_path / "go on").touch()
    board = execute(build_config(settings))
    after = {record["key"]: record["finished"] for record in records(settings["out"])}
    assert after.items() >= before.items()
    assert set(board.units["status"]) == {"done"}


def test_another_plan_is_refused_while_a_folder_is_in_use(settings):
    settings |= {"methods": "content_copy"}
    execute(build_config(settings))
    other = Leases(settings["out"])
    other.join()
    with pytest.raises(UsageError, match="is running another plan"):
        execute(build_config(settings | {"methods": "pixel_blend"}))
    assert [c["method"] for c in read_json(settings["out"] / "run.json")["methods"]] == [
        "content_copy"
    ]
    other.close()
    execute(build_config(settings | {"methods": "pixel_blend"}))


def test_latencies_of_units_are_samples_only_if_nothing_else_ran(settings, monkeypatch):
    monkeypatch.setattr(timing_stage, "OWN_SAMPLES_FROM_SECONDS", 0.3)
    settings |= {"methods": "slow_method", "timing_repeats": 2, "metrics": ("latency",)}
    together = execute(build_config(settings | {"workers": 2}))
    alone = execute(build_config(settings | {"out": settings["out"].with_name("alone")}))
    assert [board.timings[0].samples_from for board in (together, alone)] == [
        "repeats",
        "generation",
    ]
