"""Write what a run knows, and load it back as a :class:`~nstbench.core.board.Board`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from nstbench.analysis.ranking import build_leaderboard
from nstbench.core.board import Board
from nstbench.core.errors import NstbenchError, StoreError, UsageError
from nstbench.core.records import MethodCard, MetricCard, PictureCard, Status, Timing
from nstbench.core.text import encodable, printable
from nstbench.plan.planner import Plan
from nstbench.store.store import (
    MEND,
    SCHEMA,
    Store,
    is_plain_name,
    read_json,
    write_bytes,
    write_json,
    write_pieces,
)

SCORE_COLUMNS = ["method", "plugin", "content", "style", "size", "seed", "metric", "part", "value"]
UNIT_COLUMNS = ["key", "method", "plugin", "content", "style", "size", "seed", "status",
                "message", "traceback", "seconds", "output"]  # fmt: skip
PENDING = "pending"

_PLANNED = {"key": str, "variant": str, "method": str, "content": str, "style": str,
            "size": int, "seed": int}  # fmt: skip


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
    buffer = io.BytesIO()
    scores.to_parquet(buffer, index=False)
    write_bytes(store.root / "scores.parquet", buffer.getvalue())


def load_board(root: Path) -> Board:
    """Load a run, whole or unfinished, and rank it.

    Raises:
        UsageError: if the folder holds no run, or one that this version cannot read.
        StoreError: if one of its files is damaged.
    """
    info = read_info(root)
    store = Store(root)
    with _named(root / "run.json"):
        methods: list[MethodCard] = [_card(MethodCard, card, root) for card in info["methods"]]
    method_cards = {card.variant: card for card in methods}
    metric_cards, pictures = read_cards(root)
    units = _units(store)
    scores = _read_scores(root / "scores.parquet")
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
    """Return the cards of the metrics and pictures of a run.

    Raises:
        UsageError: if the folder holds no run.
        StoreError: if they are damaged, or a picture lies outside the folder.
    """
    info = read_info(root)
    with _named(root / "run.json"):
        metrics: list[MetricCard] = [_card(MetricCard, card, root) for card in info["metrics"]]
        pictures = tuple(_card(PictureCard, card, root) for card in info["pictures"])
        for picture in pictures:
            if not (root / picture.file).resolve().is_relative_to(root.resolve()):
                raise ValueError(f"the picture {picture.file} lies outside the run folder")
    return {card.name: card for card in metrics}, pictures


def read_timings(root: Path) -> list[Timing]:
    """Return the timing records that belong to the run.

    Raises:
        StoreError: if the file is damaged.
    """
    path = root / "timings.json"
    if not path.exists():
        return []
    with _named(path):
        return TypeAdapter(list[Timing]).validate_python(read_json(path))


def read_plan(root: Path) -> list[dict[str, Any]]:
    """Return the units of ``plan.json`` as plain data; none if there is no such file.

    Raises:
        StoreError: if the file is damaged.
    """
    path = root / "plan.json"
    if not path.exists():
        return []
    with _named(path):
        units: list[dict[str, Any]] = read_json(path)["units"]
        for unit in units:
            for name, kind in _PLANNED.items():
                if not isinstance(unit[name], kind):
                    raise TypeError(f"'{name}' of a unit is {printable(unit[name])[:40]}")
                if kind is str:
                    unit[name] = encodable(unit[name])
            # both become parts of paths
            if not (is_plain_name(unit["key"]) and is_plain_name(unit["method"])):
                raise ValueError(f"'{printable(unit['key'])[:80]}' is not the key of a unit")
            if "status" in unit:
                Status(unit["status"])
                if not isinstance(unit.get("message", ""), str):
                    raise TypeError("the message of a unit is no text")
    return units


def _read_scores(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=SCORE_COLUMNS)
    with _named(path):
        scores = pd.read_parquet(path)
        return scores[SCORE_COLUMNS]


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file does to its reader into an error that names the file.

    Raises:
        StoreError: if the block raises anything but an error of nstbench.
    """
    try:
        yield
    except NstbenchError:
        raise
    # what is in the file may be anything, and so may what it causes
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise StoreError(f"{printable(path)} is damaged ({reason}). {MEND}") from error


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


def plain_card(card: Any) -> Any:
    """Return a card as plain data for ``run.json``."""
    kind: Any = type(card)
    return _adapter(kind).dump_python(card, mode="json")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Making one takes milliseconds, and a run may have thousands of pictures."""
    return TypeAdapter(kind)


def _card(kind: Any, data: Mapping[str, Any], root: Path) -> Any:
    if kind is MetricCard:
        # JSON has no infinity: null stands for an open end
        low, high = data["range"]
        ends = (float("-inf") if low is None else low, float("inf") if high is None else high)
        data = {**data, "range": ends}
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise UsageError(
            f"{root / 'run.json'} was written by another version of nstbench ({place}: "
            f"{problem['msg']}). The command that made the run writes it anew, results are kept."
        ) from None
