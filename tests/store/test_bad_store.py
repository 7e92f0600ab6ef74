"""Run folders on bad ground: full, read-only, newer, damaged, under a clock that runs backwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from file_rights import bound_by_permissions
from unit_records import unit_record

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.board import Board
from nstbench.core.errors import StoreError
from nstbench.generate import runner
from nstbench.pictures.picture import write_png
from nstbench.pipeline import job
from nstbench.pipeline.job import execute, rescore
from nstbench.plan.config_file import build_config
from nstbench.report.files import write_comparison, write_report
from nstbench.report.page import render_page
from nstbench.report.serve import fingerprint
from nstbench.store.atomic_files import read_json, write_json
from nstbench.store.keys import SCHEMA, key_of
from nstbench.store.store import Store

"""A user who owns nothing: root may read and write everything."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(4)
    for role in ("contents", "styles"):
        for index in range(2):
            pixels = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
            write_png(root / role / f"{role[0]}{index}.png", pixels)
    return root


def settings(pictures: Path, out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "methods": "content_copy,noise", "contents": str(pictures / "contents"),
        "styles": str(pictures / "styles"), "metrics": ("ssim",), "size": 96, "device": "cpu",
        "threads": 1, "timing_repeats": 0, "formats": ("html", "csv"), "out": out, **changes,
    }  # fmt: skip


def run(pictures: Path, out: Path, **changes: Any) -> Board:
    board = execute(build_config(settings(pictures, out, **changes)))
    assert board is not None
    return board


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Board:
    return run(pictures, tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture
def finished(undisturbed: Board, tmp_path: Path) -> Path:
    """A copy of a finished run that may be spoilt."""
    shutil.copytree(undisturbed.root, tmp_path / "run")
    return tmp_path / "run"


def records(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "outputs").rglob("*.json")}


