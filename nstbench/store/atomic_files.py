"""Atomic files: write to a temporary name, synchronise, rename."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nstbench.core.errors import StoreError, fix_for
from nstbench.core.text import printable

RERUN = "Run the same command again: it writes the file again and keeps finished results."


# RecursionError: a damaged file may nest JSON deeply
UNREADABLE = (OSError, ValueError, RecursionError)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically.

    Raises:
        StoreError: if the disk is full or the folder cannot be written.
    """
    write_pieces(path, (data,))


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file atomically from pieces, which need not be in memory at once.

    Raises:
        StoreError: if the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(pieces)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path, and rename it to ``path`` when the block ends without an error.

    Raises:
        StoreError: if the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return the error for a file that cannot be written, with its fix."""
    fix = fix_for(error) or "free space or change permissions"
    return StoreError(
        f"{printable(path)} cannot be written: {error.strerror}. What was computed before is "
        f"intact: {fix}, then run the same command again."
    )


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    text = json.dumps(_finite(data), indent=1, sort_keys=True, default=str)
    write_bytes(path, text.encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; return ``None`` if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except UNREADABLE:
        return None


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
