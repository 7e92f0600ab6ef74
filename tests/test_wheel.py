"""The wheel holds everything and works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
def test_wheel_holds_every_plugin_suite_and_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("methods", "metrics", "datasets", "reports"):
        for file in (ROOT / kind).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"nstbench/_plugins/{file.relative_to(ROOT).as_posix()}" in names
    for file in (ROOT / "nstbench" / "suites").rglob("*.yaml"):
        assert file.relative_to(ROOT).as_posix() in names


@pytest.mark.slow
@pytest.mark.network
def test_installed_wheel_runs_outside_the_checkout(wheel, picture_folders, tmp_path):
    """A bare environment that borrows the dependencies of this one, not this checkout."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True
    )
    (site,) = (venv / "lib").glob("python*/site-packages")
    borrowed = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "borrowed.pth").write_text(borrowed + "\n")
    where = subprocess.run(
        [str(python), "-c", "import nstbench; print(nstbench.__file__)"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert where.stdout.startswith(str(venv))
    command = str(venv / "bin" / "nstbench")
    listed = subprocess.run(
        [command, "list", "methods"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    for name in ("content_copy", "gatys_2015", "ghiasi_2017"):
        assert name in listed.stdout
    contents, styles = picture_folders
    subprocess.run(
        [command, "run", "--methods", "content_copy,reinhard_2001", "--contents", str(contents),
         "--styles", str(styles), "--limit", "1", "--size", "64", "--timing-repeats", "2"],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "runs" / "custom" / "report" / "index.html").stat().st_size > 10_000
