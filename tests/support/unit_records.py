"""Records of units that did not run, for tests."""

from __future__ import annotations

from typing import Any

from nstbench.core.records import Status, UnitRecord
from nstbench.store.unit_records import plain_record

PICTURE = {"output": "outputs/m/0f/0f.png", "output_sha256": "5" * 64}


def unit_record(key: str, status: str = "failed", plugin: str = "m", **facts: Any) -> UnitRecord:
    """Return a record with made-up names; one that is done names a picture."""
    made_up = {"method": plugin, "content": "c", "style": "s", "size": 32, "seed": 0}
    picture = PICTURE if status == Status.DONE else {}
    return UnitRecord(key=key, plugin=plugin, status=Status(status), **(made_up | picture | facts))


def worker_answer(unit: dict[str, Any], status: str, **facts: Any) -> dict[str, Any]:
    """Return the plain record that a worker sends for a plain unit."""
    names = {"content": unit["content"]["name"], "style": unit["style"]["name"]}
    own = {name: unit[name] for name in ("method", "size", "seed", "parts")}
    return plain_record(unit_record(unit["key"], status, unit["plugin"], **names, **own, **facts))
