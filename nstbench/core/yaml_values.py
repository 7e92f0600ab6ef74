"""Parameter values of the command line: YAML, separated by commas."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_VALUES = 100_000
"""Upper limit of values in one YAML text, against texts that expand without end."""


def split_outside_brackets(text: str) -> list[str]:
    """Split at commas outside brackets; drop empty parts."""
    parts = re.split(r",(?![^\[{(]*[\]})])", text)
    return [part.strip() for part in parts if part.strip()]


def split_names(text: str) -> list[str]:
    """Split a list of names at its commas; drop spaces around names and empty parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def names_or_all(text: str) -> list[str] | str:
    """Split a list of names; return the single word ``all`` unchanged."""
    return "all" if text.strip() == "all" else split_names(text)


def read_value(text: str) -> Any:
    """Read one value as YAML, with two exceptions.

    ``1e-4`` is a number (YAML 1.1 reads a string), and ``no`` is a string (YAML 1.1 reads a
    boolean; a boolean parameter accepts the string too).

    Raises:
        ValueError: if it is not YAML.
    """
    try:
        value = number(read_yaml(text))
        plain = isinstance(value, bool) and text.strip().lower() not in ("true", "false")
        return text.strip() if plain else value
    except ValueError:
        raise ValueError(f"the value {text} cannot be read") from None


def read_yaml(text: str) -> Any:
    """Read plain data from YAML of an unknown author.

    Raises:
        ValueError: if it is not YAML, contains other than plain data, or expands by aliases
            to more than ``MOST_VALUES`` values.
    """
    try:
        data = yaml.safe_load(text)
    # PyYAML's own errors, and the errors that malformed dates, numbers and nesting cause
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError,
            TypeError, ValueError) as error:  # fmt: skip
        raise ValueError(str(error) or type(error).__name__) from error
    _refuse_more_than(MOST_VALUES, data)
    return data


def _refuse_more_than(most: int, data: Any) -> None:
    """Raise if data has too many values; a value counts each time it is referred to.

    A text counts as one value per hundred characters.
    """
    waiting = [data]
    while waiting:
        value = waiting.pop()
        most -= 1 + (len(value) // 100 if isinstance(value, str) else 0)
        if most < 0:
            raise ValueError("its aliases repeat too many values")
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def number(value: Any) -> Any:
    """Return the number of a string like ``1e-4``; return other values unchanged."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def add_parameter(params: dict[str, Any], text: str) -> None:
    """Add ``parameter=value`` to ``params``.

    Raises:
        ValueError: if the text has another form or its value cannot be read.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"'{text}' is not of the form parameter=value")
    try:
        params[key.strip()] = read_value(value)
    except ValueError:
        raise ValueError(f"the value of '{key.strip()}' cannot be read: {value}") from None


def read_size(text: str) -> int:
    """Return the number of bytes in a text: ``4GiB``, ``500 MB``, ``2e9``.

    pydantic.ByteSize would read 1 byte from ``1.2.3GB`` and 4 GiB from ``4 GiB/s``.

    Raises:
        ValueError: if the text is not a number with an optional unit.

    Example:
        >>> read_size("4GiB"), read_size("500 MB"), read_size("2e9")
        (4294967296, 500000000, 2000000000)
    """
    found = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*(?:([kmgt]?)(i?)b?)\s*", text.lower())
    try:
        if found is None:
            raise ValueError(text)
        amount, prefix, binary = found.groups()
        return int(float(amount) * (1024 if binary else 1000) ** " kmgt".index(prefix or " "))
    except ValueError:
        raise ValueError(f"'{text}' is not a size; write 4GiB or 500MB") from None


def readable_size(size: int) -> str:
    """Return a number of bytes as text for messages.

    Example:
        >>> readable_size(9), readable_size(2**29), readable_size(2**32)
        ('9 bytes', '512 MiB', '4.0 GiB')
    """
    if size < 2**20:
        return f"{size} bytes"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
