"""The run folder: keys, atomic records, and loading them back.

```
run.json  plan.json
inputs/<role>/<sha>.png                   fitted pictures
outputs/<method>/<k2>/<key>.png, .json    the record is written last: it exists = the unit is done
outputs/<method>/<k2>/<key>_<kind>_error.png   where errors arise, if asked for
scores/<metric>/<k2>/<key>.json
timings/<method>/<key>.json               raw samples
traces/<key>.json                         loss curves
```

Every file is written to a temporary name in its folder, synchronised and renamed,
so that a run killed at any moment leaves either the old file, the new one, or none.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nstbench.core.errors import StoreError
from nstbench.core.records import Status
from nstbench.store.atomic_files import MEND, UNREADABLE, read_json, write_json
from nstbench.store.keys import SCHEMA, key_without_code

MAP_KINDS = ("content", "style")

_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "message": str, "traceback": str, "started": str, "finished": str, "device_name": str,
    "output": str, "output_sha256": str, "parts": dict, "calibration": list,
    "calibration_waits": list, "waits": list, "size": int, "threads": int, "seconds": (int, float),
    "batch": int,
}  # fmt: skip
_STATUSES = tuple(Status)
_SAMPLES = ("calibration", "calibration_waits", "waits")
_DONE_FIELDS = ("output", "output_sha256")


def map_path(output: str, kind: str) -> Path:
    """Return where the map of an output lies, both relative to the run folder."""
    path = Path(output)
    return path.with_name(f"{path.stem}_{kind}_error.png")


def is_plain_name(text: Any) -> bool:
    """Return True for text that names a file in a folder, and leads nowhere else."""
    if not isinstance(text, str) or not text.isprintable():
        return False
    return bool(text) and Path(text).name == text and not text.startswith(".")


def _is_sound(record: Mapping[str, Any]) -> bool:
    """Return True if a record has a known status, and each field the type it is written with."""
    if record.get("status") not in _STATUSES:
        return False
    if record["status"] == Status.DONE and not all(name in record for name in _DONE_FIELDS):
        return False
    if not all(_is(record[name], kind) for name, kind in _FIELDS.items() if name in record):
        return False
    return all(_is(second, (int, float)) for name in _SAMPLES for second in record.get(name, ()))


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


class Store:
    """One run folder.

    Args:
        root: the folder; it is created when something is first written.

    Raises:
        StoreError: if a newer version of nstbench has written the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._outputs = str(root / "outputs")
        info = read_json(root / "run.json")
        schema = info.get("schema", SCHEMA) if isinstance(info, dict) else SCHEMA
        if not isinstance(schema, int):
            raise StoreError(f"{root / 'run.json'} is damaged: its schema is no number. {MEND}")
        if schema > SCHEMA:
            raise StoreError(
                f"{root} was written by a newer nstbench (schema {schema}, this one "
                f"reads {SCHEMA}). Upgrade nstbench, or choose another folder with --out."
            )

    # -- generation -----------------------------------------------------------------------

    def record_path(self, method: str, key: str) -> Path:
        """Return where the record of a unit is kept."""
        return self.root / "outputs" / method / key[:2] / f"{key}.json"

    def output_path(self, method: str, key: str) -> Path:
        """Return where the picture of a unit is kept."""
        return self.record_path(method, key).with_suffix(".png")

    def record(self, method: str, key: str) -> dict[str, Any] | None:
        """Return the record of a unit, or ``None`` if it has none (or a torn or altered one)."""
        # strings: with hundreds of thousands of records, building paths is most of the work
        stem = f"{self._outputs}/{method}/{key[:2]}/{key}"
        try:
            with open(f"{stem}.json", "rb") as stream:  # noqa: PTH123
                data = json.loads(stream.read())
        except UNREADABLE:
            return None
        if not isinstance(data, dict) or data.get("key") != key or not _is_sound(data):
            return None
        if data["status"] == Status.DONE and not os.path.isfile(f"{stem}.png"):  # noqa: PTH113
            return None
        return data

    def write_record(self, method: str, key: str, record: Mapping[str, Any]) -> None:
        """Write the record of a unit; call it after everything the record speaks of."""
        write_json(self.record_path(method, key), {"schema": SCHEMA, "key": key, **record})

    def records(self, method: str) -> Iterator[dict[str, Any]]:
        """Yield all records of a method, whatever plan they were made for."""
        for path in sorted((self.root / "outputs" / method).glob("*/*.json")):
            record = self.record(method, path.stem)
            if record is not None:
                yield record

    def keys(self, method: str) -> set[str]:
        """Return the keys of all files that may be records of a method, without reading them."""
        found: set[str] = set()
        with contextlib.suppress(OSError):
            for folder in os.scandir(self.root / "outputs" / method):
                names = os.scandir(folder.path) if folder.is_dir() else ()
                found.update(n.name[:-5] for n in names if n.name.endswith(".json"))
        return found

    def keys_by_inputs(self, method: str) -> dict[str, str]:
        """Return key without the version of the code -> newest key that has a record."""
        newest = sorted(self.records(method), key=lambda record: str(record.get("finished", "")))
        return {key_without_code(r["parts"]): str(r["key"]) for r in newest if "parts" in r}

    # -- scores, timings, traces ----------------------------------------------------------

    def score_path(self, metric: str, key: str) -> Path:
        """Return where a score is kept."""
        return self.root / "scores" / metric / key[:2] / f"{key}.json"

    def score(self, metric: str, key: str) -> dict[str, Any] | None:
        """Return a score record: ``{"values": {part: value}}`` or ``{"error": message}``.

        One that is torn or altered counts as none.
        """
        data = read_json(self.score_path(metric, key))
        if not isinstance(data, dict):
            return None
        if "error" in data:
            return data if isinstance(data["error"], str) else None
        values = data.get("values")
        sound = isinstance(values, dict) and all(
            value is None or _is(value, (int, float)) for value in values.values()
        )
        return data if sound else None

    def write_score(self, metric: str, key: str, record: Mapping[str, Any]) -> None:
        """Write a score record."""
        write_json(self.score_path(metric, key), record)

    def timing_path(self, method: str, key: str) -> Path:
        """Return where the timing samples of a method variant at one size are kept."""
        return self.root / "timings" / method / f"{key}.json"

    def trace_path(self, key: str) -> Path:
        """Return where the loss trace of a unit is kept."""
        return self.root / "traces" / f"{key}.json"

    def find_key(self, prefix: str) -> tuple[str, dict[str, Any]]:
        """Return kind and record of the only output or score whose key begins so.

        Raises:
            StoreError: if no key or more than one begins with ``prefix``.
        """
        hits = [
            (kind, path)
            for kind in ("outputs", "scores", "timings")
            for path in sorted((self.root / kind).rglob(f"{prefix}*.json"))
        ]
        if len(hits) != 1:
            found = "no record" if not hits else f"{len(hits)} records"
            raise StoreError(
                f"{found} in {self.root} with a key that begins with '{prefix}'. "
                "Keys stand in the failure list of the report and in plan.json."
            )
        kind, path = hits[0]
        data = read_json(path)
        if not isinstance(data, dict):
            raise StoreError(f"{path} is damaged; delete it and run the same command again.")
        return kind, data
