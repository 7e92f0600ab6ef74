"""Mistakes of users are refused before the work, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from nstbench.cli.app import app
from nstbench.cli.options import check_writable
from nstbench.core import environment
from nstbench.core.environment import available_cores, resolve_device
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.core.records import ImageRecord, Unit
from nstbench.generate.executors.executor import WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.generate.outcomes import without_output
from nstbench.plan.config_file import build_config


def call(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def nstbench(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=os.environ | {"COLUMNS": "1000"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ["score", "no-run"],
        ["maps", "no-run"],
        ["match", "noise"],
        ["validate"],
        ["train", "johnson_2016", "--steps", "1"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_refuses_a_device_that_is_none(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*command, "--device", "gpu")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "--device gpu: must be auto, cpu, cuda or cuda:N."


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "mps", ""])
def test_devices_are_checked_where_they_are_resolved(device):
    with pytest.raises(UsageError, match="must be auto, cpu, cuda or cuda:N"):
        resolve_device(device)


@pytest.mark.parametrize(
    "arguments",
    [
        ["match", "noise", "--limit", "0"],
        ["match", "noise", "--size", "0"],
        ["match", "noise", "--contents-per-style", "0"],
        ["validate", "--limit", "0"],
        ["validate", "--limit", "-1"],
        ["validate", "--seeds", "0"],
        ["validate", "--size", "0"],
        ["serve", ".", "--port", "99999999"],
        ["serve", ".", "--port", "-1"],
    ],
    ids=" ".join,
)
def test_numbers_out_of_range_are_refused(arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert arguments[-2] in result.output


@pytest.mark.parametrize("command", [["match", "noise"], ["validate", "--metrics", "ssim"]])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(command, tmp_path):
    (tmp_path / "file").write_text("a file")
    for out in (tmp_path / "file" / "x.json", tmp_path / "folder.json"):
        (tmp_path / "folder.json").mkdir(exist_ok=True)
        result = call(*command, "--contents", "no/such/folder", "--out", out)
        assert isinstance(result.exception, UsageError)
        assert str(result.exception).startswith(f"--out {out} cannot be written: ")


def test_check_writable_allows_new_folders_and_respects_permissions(without_rights):
    check_writable("--out", without_rights / "new" / "folder" / "x.csv")
    check_writable("--out", Path("x.csv"))
    without_rights.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="Permission denied; change permissions, or choose"):
            check_writable("--out", without_rights / "x.csv")
    finally:
        without_rights.chmod(0o700)


def test_the_table_of_match_is_written_into_a_new_folder(
    picture_folders, network_weights, tmp_path
):
    contents, styles = picture_folders
    out = tmp_path / "new" / "x.csv"
    result = call(
        "match", "noise", "--reference", "gatys_2015:iterations=2", "--contents", contents,
        "--styles", styles, "--limit", 1, "--size", 48, "--device", "cpu", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    assert list(pd.read_csv(out)["method"]) == ["noise"]


def test_errors_of_files_end_with_code_2_and_a_fix():
    code = (
        "import errno, os, sys\n"
        "from nstbench.cli import app as cli\n"
        "def fail():\n"
        "    number = getattr(errno, sys.argv[1])\n"
        "    raise OSError(number, os.strerror(number), 'the/path')\n"
        "cli.app = fail\n"
        "cli.main()\n"
    )
    for name, words in (
        ("EACCES", "change permissions"),
        ("ENOENT", "check how the path is written"),
        ("EISDIR", "move the folder that is where a file is needed"),
        ("ENOTDIR", "move the file that is where a folder is needed"),
        ("ENOSPC", "free space"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, name],
            capture_output=True, text=True, env=os.environ | {"COLUMNS": "1000"},
        )  # fmt: skip
        assert result.returncode == 2
        assert "the/path" in result.stderr
        assert words in result.stderr
        assert ("space" in result.stderr) == (name == "ENOSPC")
        assert "Traceback" not in result.stderr


def test_other_errors_keep_their_traceback():
    code = (
        "import errno\nfrom nstbench.cli import app as cli\n"
        "def fail():\n    raise OSError(errno.ECONNREFUSED, 'refused')\n"
        "cli.app = fail\ncli.main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_a_run_folder_that_is_a_file_is_refused(picture_folders, tmp_path):
    contents, styles = picture_folders
    (tmp_path / "readme.txt").write_text("a file")
    result = call("run", "--methods", "noise", "--contents", contents, "--styles", styles,
                  "--out", tmp_path / "readme.txt")  # fmt: skip
    assert isinstance(result.exception, NstbenchError)
    assert "move the file that is where a folder is needed" in str(result.exception)
    assert "ree space" not in str(result.exception)


def test_report_formats_are_checked_before_anything_runs(picture_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents, styles = picture_folders
    result = call("run", "--methods", "noise", "--contents", contents, "--styles", styles,
                  "--format", "csv,htm")  # fmt: skip
    assert isinstance(result.exception, UsageError)
    assert "unknown report format 'htm'. Did you mean 'html'?" in str(result.exception)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("seeds", [(0, 0), (-1, -1), (3, 4, 3)])
def test_a_seed_given_twice_is_refused(seeds):
    with pytest.raises(UsageError, match=f"--seed: seed {seeds[0]} is given twice"):
        build_config({"seeds": seeds})


def test_a_memory_limit_below_an_idle_worker_is_refused(tmp_path):
    unit = Unit(
        key="0" * 64, method="noise", plugin="noise", params={},
        content=ImageRecord("c", Path("c.png"), sha256="c"),
        style=ImageRecord("s", Path("s.png"), sha256="s"),
        size=32, fit="crop", seed=0, unit_seed=1, parts={},
    )  # fmt: skip
    executor = LocalExecutor(WorkerSettings(tmp_path, "cpu", 1, 60.0, memory_limit=10))
    with pytest.raises(UsageError, match=r"--memory-limit: a worker takes \d+ MiB .* 10 bytes"):
        list(executor.run([unit], lambda *_: None))
    executor.close()


def test_a_preview_is_a_png_and_counts_each_picture_once(picture_folders, tmp_path):
    contents, _ = picture_folders
    result = call("datasets", "preview", contents, "--out", tmp_path / "x.jpg")
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "x.jpg").exists()
    result = call("datasets", "preview", contents, "--out", tmp_path / "x.png")
    assert result.output == f"{tmp_path / 'x.png'}: 2 pictures\n"


# --- exit codes of a run -----------------------------------------------------------------


def frame(**statuses: str) -> pd.DataFrame:
    rows = [(name, status) for name, given in statuses.items() for status in given.split()]
    return pd.DataFrame(rows, columns=["method", "status"])


@pytest.mark.parametrize(
    ("units", "names"),
    [
        (frame(b="done done", a="done failed"), []),
        (frame(b="failed oom", a="done done"), ["b"]),
        (frame(b="unavailable unavailable", a="done done"), []),
        (frame(b="skipped skipped", c="skipped failed", a="done timeout"), ["c"]),
        (frame(b="unavailable", a="skipped"), ["b", "a"]),
        (frame(b="failed", a="unavailable"), ["b", "a"]),
    ],
)
def test_methods_without_output_exclude_unavailable_ones(units, names):
    assert without_output(units) == names


FAILS = '''
"""A method that fails on given contents."""

from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility


class Fails(Method):
    """Fails on the given contents."""

    info = MethodInfo(title="F", authors="F", year=2026, paper="https://example.org", family="f",
                      flexibility=Flexibility.ARBITRARY)

    def prepare(self, style):
        """Do nothing."""

    def stylize(self, content, *, generator, on_step):
        """Fail."""
        if content.name in {names}:
            raise RuntimeError("no")
        return content.pixels
'''


@pytest.mark.parametrize(("names", "code"), [(("c0", "c1"), 1), (("c0",), 0)])
def test_a_run_whose_method_never_succeeds_ends_with_code_1(names, code, picture_folders, tmp_path):
    contents, styles = picture_folders
    (tmp_path / "fails.py").write_text(FAILS.replace("{names}", repr(names)))
    result = nstbench(
        "run", "--plugin", "fails.py", "--methods", "fails,content_copy", "--contents", contents,
        "--styles", styles, "--size", 48, "--metrics", "ssim", "--timing-repeats", 0, "--format",
        "csv", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    assert ("No output of: fails." in result.stderr) == bool(code)
    assert (tmp_path / "run" / "report" / "leaderboard.csv").is_file()


# --- cores -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="there is no affinity")
def test_cores_are_those_that_the_process_may_use(monkeypatch, tmp_path):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(environment, "_CPU_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 5})
    assert available_cores() == 3
    quota.write_text("max 100000\n")
    assert available_cores() == 3
    quota.write_text("150000 100000\n")
    assert available_cores() == 2
    quota.write_text("900000 100000\n")
    assert available_cores() == 3


def test_default_threads_are_the_cores_of_the_process(monkeypatch):
    from nstbench.generate.executors import choose

    monkeypatch.setattr(choose, "available_cores", lambda: 6)
    config = build_config({"device": "cpu", "workers": 2})
    assert choose.threads_per_worker(config) == 3
    assert choose.resolve_workers(config).threads == 6
    assert choose.threads_per_worker(build_config({"workers": 2, "threads": 4})) == 4
