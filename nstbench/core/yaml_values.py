"""How parameter values are written on the command line: YAML, separated by commas."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_VALUES = 100_000
"""More values than any configuration needs."""


def split_outside_brackets(text: str) -> list[str]:
    """Split at commas that stand in no brackets; empty parts are dropped."""
    parts = re.split(r",(?![^\[{(]*[\]})])", text)
    return [part.strip() for part in parts if part.strip()]


def split_names(text: str) -> list[str]:
    """Split a list of names at its commas; spaces around names and empty parts are dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def names_or_all(text: str) -> list[str] | str:
    """Split a list of names; the one word ``all`` stays what it is."""
    return "all" if text.strip() == "all" else split_names(text)


def read_value(text: str) -> Any:
    """Read one value as YAML, less two of its surprises.

    ``1e-4``, which YAML 1.1 takes for a string, is a number, and ``no``, which it takes for
    a boolean, is a string (a boolean parameter understands it all the same).

    Raises:
        ValueError: if it is no YAML.
    """
    try:
        value = number(read_yaml(text))
        plain = isinstance(value, bool) and text.strip().lower() not in ("true", "false")
        return text.strip() if plain else value
    except ValueError:
        raise ValueError(f"the value {text} cannot be read") from None


def read_yaml(text: str) -> Any:
    """Read YAML that may come from anybody: plain data, of a size that its text warrants.

    Raises:
        ValueError: if it is no YAML, holds anything but plain data, or repeats itself by
            aliases to more than ``MOST_VALUES`` values.
    """
    try:
        data = yaml.safe_load(text)
    # PyYAML's own errors, and what malformed dates, numbers and nesting cause besides
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError,
            TypeError, ValueError) as error:  # fmt: skip
        raise ValueError(str(error) or type(error).__name__) from error
    _refuse_more_than(MOST_VALUES, data)
    return data


def _refuse_more_than(most: int, data: Any) -> None:
    """Count values as often as they are referred to, which is how often others will see them.

    A long text counts as one value per hundred characters.
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
    """Turn a string like ``1e-4`` into the number; return anything else as it is."""
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
