"""Writes scores while others are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from nstbench.store.store import Store

Record = Mapping[str, Any]

WRITERS = 4
MOST_WRITES = 256
"""Number of unwritten scores above which scoring waits."""


class ScoreWriter:
    """Writes scores in background threads."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        self._store, self._pool = store, pool
        self._writes: deque[Future[None]] = deque()

    def write(self, metric: str, key: str, record: Record) -> None:
        """Queue a score for writing. Temporary errors are not stored (see ``scorer.Record``).

        Raises:
            StoreError: if an earlier one could not be written.
        """
        if record.get("again"):
            return
        self._writes.append(self._pool.submit(self._store.write_score, metric, key, record))
        while self._writes and (self._writes[0].done() or len(self._writes) > MOST_WRITES):
            self._writes.popleft().result()

    def finish(self) -> None:
        """Wait until all scores are written.

        Raises:
            StoreError: if one could not be written.
        """
        while self._writes:
            self._writes.popleft().result()
