"""Load a run folder as a :class:`~nstbench.core.board.Board`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nstbench.analysis.ranking import build_leaderboard
from nstbench.core.board import Board
from nstbench.core.records import PENDING, Status
from nstbench.core.text import encodable
from nstbench.plan.plan_file import read_plan
from nstbench.store.run_info import (
    read_cards,
    read_info,
    read_missing,
    read_scores,
    read_timings,
)
from nstbench.store.store import Store

UNIT_COLUMNS = ["key", "method", "plugin", "content", "style", "size", "seed", "status",
                "message", "traceback", "seconds", "output"]  # fmt: skip


def load_board(root: Path) -> Board:
    """Load a run, whole or unfinished, and rank it.

    Raises:
        UsageError: if the folder holds no run, or one that this version cannot read.
        StoreError: if one of its files is damaged.
    """
    info = read_info(root)
    store = Store(root)
    cards = read_cards(root, info)
    units = _units(store)
    scores = read_scores(root / "scores.parquet")
    return Board(
        root=root,
        info=info,
        units=units,
        scores=scores,
        leaderboard=build_leaderboard(scores, units, cards.metrics, cards.methods),
        timings=tuple(read_timings(root)),
        methods=cards.methods,
        metrics=cards.metrics,
        pictures=cards.pictures,
        missing=read_missing(root),
    )


def _units(store: Store) -> pd.DataFrame:
    rows = []
    for unit in read_plan(store.root):
        blocked = "status" in unit
        record = None if blocked else store.record(unit["plugin"], unit["key"])
        # the path follows from the key: a record from another machine may name another path
        output = store.output_path(unit["plugin"], unit["key"]).relative_to(store.root)
        rows.append(
            {
                "key": unit["key"],
                "method": unit["method"],
                "plugin": unit["plugin"],
                "content": unit["content"],
                "style": unit["style"],
                "size": unit["size"],
                "seed": unit["seed"],
                "status": unit.get("status") or (record.status if record else PENDING),
                "message": encodable(unit.get("message") or (record.message if record else "")),
                "traceback": encodable(record.traceback if record else ""),
                "seconds": float("nan")
                if record is None or record.seconds is None
                else record.seconds,
                "output": str(output)
                if record is not None and record.status is Status.DONE
                else "",
            }
        )
    return pd.DataFrame(rows, columns=UNIT_COLUMNS)
