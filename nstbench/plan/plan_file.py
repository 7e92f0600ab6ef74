"""`plan.json`: the planned units of a run, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nstbench.core.records import Status
from nstbench.core.text import encodable, printable
from nstbench.plan.plan import Plan
from nstbench.store.atomic_files import read_json, write_pieces
from nstbench.store.keys import SCHEMA
from nstbench.store.run_info import (
    plain_card,
    reading,
    write_info,
)
from nstbench.store.store import Store, is_plain_name

_PLANNED = {"key": str, "method": str, "plugin": str, "content": str, "style": str,
            "size": int, "seed": int}  # fmt: skip


def write_plan(store: Store, plan: Plan, info: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``plan.json`` and ``run.json``; return the data of ``run.json``.

    Args:
        store: the run folder.
        plan: the plan of the run.
        info: facts of the run; the cards of the plan are added.
    """
    write_pieces(store.root / "plan.json", _plan_pieces(plan))
    whole = {
        **info,
        "schema": SCHEMA,
        "methods": [plain_card(card) for card in plan.methods.values()],
        "metrics": [plain_card(card) for card in plan.metrics.values()],
        "pictures": [plain_card(card) for card in plan.pictures],
        "skipped": [{"path": str(s.path), "reason": s.reason} for s in plan.skipped],
    }
    write_info(store, whole)
    return whole


def _plan_pieces(plan: Plan) -> Iterator[bytes]:
    """Yield ``plan.json``, one unit a line, so that millions of units need little memory."""
    before = f'{{"schema": {SCHEMA}, "units": [\n'
    for unit in plan.units:
        blocked = plan.blocked.get(unit.key)
        outcome = {"status": blocked.status, "message": blocked.message} if blocked else {}
        entry = {
            "key": unit.key, "method": unit.method, "plugin": unit.plugin,
            "content": unit.content.name, "style": unit.style.name,
            "size": unit.size, "seed": unit.seed, **outcome,
        }  # fmt: skip
        yield f"{before}{json.dumps(entry)}".encode()
        before = ",\n"
    yield (b"\n]}\n" if plan.units else f"{before}]}}".encode())


def read_plan(root: Path) -> list[dict[str, Any]]:
    """Return the units of ``plan.json`` as plain data; an empty list without such a file.

    Raises:
        StoreError: if the file is damaged.
    """
    path = root / "plan.json"
    if not path.exists():
        return []
    with reading(path):
        units: list[dict[str, Any]] = read_json(path)["units"]
        for unit in units:
            for name, kind in _PLANNED.items():
                if not isinstance(unit[name], kind):
                    raise TypeError(f"'{name}' of a unit is {printable(unit[name])[:40]}")
                if kind is str:
                    unit[name] = encodable(unit[name])
            # both are parts of paths
            if not (is_plain_name(unit["key"]) and is_plain_name(unit["plugin"])):
                raise ValueError(f"'{printable(unit['key'])[:80]}' is not the key of a unit")
            if "status" in unit:
                Status(unit["status"])
                if not isinstance(unit.get("message", ""), str):
                    raise TypeError("the message of a unit is not text")
    return units
