"""The Python API: run methods over pictures, or load a run, and read the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nstbench.analysis.load_board import load_board
from nstbench.core.board import Board
from nstbench.pipeline.interrupt import Interrupted
from nstbench.pipeline.job import execute
from nstbench.pipeline.progress import TerminalListener
from nstbench.plan.config_file import build_config
from nstbench.plan.listener import Listener
from nstbench.report.page import render_page


class Results(Board):
    """A board that writes its report page and its leaderboard, and is shown in a notebook.

    :func:`run` and :func:`load_run` return it.

    Example:
        >>> from tempfile import mkdtemp
        >>> results = run("content_copy", limit=1, size=32, metrics=("ssim",), device="cpu",
        ...               timing_repeats=0, formats=(), out=mkdtemp())
        >>> results.to_csv().splitlines()[0].split(",")[3]
        'method'
    """

    def to_html(self, path: Path | str | None = None) -> str:
        """Return the self-contained report page; write it to ``path`` if one is given."""
        page = render_page(self)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def to_csv(self, path: Path | str | None = None) -> str:
        """Return the leaderboard as CSV; write it to ``path`` if one is given."""
        text = self.leaderboard.to_csv(index=False)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        """Show the leaderboard in a notebook."""
        return self.leaderboard.to_html(index=False, float_format="{:.4g}".format, na_rep="")


def run(
    methods: str | Sequence[Any] | None = None,
    contents: str | Path | None = None,
    styles: str | Path | None = None,
    *,
    suite: str | None = None,
    config: str | Path | None = None,
    progress: bool = False,
    **settings: Any,
) -> Results:
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
        The results; ``.scores`` and ``.leaderboard`` are pandas tables.

    Example:
        >>> from tempfile import mkdtemp
        >>> results = run("content_copy", limit=1, size=32, metrics=("ssim",), device="cpu",
        ...               timing_repeats=0, formats=(), out=mkdtemp())
        >>> results.leaderboard[["method", "coverage", "ssim"]].to_dict("records")
        [{'method': 'content_copy', 'coverage': '1/1', 'ssim': 1.0}]

    Raises:
        UsageError: if a name or setting is wrong.
        Interrupted: after an interrupt, when the units in work are finished; its ``board``
            holds the results so far (see :mod:`nstbench.pipeline.interrupt`).
    """
    options = settings | {
        "methods": methods,
        "contents": None if contents is None else str(contents),
        "styles": None if styles is None else str(styles),
    }
    built = build_config(options, suite=suite, file=Path(config) if config else None)
    listener = TerminalListener() if progress else Listener()
    try:
        board = execute(built, command="nstbench.run(...)", listener=listener)
    except Interrupted as interrupted:
        interrupted.board = _results(interrupted.board)
        raise
    finally:
        listener.close()
    if board is None:
        raise RuntimeError("a run that is not a dry run always has a board")
    return _results(board)


def load_run(folder: str | Path) -> Results:
    """Load a run folder, finished or not, and rank it.

    Args:
        folder: run folder, for example ``"runs/starter"``.

    Raises:
        UsageError: if the folder is not a run folder.
        StoreError: if one of its files is damaged.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = mkdtemp()
        >>> _ = run("content_copy", limit=1, size=32, metrics=("ssim",), device="cpu",
        ...         timing_repeats=0, formats=(), out=folder)
        >>> load_run(folder).units["status"].tolist()
        ['done']
    """
    return _results(load_board(Path(folder)))


def _results(board: Board) -> Results:
    return Results(**vars(board))
