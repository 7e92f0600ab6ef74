"""Write what a run knows, and load it back as a :class:`~nstbench.core.board.Board`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nstbench.analysis.ranking import build_leaderboard
from nstbench.core.board import Board
from nstbench.core.records import MethodCard, Status
from nstbench.core.text import encodable
from nstbench.plan.plan_file import read_plan
from nstbench.store.run_info import (
    read_card,
    read_cards,
    read_info,
    read_scores,
    read_timings,
    reading,
)
from nstbench.store.store import Store

UNIT_COLUMNS = ["key", "method", "plugin", "content", "style", "size", "seed", "status",
                "message", "traceback", "seconds", "output"]  # fmt: skip
PENDING = "pending"


def load_board(root: Path) -> Board:
    """Load a run, whole or unfinished, and rank it.

    Raises:
        UsageError: if the folder holds no run, or one that this version cannot read.
        StoreError: if one of its files is damaged.
    """
    info = read_info(root)
    store = Store(root)
    with reading(root / "run.json"):
        methods: list[MethodCard] = [read_card(MethodCard, card, root) for card in info["methods"]]
    method_cards = {card.variant: card for card in methods}
    metric_cards, pictures = read_cards(root)
    units = _units(store)
    scores = read_scores(root / "scores.parquet")
    return Board(
        root=root,
        info=info,
        units=units,
        scores=scores,
        leaderboard=build_leaderboard(scores, units, metric_cards, method_cards),
        timings=tuple(read_timings(root)),
        methods=method_cards,
        metrics=metric_cards,
        pictures=pictures,
    )


def _units(store: Store) -> pd.DataFrame:
    rows = []
    for unit in read_plan(store.root):
        blocked = "status" in unit
        record = {} if blocked else store.record(unit["method"], unit["key"]) or {}
        # where it lies, whatever the record says: records may come from somebody else
        output = store.output_path(unit["method"], unit["key"]).relative_to(store.root)
        rows.append(
            {
                "key": unit["key"],
                "method": unit["variant"],
                "plugin": unit["method"],
                "content": unit["content"],
                "style": unit["style"],
                "size": unit["size"],
                "seed": unit["seed"],
                "status": unit.get("status") or record.get("status", PENDING),
                "message": encodable(unit.get("message") or record.get("message", "")),
                "traceback": encodable(record.get("traceback", "")),
                "seconds": record.get("seconds", float("nan")),
                "output": str(output) if record.get("status") == Status.DONE else "",
            }
        )
    return pd.DataFrame(rows, columns=UNIT_COLUMNS)
