"""The report of a run that goes on: finished units are scored as they come, the page is written."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pandas as pd

from nstbench.analysis.load_board import load_board
from nstbench.core.glibc_malloc import freed_memory_kept
from nstbench.generate.executors.executor import Executor
from nstbench.pipeline.time_spent import Spent
from nstbench.plan.config import RunConfig
from nstbench.plan.listener import Listener
from nstbench.report.files import PAGE, write_growing_page
from nstbench.score.stage import ScoreStage
from nstbench.store.leases import BOARD, Leases
from nstbench.store.run_info import write_scores
from nstbench.store.store import Store

EVERY_SECONDS = 30.0
"""Seconds from one page to the next one, if a unit has finished meanwhile."""


SCORING_SECONDS = 20.0
"""Seconds of scoring for one page; the next page has the scores of further outputs."""


AHEAD_EVERY, AHEAD_SECONDS = 4.0, 3.0
"""Where units go on meanwhile, outputs are scored so often and for so long, in seconds."""


class GrowingReport:
    """Scores finished units and writes the page every 30 s while units run.

    The scores have the keys and values of those at the end, where they are found in the run
    folder. On a processor no unit begins meanwhile, because scoring takes the same cores. Where
    units go on, on a GPU, they are scored as they come.

    Args:
        config: a resolved configuration.
        store: the run folder, with ``run.json`` and the plan.
        executor: runs the units.
        leases: leases of this process.
        listener: receives the path of the page.
        spent: counts the seconds.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        executor: Executor,
        leases: Leases,
        listener: Listener,
        spent: Spent,
    ) -> None:
        self._config, self._store, self._executor = config, store, executor
        self._leases, self._listener, self._spent = leases, listener, spent
        self._stage: ScoreStage | None = None
        self._named = False
        self._due = time.monotonic() + EVERY_SECONDS
        self._ahead_due = time.monotonic() + AHEAD_EVERY

    @property
    def page(self) -> Path:
        """The path of the page."""
        return self._store.root / "report" / PAGE

    def begin(self, expected_seconds: float) -> None:
        """Write the page without values, if the run is expected to last until the next one."""
        if expected_seconds >= EVERY_SECONDS:
            with self._spent.on("report"):
                self._write_page()

    def unit_done(self) -> None:
        """Score the finished units and write the page, if 30 s have passed since the last one.

        Where units go on, also score without writing the page.
        """
        writes = time.monotonic() >= self._due
        if not writes and not (self._executor.goes_on() and time.monotonic() >= self._ahead_due):
            return
        with self._executor.paused():
            if writes:
                self._due = time.monotonic() + EVERY_SECONDS
            # another process that shares the run folder writes the same page
            if self._leases.take(BOARD):
                try:
                    if writes:
                        self._write()
                    else:
                        with self._spent.on("score"):
                            self.scores(Listener(), AHEAD_SECONDS)
                finally:
                    self._leases.release(BOARD)
        self._ahead_due = time.monotonic() + AHEAD_EVERY

    def scores(self, listener: Listener, seconds: float = math.inf) -> pd.DataFrame:
        """Score the units that have no score yet, and return all tidy scores.

        Args:
            listener: receives progress and notes.
            seconds: see :meth:`nstbench.score.stage.ScoreStage.run`.
        """
        if self._stage is None:
            self._stage = ScoreStage(self._store.root, self._config.device)
        with freed_memory_kept():
            return self._stage.run(listener, seconds)

    def close(self) -> None:
        """Free the networks of the metrics."""
        if self._stage is not None:
            self._stage.close()

    def _write(self) -> None:
        with self._spent.on("score"):
            scores = self.scores(Listener(), SCORING_SECONDS)
            write_scores(self._store, scores)
        with self._spent.on("report"):
            self._write_page()

    def _write_page(self) -> None:
        write_growing_page(
            load_board(self._store.root), self.page.parent, max(1, round(EVERY_SECONDS))
        )
        if not self._named:
            self._named = True
            self._listener.report_grows(self.page)
