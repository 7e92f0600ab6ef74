"""The wheel contains all files and works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(ROOT)],
        check=True,
    )
    (path,) = out.glob("nstbench-*.whl")
    return path


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_contains_every_plugin_suite_and_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("methods", "metrics", "datasets", "reports"):
        for file in (ROOT / kind).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"nstbench/_plugins/{file.relative_to(ROOT).as_posix()}" in names
    data = [p for p in (ROOT / "nstbench").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    assert {p.suffix for p in data} >= {".py", ".yaml", ".txt", ".typed"}
    for file in data:
        assert file.relative_to(ROOT).as_posix() in names


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """Return the scripts folder of a new environment that has our dependencies only."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True
    )
    (site,) = (venv / "lib").glob("python*/site-packages")
    dependencies = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "dependencies.pth").write_text(dependencies + "\n")
    return python.parent


@pytest.fixture
def call(scripts, tmp_path):
    """Return call(program, *arguments) -> its standard output, run outside the checkout."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def run(program, *arguments):
        done = subprocess.run(
            [str(scripts / program), *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.network
def test_installed_wheel_runs_outside_the_checkout(call, scripts, picture_folders, tmp_path):
    where = call("python", "-c", "import nstbench; print(nstbench.__file__)")
    assert where.startswith(str(scripts.parent))
    listed = call("nstbench", "list", "methods")
    for name in ("content_copy", "gatys_2015", "ghiasi_2017"):
        assert name in listed
    contents, styles = picture_folders
    call(
        "nstbench", "run", "--methods", "content_copy,reinhard_2001", "--contents", contents,
        "--styles", styles, "--limit", "1", "--size", "64", "--timing-repeats", "2",
    )  # fmt: skip
    assert (tmp_path / "runs" / "custom" / "report" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(900)
def test_a_new_method_is_installed_and_runs(call, picture_folders, tmp_path):
    call("nstbench", "new", "method", "my_method")
    call("python", "-m", "pip", "install", "--quiet", "./my_method")
    call("nstbench", "conformance", "my_method")
    call("python", "-m", "pytest", "-q", "my_method")
    contents, styles = picture_folders
    call(
        "nstbench", "run", "--methods", "my_method", "--contents", contents, "--styles", styles,
        "--limit", "1", "--size", "64", "--timing-repeats", "2", "--metrics", "ssim,latency",
    )  # fmt: skip
    (line,) = (tmp_path / "runs/custom/report/leaderboard.csv").read_text().splitlines()[1:]
    assert line.startswith("my_method,")
    assert "1/1" in line
