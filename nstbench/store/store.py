"""The run folder: where records, scores, timings and traces are.

```
run.json  plan.json
inputs/<role>/<sha>.png                   fitted pictures
outputs/<plugin>/<k2>/<key>.png, .json    the record is written last; with it the unit is complete
outputs/<plugin>/<k2>/<key>_<kind>_error.png   error maps, on request
scores/<metric>/<k2>/<key>.json
timings/<plugin>/<key>.json               raw samples
traces/<key>.json                         loss curves
```

All files are atomic (:mod:`nstbench.store.atomic_files`): a run that is killed leaves the old file,
the new one, or none.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nstbench.core.errors import StoreError
from nstbench.core.records import Status, UnitRecord
from nstbench.store.atomic_files import RERUN, UNREADABLE, read_json, write_json
from nstbench.store.keys import SCHEMA, key_without_code
from nstbench.store.unit_records import plain_record, read_record

MAP_KINDS = ("content", "style")


def map_path(output: str, kind: str) -> Path:
    """Return the path of an error map; it and ``output`` are relative to the run folder."""
    path = Path(output)
    return path.with_name(f"{path.stem}_{kind}_error.png")


def is_plain_name(text: Any) -> bool:
    """Return True for a plain file name, which cannot lead out of its folder."""
    if not isinstance(text, str) or not text.isprintable():
        return False
    return bool(text) and Path(text).name == text and not text.startswith(".")


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def check_schema(root: Path, info: Mapping[str, Any]) -> None:
    """Check that this version can read a run folder, given its ``run.json``.

    Raises:
        StoreError: if a newer version of nstbench has written the folder.
    """
    schema = info.get("schema", SCHEMA)
    if not isinstance(schema, int):
        raise StoreError(f"{root / 'run.json'} is damaged: its schema is not a number. {RERUN}")
    if schema > SCHEMA:
        raise StoreError(
            f"{root} was written by a newer nstbench (schema {schema}, this version "
            f"reads {SCHEMA}). Upgrade nstbench, or choose another folder with --out."
        )


class Store:
    """One run folder.

    Args:
        root: the folder; it is created when something is first written.

    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._outputs = str(root / "outputs")

    @classmethod
    def open(cls, root: Path) -> Store:
        """Return the store of a folder that this version may read and write.

        Raises:
            StoreError: if a newer version of nstbench has written the folder.
        """
        info = read_json(root / "run.json")
        if isinstance(info, dict):
            check_schema(root, info)
        return cls(root)

    # -- generation -----------------------------------------------------------------------

    def record_path(self, plugin: str, key: str) -> Path:
        """Return the path of a unit's record."""
        return self.root / "outputs" / plugin / key[:2] / f"{key}.json"

    def output_path(self, plugin: str, key: str) -> Path:
        """Return the path of a unit's picture."""
        return self.record_path(plugin, key).with_suffix(".png")

    def record(self, plugin: str, key: str) -> UnitRecord | None:
        """Return the record of a unit; ``None`` if it is missing, torn or altered."""
        # strings: with many records, building Path objects takes most of the time
        stem = f"{self._outputs}/{plugin}/{key[:2]}/{key}"
        try:
            with open(f"{stem}.json", "rb") as stream:  # noqa: PTH123
                record = read_record(json.loads(stream.read()))
        except UNREADABLE:
            return None
        if record is None or record.key != key:
            return None
        if record.status is Status.DONE and not os.path.isfile(f"{stem}.png"):  # noqa: PTH113
            return None
        return record

    def write_record(self, record: UnitRecord) -> None:
        """Write the record of a unit; call it after its picture and trace are written."""
        path = self.record_path(record.plugin, record.key)
        write_json(path, {"schema": SCHEMA, **plain_record(record)})

    def records(self, plugin: str) -> Iterator[UnitRecord]:
        """Yield all records of a method, of all plans of this run folder."""
        for path in sorted((self.root / "outputs" / plugin).glob("*/*.json")):
            record = self.record(plugin, path.stem)
            if record is not None:
                yield record

    def keys(self, plugin: str) -> set[str]:
        """Return the keys of all record files of a method; read none of them."""
        found: set[str] = set()
        with contextlib.suppress(OSError):
            for folder in os.scandir(self.root / "outputs" / plugin):
                names = os.scandir(folder.path) if folder.is_dir() else ()
                found.update(n.name[:-5] for n in names if n.name.endswith(".json"))
        return found

    def keys_by_inputs(self, plugin: str) -> dict[str, str]:
        """Return key without the code version -> key of the newest record."""
        newest = sorted(self.records(plugin), key=lambda record: record.finished)
        return {key_without_code(record.parts): record.key for record in newest}

    # -- scores, timings, traces ----------------------------------------------------------

    def score_path(self, metric: str, key: str) -> Path:
        """Return the path of a score."""
        return self.root / "scores" / metric / key[:2] / f"{key}.json"

    def score(self, metric: str, key: str) -> dict[str, Any] | None:
        """Return a score record: ``{"values": {part: value}}`` or ``{"error": message}``.

        Return ``None`` if it is missing, torn or altered.
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

    def timing_path(self, plugin: str, key: str) -> Path:
        """Return the path of the timing of a method variant at one size."""
        return self.root / "timings" / plugin / f"{key}.json"

    def trace_path(self, key: str) -> Path:
        """Return the path of a unit's loss trace."""
        return self.root / "traces" / f"{key}.json"

    def find_key(self, prefix: str) -> tuple[str, dict[str, Any]]:
        """Return kind and data of the only record, score or timing whose key begins with a text.

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
                "The failure list of the report and plan.json have the keys."
            )
        kind, path = hits[0]
        data = read_json(path)
        if not isinstance(data, dict):
            raise StoreError(f"{path} is damaged; delete it and run the same command again.")
        return kind, data
