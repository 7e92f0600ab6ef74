"""Start-up time of commands that compute nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from measure import compare

pytestmark = pytest.mark.usefixtures("on_cpu")

LIMITS = {"--help": 0.4, "list methods": 1.0, "list metrics": 1.0, "list suites": 1.0}
"""Command -> limit in seconds on an idle machine."""


@pytest.mark.bench
@pytest.mark.parametrize("command", LIMITS)
def test_start_up_time_is_limited(benchmark, command):
    def own() -> None:
        run("-m", "nstbench", *command.split())

    row = compare(
        benchmark,
        own,
        lambda: run("-c", "import pydantic, rich.console, rich.table, typer, yaml"),
        case=f"nstbench {command}",
        compared_with="imports of typer, rich, pydantic, yaml",
        rounds=7,
    )
    assert row.ours <= LIMITS[command]


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
