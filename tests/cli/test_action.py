"""The script of the GitHub action, run with a fake ``nstbench`` command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ACTION = Path(__file__).parents[2] / "action.yml"
# appends its arguments to a file, and ends with the next code of a list
FAKE = """#!/bin/bash
{ printf '%s|' "$@"; echo; } >> "$LOG/calls"
code=$(head -1 "$LOG/$1"); sed -i 1d "$LOG/$1"
exit "${code:-0}"
"""


@pytest.fixture
def act(tmp_path):
    """Return a function that runs the action's last step and returns its code and calls."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    action = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    inputs, steps = action["inputs"], action["runs"]["steps"]
    script = next(step["run"] for step in steps if step.get("id") == "check")
    command = tmp_path / "bin" / "nstbench"
    command.parent.mkdir()
    command.write_text(FAKE)
    command.chmod(0o755)

    def run(options: str, runs: tuple[int, ...], checks: tuple[int, ...], fail_on: str = ""):
        for name, codes in (("run", runs), ("check", checks)):
            (tmp_path / name).write_text("".join(f"{code}\n" for code in codes))
        (tmp_path / "calls").write_text("")
        own = {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "LOG": str(tmp_path),
            "OPTIONS": options, "BASELINE": "b.json", "FAIL_ON": fail_on, "OUT": "out",
            "SPEED": inputs["speed"]["default"],
            "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        }  # fmt: skip
        # as GitHub starts the shell of a step
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            env=os.environ | own, capture_output=True, text=True,
        )  # fmt: skip
        calls = [line.split("|")[:-1] for line in (tmp_path / "calls").read_text().splitlines()]
        return done.returncode, calls

    return run


@pytest.mark.parametrize("options", ["", "  \n"])
def test_empty_options_add_no_argument(act, options):
    code, calls = act(options, (0,), (0, 0))
    assert code == 0
    assert calls[0] == ["run", "--resume", "never", "--out", "out"]


def test_options_are_split_at_quotes_and_not_executed(act):
    _, calls = act("--methods 'a b' --plugin $(x).py", (0,), (0, 0), "uef:+2% latency:+15%")
    assert calls[0][1:5] == ["--methods", "a b", "--plugin", "$(x).py"]
    assert calls[1] == [
        "check", "out", "--baseline", "b.json", "--speed", "if-known",
        "--fail-on", "uef:+2% latency:+15%",
    ]  # fmt: skip


def test_a_regression_fails_only_if_found_twice(act):
    code, calls = act("--x", (0, 0), (1, 0))
    assert code == 0
    assert [call[0] for call in calls] == ["run", "check", "run", "check"]
    code, calls = act("--x", (0, 0), (1, 1))
    assert code == 1
    assert "--annotate" in calls[-1]
    code, calls = act("--x", (0,), (0, 0))
    assert [call[0] for call in calls] == ["run", "check", "check"]


def test_exit_code_1_is_checked_and_2_ends_the_action(act):
    code, calls = act("--x", (1, 1), (1, 1))
    assert (code, len(calls)) == (1, 4)
    code, calls = act("--x", (2,), ())
    assert (code, len(calls)) == (2, 1)
