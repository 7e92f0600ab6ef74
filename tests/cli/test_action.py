"""The GitHub action: its script, run by a shell with commands that stand in for nstbench."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ACTION = Path(__file__).parents[2] / "action.yml"
# Writes down how it was called, and ends with the next of the codes that were laid out for it.
STAND_IN = """#!/bin/bash
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
    command.write_text(STAND_IN)
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
def test_empty_options_are_no_argument(act, options):
    code, calls = act(options, (0,), (0, 0))
    assert code == 0
    assert calls[0] == ["run", "--resume", "never", "--out", "out"]


def test_options_are_split_as_quotes_say_and_nothing_is_run(act):
    _, calls = act("--methods 'a b' --plugin $(x).py", (0,), (0, 0), "uef:+2% latency:+15%")
    assert calls[0][1:5] == ["--methods", "a b", "--plugin", "$(x).py"]
    assert calls[1] == [
        "check", "out", "--baseline", "b.json", "--speed", "if-known",
        "--fail-on", "uef:+2% latency:+15%",
    ]  # fmt: skip


def test_an_alarm_counts_only_if_it_repeats_itself(act):
    code, calls = act("--x", (0, 0), (1, 0))
    assert code == 0
    assert [call[0] for call in calls] == ["run", "check", "run", "check"]
    code, calls = act("--x", (0, 0), (1, 1))
    assert code == 1
    assert "--annotate" in calls[-1]
    code, calls = act("--x", (0,), (0, 0))
    assert [call[0] for call in calls] == ["run", "check", "check"]


def test_a_method_without_output_is_checked_and_a_wrong_command_is_not(act):
    code, calls = act("--x", (1, 1), (1, 1))
    assert (code, len(calls)) == (1, 4)
    code, calls = act("--x", (2,), ())
    assert (code, len(calls)) == (2, 1)
