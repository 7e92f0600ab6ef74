"""How far a run is, as another terminal sees it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner
from unit_records import unit_record

import nstbench
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.pipeline.status import IN_WORK, TO_DO, read_status
from nstbench.plan.plan_file import read_plan
from nstbench.store.leases import BOARD, Leases
from nstbench.store.store import Store


@pytest.fixture
def finished(picture_folders, tmp_path):
    contents, styles = picture_folders
    nstbench.run(
        "content_copy,pixel_blend", contents, styles, metrics="ssim", size=64, timing_repeats=0,
        device="cpu", threads=1, out=tmp_path / "run", formats="csv",
    )  # fmt: skip
    return tmp_path / "run"


def shown(root):
    result = CliRunner().invoke(app, ["status", str(root)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_units_are_counted_by_what_became_of_them(finished):
    assert read_status(finished).total == {"done": 8}
    assert "No worker is running" in shown(finished)
    store, units = Store(finished), read_plan(finished)
    copied = [unit for unit in units if unit["plugin"] == "content_copy"]
    for unit in copied[:3]:
        store.record_path(unit["plugin"], unit["key"]).unlink()
    store.write_record(unit_record(copied[0]["key"], plugin="content_copy", message="no"))
    leases = Leases(finished)
    assert leases.take(copied[1]["key"])
    found = read_status(finished)
    leases.close()
    assert found.variants["pixel_blend"] == {"done": 4}
    assert found.variants["content_copy"] == {"done": 1, "failed": 1, IN_WORK: 1, TO_DO: 1}
    assert read_status(finished).variants["content_copy"] == {"done": 1, "failed": 1, TO_DO: 2}


def test_who_works_on_it_is_shown(finished):
    leases = Leases(finished)
    for key in ("0" * 64, "1" * 64):
        assert leases.take(key)
    assert ": 2 units in work; last heartbeat 0 s ago" in shown(finished)
    with leases.hold(BOARD):
        assert "times, scores and writes the board" in shown(finished)
    leases.close()
    assert "No worker is running" in shown(finished)


def test_the_dead_do_not_work(finished):
    code = (
        "import os, sys; from pathlib import Path; from nstbench.store.leases import Leases\n"
        "assert Leases(Path(sys.argv[1])).take('k'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(finished)], check=True)
    assert list((finished / "leases").glob("*.owner"))
    assert read_status(finished).workers == []


def test_nothing_is_written_and_torch_is_not_needed(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    code = (
        "import sys; from nstbench.cli.app import app\n"
        "app(['status', sys.argv[1]], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(finished)], check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a run folder"):
        read_status(tmp_path)
