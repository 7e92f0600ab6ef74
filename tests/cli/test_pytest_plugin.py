"""The pytest plug-in, in a pytest of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nstbench
from nstbench.analysis.regression.baseline import load_baseline, save_baseline

TEST = """
def test_copies(nstbench_run):
    board = nstbench_run("content_copy,style_copy", contents={contents!r}, styles={styles!r},
                         size=32, metrics="ssim,color_distance", timing_repeats=0, formats=(),
                         device="cpu", threads=1)
    assert set(board.methods) == {{"content_copy", "style_copy"}}
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    package = str(Path(nstbench.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "nstbench.cli.pytest_plugin", "-p",
         "no:cacheprovider", "--rootdir", str(folder), "-W", "error", "test_it.py", *options],
        capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_in_a_test_is_compared_with_the_baseline(picture_folders, tmp_path: Path) -> None:
    contents, styles = map(str, picture_folders)
    (tmp_path / "test_it.py").write_text(TEST.format(contents=contents, styles=styles))
    nstbench.run(
        "content_copy,style_copy", contents=contents, styles=styles, size=32,
        metrics="ssim,color_distance", timing_repeats=0, formats=(), device="cpu", threads=1,
        out=tmp_path / "run",
    )  # fmt: skip
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    save_baseline(load_baseline(tmp_path / "run"), good)
    data = json.loads(good.read_text())
    # better numbers than those of the run, so that the run is a regression
    for entry in data["entries"]:
        entry["scores"]["ssim"] = [value + 0.5 for value in entry["scores"]["ssim"]]
    bad.write_text(json.dumps(data))
    fail_on = "--nstbench-fail-on=ssim:-2%"
    fine = run_pytest(tmp_path, f"--nstbench-baseline={good}", fail_on)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    failed = run_pytest(tmp_path, f"--nstbench-baseline={bad}", fail_on)
    assert failed.returncode == 1
    assert "content_copy at 32 px: ssim" in failed.stdout
    assert "too few" in failed.stdout, "four pairs of two methods are too few for a test"


def test_help_lists_the_options(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_nothing(nstbench_run):\n    pass\n")
    assert run_pytest(tmp_path).returncode == 0
    assert "--nstbench-baseline" in run_pytest(tmp_path, "--help").stdout


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys; import nstbench.cli.pytest_plugin;"
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