# --- a full disk -------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a file system of a fixed size, where that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def used(folder: Path) -> int:
    """Return the kilobytes of all files in pages, as tmpfs counts them."""
    return sum(4 * -(-p.stat().st_size // 4096) for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_full_disk_is_named_and_the_run_goes_on_when_there_is_space(
    pictures: Path, undisturbed: Board, tmp_path: Path
) -> None:
    """The disk is full among inputs, outputs, scores and report; each time some space is freed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    whole, inputs, outputs = (used(undisturbed.root / name) for name in ("", "inputs", "outputs"))
    # among the inputs, the outputs, and the report, which is written last
    stages = [inputs // 2, inputs + outputs // 2, whole - used(undisturbed.root / "report") // 2]
    reached: list[int] = []
    with small_disk(disk, stages[0]):
        for kilobytes in stages:
            subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)
            before = records(disk / "run")
            with pytest.raises(StoreError, match=r"(?s)No space left on device.*[Ff]ree") as error:
                run(pictures, disk / "run")
            assert "Traceback" not in str(error.value)
            after = records(disk / "run")
            reached.append(len(after))
            assert {name: after[name] for name in before} == before, "what was done is as it was"
            for path in (disk / "run" / "outputs").rglob("*.json"):
                assert Store(disk / "run").record(path.parts[-3], path.stem), "a torn record"
            assert not [p for p in disk.rglob("*") if p.name.endswith(".tmp")]
        assert reached == sorted(reached)
        assert reached[0] == 0 < reached[-1]
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        before = records(disk / "run")
        board = run(pictures, disk / "run")
        after = records(disk / "run")
        assert {name: after[name] for name in before} == before
        assert set(board.units["status"]) == {"done"}
        pd.testing.assert_frame_equal(board.leaderboard, undisturbed.leaderboard)


@pytest.mark.slow
@pytest.mark.parametrize("room", [9_000, 40_000])
def test_files_that_cannot_grow_end_the_command_with_a_fix(
    pictures: Path, undisturbed: Board, tmp_path: Path, room: int
) -> None:
    """What a disk quota does, by a limit that every system knows: of pictures, or of the page."""
    given = settings(pictures, tmp_path / "run", formats="html,csv", metrics="ssim")
    options = [
        f"--{'format' if name == 'formats' else name.replace('_', '-')}={value}"
        for name, value in given.items()
    ]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    result = subprocess.run(
        [sys.executable, "-m", "nstbench", "run", *options],
        capture_output=True, text=True, preexec_fn=limit, env=os.environ | {"COLUMNS": "1000"},
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "File too large" in result.stderr
    assert "Free space" in result.stderr or "free space" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    before = records(tmp_path / "run")
    assert len(before) == (8 if room == 40_000 else 0)
    board = run(pictures, tmp_path / "run")
    after = records(tmp_path / "run")
    assert {name: after[name] for name in before} == before
    pd.testing.assert_frame_equal(board.leaderboard, undisturbed.leaderboard)


def test_report_that_cannot_be_written_leaves_the_old_one(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = finished / "report" / "index.html"
    before = page.read_bytes()
    board = load_board(finished)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"index\.html cannot be written: No space left.*free"):
        write_report(board, finished / "report", ["html"])
    assert page.read_bytes() == before
    assert not list(page.parent.glob(".*"))


def test_worker_whose_log_cannot_be_opened_ends_the_run_with_a_fix(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "logs").write_text("in the way")
    with pytest.raises(StoreError, match=r"logs.*cannot be written: .*move the file that is"):
        run(pictures, tmp_path / "run")
    assert not (tmp_path / "run" / "leases").exists()


# --- a read-only store -------------------------------------------------------------------


@pytest.fixture
def read_only(undisturbed: Board) -> Iterator[Path]:
    """A read-only copy of a finished run, in a folder that all users may enter."""
    with tempfile.TemporaryDirectory(prefix="nstbench-") as folder:
        root = Path(folder)
        shutil.copytree(undisturbed.root, root / "run")
        root.chmod(0o755)
        for path in sorted((root / "run").rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        (root / "run").chmod(0o555)
        (root / "out").mkdir()
        (root / "out").chmod(0o777)
        yield root
        for path in sorted((root / "run").rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        (root / "run").chmod(0o755)


def test_read_only_run_is_read_and_never_changed(pictures: Path, read_only: Path) -> None:
    root = read_only / "run"
    with bound_by_permissions():
        board = load_board(root)
        written = write_report(board, read_only / "out" / "report", ["csv", "html"])
        assert all(path.is_file() for path in written)
        message = r"cannot be written: Permission denied.*change permissions"
        with pytest.raises(StoreError, match=message):
            write_report(board, root / "report", ["csv"])
        with pytest.raises(StoreError, match=message):
            rescore(root, metrics="ssim,gram_distance", device="cpu")
        with pytest.raises(StoreError, match=message):
            Store(root).write_record(unit_record("0" * 64, plugin="noise"))
    pd.testing.assert_frame_equal(load_board(root).leaderboard, board.leaderboard)


def test_run_into_a_read_only_folder_says_so(pictures: Path, read_only: Path) -> None:
    with bound_by_permissions(), pytest.raises(StoreError, match=r"Permission denied.*permissions"):
        run(pictures, read_only / "run" / "new")


# --- newer, damaged, foreign -------------------------------------------------------------


def test_newer_run_is_refused_by_whatever_reads_or_writes_it(
    pictures: Path, finished: Path
) -> None:
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    info = read_json(finished / "run.json")
    write_json(finished / "run.json", info | {"schema": SCHEMA + 1})
    before[finished / "run.json"] = (finished / "run.json").read_bytes()
    for action in (
        lambda: load_board(finished),
        lambda: run(pictures, finished),
        lambda: rescore(finished, metrics="ssim", device="cpu"),
    ):
        with pytest.raises(StoreError, match=r"newer nstbench.*Upgrade.*another folder"):
            action()
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["plan.json", "timings.json", "scores.parquet"])
@pytest.mark.parametrize("data", [b"", b"{", b"[1, 2]", b'{"units": [{"key": 3}]}', b"\0" * 900])
def test_damaged_file_is_named_and_the_same_command_repairs_it(
    pictures: Path, finished: Path, undisturbed: Board, name: str, data: bytes
) -> None:
    (finished / name).write_bytes(data)
    with pytest.raises(StoreError, match=rf"{name} is damaged.*same command again"):
        load_board(finished)
    if data == b"{":
        before = records(finished)
        board = run(pictures, finished)
        assert records(finished) == before
        pd.testing.assert_frame_equal(board.leaderboard, undisturbed.leaderboard)


@pytest.mark.parametrize(
    "change",
    [
        {"key": "../../../secret"}, {"plugin": "../../secret"}, {"plugin": ""}, {"key": ".x"},
        {"size": "big"}, {"status": "finished"}, {"key": "a/b"}, {"content": None},
    ],
)  # fmt: skip
def test_plan_that_leads_elsewhere_is_refused(finished: Path, change: dict[str, Any]) -> None:
    plan = read_json(finished / "plan.json")
    plan["units"][0] |= change
    write_json(finished / "plan.json", plan)
    with pytest.raises(StoreError, match=r"plan\.json is damaged"):
        load_board(finished)


@pytest.mark.parametrize("file", ["/etc/passwd", "../secret.png"])
def test_picture_outside_the_run_is_refused(finished: Path, file: str) -> None:
    shutil.copy(next(finished.rglob("*.png")), finished.parent / "secret.png")
    info = read_json(finished / "run.json")
    info["pictures"][0]["file"] = file
    write_json(finished / "run.json", info)
    with pytest.raises(StoreError, match=r"is outside the run folder"):
        load_board(finished)


def test_record_that_names_a_file_elsewhere_is_not_followed(finished: Path) -> None:
    (path,) = list((finished / "outputs" / "noise").rglob("*.json"))[:1]
    write_json(path, read_json(path) | {"output": "../../../../etc/passwd"})
    outputs = set(load_board(finished).units["output"])
    assert str(path.with_suffix(".png").relative_to(finished)) in outputs
    assert not [name for name in outputs if ".." in name]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "finished"}, {"status": None}, {"seconds": "fast"}, {"output": 3},
        {"output_sha256": None}, {"calibration": ["x"]}, {"waits": 3}, {"parts": []},
        {"message": {}}, {"size": "large"}, {"content": None}, {"method": 5},
    ],
)  # fmt: skip
def test_altered_record_counts_as_none(finished: Path, change: dict[str, Any]) -> None:
    path = next((finished / "outputs" / "noise").rglob("*.json"))
    assert Store(finished).record("noise", path.stem)
    write_json(path, read_json(path) | change)
    assert Store(finished).record("noise", path.stem) is None
    assert "pending" in set(load_board(finished).units["status"])


@pytest.mark.slow
def test_damaged_timing_is_taken_again(pictures: Path, tmp_path: Path) -> None:
    given = {"methods": "content_copy", "timing_repeats": 1}
    run(pictures, tmp_path / "run", **given)
    (path,) = (tmp_path / "run" / "timings").rglob("*.json")
    path.write_text('{"latency": "fast"}')
    board = run(pictures, tmp_path / "run", **given)
    assert [timing.method for timing in board.timings] == ["content_copy"]
    assert read_json(path)["method"] == "content_copy"


@pytest.mark.parametrize(
    "data", [{"values": []}, {"values": {"": "x"}}, {"error": 3}, {}, [], {"values": {"": True}}]
)
def test_altered_score_counts_as_none(finished: Path, data: Any) -> None:
    path = next((finished / "scores").rglob("*.json"))
    before = path.read_bytes()
    metric = path.parts[-3]
    write_json(path, data)
    assert Store(finished).score(metric, path.stem) is None
    rescore(finished, metrics=None, device="cpu")
    assert json.loads(path.read_bytes()) == json.loads(before)


def test_messages_that_are_no_text_are_shown_all_the_same(finished: Path) -> None:
    path = next((finished / "outputs" / "noise").rglob("*.json"))
    odd = {"status": "failed", "message": "no file a\udcff.png", "traceback": "line \ud800"}
    write_json(path, read_json(path) | odd)
    board = load_board(finished)
    written = write_report(board, finished / "report", ["html", "csv", "md", "parquet"])
    assert "no file a\\udcff.png" in written[0].read_text(encoding="utf-8")


def test_deeply_nested_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"[" * 300_000)
    assert read_json(tmp_path / "x.json") is None


def test_damaged_output_costs_its_own_scores_and_is_named(finished: Path) -> None:
    shutil.rmtree(finished / "scores")
    picture = next((finished / "outputs" / "noise").rglob("*.png"))
    picture.write_bytes(picture.read_bytes()[:2000])
    notes: list[str] = []

    class Notes(nstbench.plan.listener.Listener):
        def note(self, message: str) -> None:
            notes.append(message)

    board = rescore(finished, metrics=None, device="cpu", listener=Notes())
    scores = board.scores[(board.scores["metric"] == "ssim") & (board.scores["part"] == "")]
    assert len(scores) == 7
    (note,) = notes
    assert picture.name in note
    assert "Delete the file and run the same command again" in note
    assert "Damaged: 1 file." in render_page(board)


def test_output_that_is_not_a_png_is_not_opened_by_the_report(finished: Path) -> None:
    """Pillow would start Ghostscript for this one."""
    picture = next((finished / "outputs" / "noise").rglob("*.png"))
    picture.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n")
    assert "Damaged: 1 file." in render_page(load_board(finished))


# --- clocks and names --------------------------------------------------------------------


@pytest.mark.slow
def test_clock_that_runs_backwards_changes_no_result(
    pictures: Path, undisturbed: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=n) for n in range(10_000))
    for module in (job, runner):
        monkeypatch.setattr(module, "utc_now", lambda precision="": next(times).isoformat())
    board = run(pictures, tmp_path / "run")
    assert board.info["finished"] < board.info["started"]
    pd.testing.assert_frame_equal(board.leaderboard, undisturbed.leaderboard)
    before = records(tmp_path / "run")
    for path in (tmp_path / "run" / "outputs").rglob("*.json"):
        record = read_json(path)
        write_json(path, record | {"finished": record["started"], "started": record["finished"]})
    before = records(tmp_path / "run")
    again = run(pictures, tmp_path / "run", resume="always")
    assert records(tmp_path / "run") == before, "nothing ran again"
    pd.testing.assert_frame_equal(again.leaderboard, undisturbed.leaderboard)


def test_change_under_a_clock_that_was_set_back_is_noticed(finished: Path) -> None:
    before = fingerprint(finished)
    path = next((finished / "outputs").rglob("*.json"))
    os.utime(path, (0, 0))
    assert fingerprint(finished) != before


def test_two_runs_of_one_name_in_two_places_are_told_apart(
    undisturbed: Board, finished: Path, tmp_path: Path
) -> None:
    other = load_board(finished)
    assert other.info["name"] == undisturbed.info["name"] == "run"
    page = write_comparison([undisturbed, other], tmp_path / "out", ["html"])[0].read_text()
    for board in (undisturbed, other):
        assert str(board.root) in page


@pytest.mark.slow
def test_two_runs_into_one_folder_share_results_and_lose_none(
    pictures: Path, finished: Path, undisturbed: Board
) -> None:
    before = records(finished)
    board = run(pictures, finished, methods="style_copy")
    assert set(board.leaderboard["method"]) == {"style_copy"}
    after = records(finished)
    assert {name: after[name] for name in before} == before
    back = run(pictures, finished)
    assert records(finished) == after, "nothing ran again"
    pd.testing.assert_frame_equal(back.leaderboard, undisturbed.leaderboard)


def test_keys_are_unique_even_where_names_are_equal() -> None:
    one = {"method": "m", "content": "sha-a", "size": 64}
    assert key_of(one) != key_of(one | {"content": "sha-b"})
