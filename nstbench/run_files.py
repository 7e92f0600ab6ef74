"""Write what a run knows, and load it back as a :class:`~nstbench.board.Board`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from nstbench.board import Board
from nstbench.errors import StoreError, UsageError
from nstbench.planner import Plan
from nstbench.ranking import build_leaderboard
from nstbench.records import MethodCard, MetricCard, PictureCard, Timing
from nstbench.store import SCHEMA, Store, read_json, write_json, write_pieces

SCORE_COLUMNS = ["method", "plugin", "content", "style", "size", "seed", "metric", "part", "value"]
UNIT_COLUMNS = ["key", "method", "plugin", "content", "style", "size", "seed", "status",
                "message", "traceback", "seconds", "output"]  # fmt: skip
PENDING = "pending"


def write_plan(store: Store, plan: Plan, info: Mapping[str, Any]) -> None:
    """Write ``plan.json`` and ``run.json``; together with the records they are the run."""
    write_pieces(store.root / "plan.json", _plan_pieces(plan))
    write_info(
        store,
        {
            **info,
            "schema": SCHEMA,
            "methods": [plain_card(card) for card in plan.methods.values()],
            "metrics": [plain_card(card) for card in plan.metrics.values()],
            "pictures": [plain_card(card) for card in plan.pictures],
            "skipped": [{"path": str(s.path), "reason": s.reason} for s in plan.skipped],
        },
    )


def _plan_pieces(plan: Plan) -> Iterator[bytes]:
    """Yield ``plan.json``, a unit a line: millions of them must not be in memory twice."""
    before = f'{{"schema": {SCHEMA}, "units": [\n'
    for unit in plan.units:
        blocked = plan.blocked.get(unit.key)
        outcome = {"status": blocked.status, "message": blocked.message} if blocked else {}
        entry = {
            "key": unit.key, "variant": unit.variant, "method": unit.method,
            "content": unit.content.name, "style": unit.style.name,
            "size": unit.size, "seed": unit.seed, **outcome,
        }  # fmt: skip
        yield f"{before}{json.dumps(entry)}".encode()
        before = ",\n"
    yield (b"\n]}\n" if plan.units else f"{before}]}}".encode())


def write_info(store: Store, info: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    write_json(store.root / "run.json", info)


def read_info(root: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if the run was written by a newer nstbench.
    """
    Store(root)
    info = read_json(root / "run.json")
    if not isinstance(info, dict):
        raise UsageError(f"{root} holds no run (there is no readable run.json in it).")
    return info


def write_timings(store: Store, timings: Iterable[Timing]) -> None:
    """Write the timing records that belong to the run."""
    adapter = TypeAdapter(list[Timing])
    write_json(store.root / "timings.json", adapter.dump_python(list(timings), mode="json"))


def write_scores(store: Store, scores: pd.DataFrame) -> None:
    """Write the tidy scores that belong to the run."""
    path = store.root / "scores.parquet"
    temporary = path.with_name(".scores.parquet.tmp")
    try:
        scores.to_parquet(temporary, index=False)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.") from error


def load_board(root: Path) -> Board:
    """Load a run, whole or unfinished, and rank it.

    Raises:
        UsageError: if the folder holds no run.
    """
    info = read_info(root)
    store = Store(root)
    methods = [_card(MethodCard, card) for card in info["methods"]]
    method_cards = {card.variant: card for card in methods}
    metric_cards, pictures = read_cards(root)
    units = _units(store)
    path = root / "scores.parquet"
    scores = pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=SCORE_COLUMNS)
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


def read_cards(root: Path) -> tuple[dict[str, MetricCard], tuple[PictureCard, ...]]:
    """Return the cards of the metrics and pictures of a run."""
    info = read_info(root)
    metrics = [_card(MetricCard, card) for card in info["metrics"]]
    pictures = tuple(_card(PictureCard, card) for card in info["pictures"])
    return {card.name: card for card in metrics}, pictures


def read_timings(root: Path) -> list[Timing]:
    """Return the timing records that belong to the run."""
    return TypeAdapter(list[Timing]).validate_python(read_json(root / "timings.json") or [])


def _units(store: Store) -> pd.DataFrame:
    plan = read_json(store.root / "plan.json") or {"units": []}
    rows = []
    for unit in plan["units"]:
        blocked = "status" in unit
        record = {} if blocked else store.record(unit["method"], unit["key"]) or {}
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
                "message": unit.get("message") or record.get("message", ""),
                "traceback": record.get("traceback", ""),
                "seconds": record.get("seconds", float("nan")),
                "output": record.get("output", ""),
            }
        )
    return pd.DataFrame(rows, columns=UNIT_COLUMNS)


def plain_card(card: Any) -> Any:
    """Return a card as plain data for ``run.json``."""
    return TypeAdapter(type(card)).dump_python(card, mode="json")


def _card(kind: Any, data: Mapping[str, Any]) -> Any:
    if kind is MetricCard:
        # JSON has no infinity: null stands for an open end
        low, high = data["range"]
        ends = (float("-inf") if low is None else low, float("inf") if high is None else high)
        data = {**data, "range": ends}
    return TypeAdapter(kind).validate_python(data)
