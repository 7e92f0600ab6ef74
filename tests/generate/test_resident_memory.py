"""Memory of a worker's process tree, measured against processes of a known size."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nstbench.generate.executors.resident_memory import ResidentMemory

SIZE = 2**27
# Every process waits until its input is closed.
LARGE = f"import sys; kept = b'1' * {SIZE}; print('ready', flush=True); sys.stdin.read()"
START_LARGE = f"subprocess.Popen([sys.executable, '-c', {LARGE!r}], start_new_session=True)"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions")


@contextlib.contextmanager
def running(code):
    """Run Python code; its input is closed at the end of the block."""
    code = "import pathlib, subprocess, sys, time\n" + textwrap.dedent(code)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        yield process
        process.communicate()


@pytest.fixture(params=["kernel", "psutil"])
def listing(request, monkeypatch):
    """Find children in the files of the kernel, or in psutil's list of all processes."""
    if request.param == "psutil":
        monkeypatch.setattr(Path, "exists", lambda path: False)


@pytest.mark.usefixtures("listing")
def test_a_process_in_a_session_of_its_own_counts():
    with running(f"{START_LARGE}.wait()") as process:
        assert process.stdout.readline() == "ready\n"
        assert ResidentMemory(process.pid).read() > SIZE


@pytest.mark.usefixtures("listing")
def test_a_process_counts_after_its_parent_has_ended(tmp_path):
    file = tmp_path / "end"
    parent = (
        f"import pathlib, subprocess, sys, time; {START_LARGE}\n"
        f"while pathlib.Path({str(file)!r}) not in pathlib.Path({str(tmp_path)!r}).iterdir():\n"
        "    time.sleep(0.02)"
    )
    code = f"""
    subprocess.run([sys.executable, "-c", {parent!r}])
    print("ended", flush=True)
    sys.stdin.read()
    """
    with running(code) as process:
        memory = ResidentMemory(process.pid)
        assert process.stdout.readline() == "ready\n"
        assert memory.read() > SIZE
        file.touch()
        assert process.stdout.readline() == "ended\n"
        assert memory.read() > SIZE


def test_a_process_that_has_ended_has_no_memory():
    with running("print('ready', flush=True)") as process:
        memory = ResidentMemory(process.pid)
        process.wait()
    assert memory.read() == 0
