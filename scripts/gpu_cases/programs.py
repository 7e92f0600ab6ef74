"""Calls of programs inside a part of the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gpu_cases.rows import Recorder


class OutOfTime(Exception):  # noqa: N818  not an error of the program
    """A program took longer than its part may.

    Attributes:
        output: what it had printed.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def python(
    record: Recorder,
    arguments: Sequence[str],
    *,
    accepted: Sequence[int] = (0,),
    folder: Path | None = None,
) -> str:
    """Run Python with arguments in the time that is left, and return what it prints.

    The output is also in the log of the report. ``folder`` is the working folder; that of the part
    if it is not given.

    Raises:
        OutOfTime: if it takes longer than the part may.
        ValueError: if its exit code is not accepted; the message has its last line.
    """
    try:
        found = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder or record.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=max(record.left() - 1, 1),
        )
    except subprocess.TimeoutExpired as cut:
        text = cut.stdout or ""
        # bytes, although the output is a text
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        sys.stdout.write(text)
        message = f"{' '.join(arguments[:3])} took longer than its part may"
        raise OutOfTime(message, text) from None
    sys.stdout.write(found.stdout)
    if found.returncode not in accepted:
        last = (found.stdout.strip().splitlines() or ["no output"])[-1]
        called = " ".join(arguments[:3])
        raise ValueError(f"{called} ended with code {found.returncode}: {last}")
    return found.stdout


def nstbench(record: Recorder, *arguments: str, accepted: Sequence[int] = (0,)) -> str:
    """Run the command line of nstbench; see :func:`python`."""
    return python(record, ("-m", "nstbench", *arguments), accepted=accepted)
