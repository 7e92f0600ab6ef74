"""Run the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def nstbench(
    *arguments: str, check: bool = True, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Return the finished process of a command.

    Args:
        arguments: arguments after ``nstbench``.
        check: assert that the exit code is 0.
        cwd: working folder.
        environment: environment variables to add.
    """
    result = subprocess.run(
        [sys.executable, "-m", "nstbench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result
