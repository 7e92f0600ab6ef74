"""What ``nstbench checkpoints train`` prints: a line per event, and a table at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from rich.markup import escape
from rich.table import Table

from nstbench.core.text import printable, readable_seconds
from nstbench.plan.listener import Listener
from nstbench.training.listed.results import Result, Results
from nstbench.training.listed.shares import Deadline

_PAINTER = "nstbench.pictures.painter"
_PAUSE = 5.0


class ProgressLines(Listener):
    """Prints every event with the seconds since the start, on standard error.

    Args:
        began: reading of the monotonic clock at the start.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._handler = _LogLines(self)

    def __enter__(self) -> Self:
        logger = logging.getLogger(_PAINTER)
        self._level = logger.level
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *raised: object) -> None:
        logger = logging.getLogger(_PAINTER)
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)

    def began(self, label: str) -> None:
        """Print the item in work."""
        seconds = time.monotonic() - self._began
        print(f"{seconds:6.1f} s  {printable(label)}", file=sys.stderr, flush=True)  # noqa: T201

    def note(self, message: str) -> None:
        """Print a message."""
        self.began(message)


class _LogLines(logging.Handler):
    """Passes on a line of a log every few seconds."""

    def __init__(self, lines: ProgressLines) -> None:
        super().__init__()
        self._lines, self._last = lines, 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line, unless the last one was printed a moment ago."""
        if time.monotonic() - self._last >= _PAUSE:
            self._last = time.monotonic()
            self._lines.began(record.getMessage())


@contextlib.contextmanager
def at_the_end(deadline: Deadline, results: Results, folder: Path) -> Iterator[None]:
    """End the process with the table and exit code 1 if the block is not done in time.

    The block keeps a part of the time for its last files, so this happens only if one step, or
    reading the pictures, takes longer than that part.
    """
    timer = threading.Timer(max(0.0, deadline.last()), _end, (results, folder))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(results: Results, folder: Path) -> None:
    try:
        results.judge(list(results.trainings))
        results.write(folder)
        print_results(results)
        print("The time is over. The same command continues.", file=sys.stderr)  # noqa: T201
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(1)


def results_table(results: Results) -> Table:
    """Return a table with a row per training: what it had, its losses, and its status."""
    table = Table(title="trainings", title_justify="left")
    table.add_column("checkpoint")
    for column in ("steps", "time", "steps/s", "first loss", "last loss", "held out", "at start"):
        table.add_column(column, justify="right")
    for column in ("status", "file"):
        table.add_column(column)
    for result in results.trainings.values():
        table.add_row(
            escape(result.name), f"{result.steps:,}", readable_seconds(result.seconds),
            _rate(result),
            *map(
                _loss,
                (
                    result.first_loss, result.last_loss,
                    result.held_out_loss, result.held_out_loss_of_start,
                ),
            ),
            escape(f"{result.status}: {result.reason}" if result.reason else result.status),
            escape(result.file),
        )  # fmt: skip
    return table


def print_results(results: Results) -> None:
    """Print the table."""
    from nstbench.cli.show.console import console

    console().print(results_table(results))


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _rate(result: Result) -> str:
    """Return the steps per second of its own part of the device's time."""
    return f"{1 / result.step_seconds:.3g}" if result.step_seconds else ""
