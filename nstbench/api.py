"""The Python API: :func:`run` does what ``nstbench run`` does and returns the board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nstbench.core.board import Board
from nstbench.pipeline.job import execute
from nstbench.plan.config_file import build_config
from nstbench.plan.listener import Listener


def run(
    methods: str | Sequence[Any] | None = None,
    contents: str | Path | None = None,
    styles: str | Path | None = None,
    *,
    suite: str | None = None,
    config: str | Path | None = None,
    progress: bool = False,
    **settings: Any,
) -> Board:
    """Run methods over pictures, score, time and rank them.

    Args:
        methods: names with optional parameters (``"gatys_2015:iterations=50"``), or
            dictionaries ``{"name": ..., "params": {...}, "label": ...}``; all if None.
        contents: dataset name or folder; the suite's own if None.
        styles: dataset name or folder; the suite's own if None.
        suite: suite that gives the defaults.
        config: YAML file with settings.
        progress: show progress on the terminal.
        settings: any other field of :class:`nstbench.plan.config.RunConfig`.

    Returns:
        The board; ``.scores`` and ``.leaderboard`` are pandas tables.

    Raises:
        UsageError: if a name or setting is wrong.
        Interrupted: after an interrupt, when what was in work is finished; its ``board`` holds
            the rest (see :mod:`nstbench.pipeline.interrupt`).
    """
    options = settings | {
        "methods": methods,
        "contents": None if contents is None else str(contents),
        "styles": None if styles is None else str(styles),
    }
    built = build_config(options, suite=suite, file=Path(config) if config else None)
    listener = Listener()
    if progress:
        from nstbench.pipeline.progress import TerminalListener

        listener = TerminalListener()
    try:
        board = execute(built, command="nstbench.run(...)", listener=listener)
    finally:
        listener.close()
    if board is None:
        raise RuntimeError("a run that is not a dry run always has a board")
    return board
