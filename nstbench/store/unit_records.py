"""Reader and writer of unit records: frozen dataclasses in memory, plain data in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nstbench.core.errors import StoreError
from nstbench.core.records import Status, UnitRecord
from nstbench.core.text import encodable

_NAMES = tuple(field.name for field in fields(UnitRecord))
_NOT_STORED = "from_other_process"


def plain_record(record: UnitRecord) -> dict[str, Any]:
    """Return a record as plain data; text that UTF-8 cannot encode is replaced.

    Example:
        >>> record = UnitRecord(key="0f", method="m", plugin="m", content="c", style="s",
        ...                     size=64, seed=0, status=Status.FAILED, message="no memory")
        >>> read_record(plain_record(record)) == record
        True
    """
    plain = {name: getattr(record, name) for name in _NAMES if name != _NOT_STORED}
    plain["parts"] = dict(record.parts)
    # a method's message may quote a file name that is not valid text
    return plain | {name: encodable(plain[name]) for name in ("message", "traceback")}


def read_record(data: Any) -> UnitRecord | None:
    """Return the record of plain data, or ``None`` if it is not a complete, sound record.

    A record that is done names its picture and the checksum of the picture.
    """
    if not isinstance(data, Mapping):
        return None
    try:
        record = _adapter().validate_python(data)
    except ValidationError:
        return None
    if record.status is Status.DONE and not (record.output and record.output_sha256):
        return None
    return record


def sound_record(data: Any) -> UnitRecord:
    """Return the record of plain data that a worker sent.

    Raises:
        StoreError: if it is not a complete, sound record.
    """
    record = read_record(data)
    if record is None:
        raise StoreError(f"a worker sent an incomplete record: {str(data)[:200]}")
    return record


@cache
def _adapter() -> TypeAdapter[UnitRecord]:
    """Make the adapter once: that takes milliseconds, and a run has many records."""
    return TypeAdapter(UnitRecord)
