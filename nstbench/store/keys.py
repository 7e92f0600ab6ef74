"""Keys: SHA-256 checksums of the plain data that decides a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = 1


# parts of a key that identify code, not inputs; `--resume always` ignores them
CODE_PARTS = ("source", "schema")


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain data; the order of the parts does not matter.

    Example:
        >>> key_of({"size": 64, "seed": 0}) == key_of({"seed": 0, "size": 64})
        True
    """
    return hashlib.sha256(_plain_json(parts).encode()).hexdigest()


def key_without_code(parts: Mapping[str, Any]) -> str:
    """Return the key of the parts without those that identify code."""
    return key_of({name: part for name, part in parts.items() if name not in CODE_PARTS})


def _plain_json(parts: Mapping[str, Any]) -> str:
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)


class KeyText:
    """Compute many keys that differ in few parts, from texts of the parts.

    ``KeyText(parts, changing).keys(changes)`` equals :func:`key_of` and
    :func:`key_without_code` of ``parts | changes``. A plan of a million units needs this speed.

    Args:
        parts: parts that all keys share.
        changing: names of the parts that differ.
    """

    def __init__(self, parts: Mapping[str, Any], changing: Iterable[str]) -> None:
        shared = {name: KeyText.piece(name, part) for name, part in parts.items()}
        names = sorted({*shared, *changing})
        self._with_code = [shared.get(name, "") for name in names]
        self._place = {name: place for place, name in enumerate(names)}
        self._code = [place for name, place in self._place.items() if name in CODE_PARTS]

    @staticmethod
    def piece(name: str, part: Any) -> str:
        """Return the text of one part."""
        return _plain_json({name: part})[1:-1]

    def keys(self, pieces: Mapping[str, str]) -> tuple[str, str]:
        """Return the key, and the key without code, for the texts of the changing parts."""
        texts = self._with_code.copy()
        for name, text in pieces.items():
            texts[self._place[name]] = text
        whole = _hash_of(texts)
        for place in reversed(self._code):
            del texts[place]
        return whole, _hash_of(texts)


def _hash_of(pieces: list[str]) -> str:
    return hashlib.sha256(f"{{{','.join(pieces)}}}".encode()).hexdigest()


def hash_of_keys(keys: Iterable[str]) -> str:
    """Return a checksum of keys; their order matters."""
    digest = hashlib.sha256()
    for key in keys:
        digest.update(key.encode())
    return digest.hexdigest()


def seed_of(key: str) -> int:
    """Return the random seed of a unit, which depends on its key only."""
    return int(key[:15], 16)
