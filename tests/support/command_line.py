"""The command line in a process of its own, for tests."""

from __future__ import annotations

import os
import subprocess
import sys


def nstbench(*arguments, check=True, cwd=None, **environment):
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
