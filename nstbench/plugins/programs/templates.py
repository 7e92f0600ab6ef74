"""Placeholders: ``{name}`` in the words of a command."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nstbench.core.errors import did_you_mean

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names in a template, in order.

    Raises:
        ValueError: if a brace has no partner; ``{{`` and ``}}`` stand for plain ones.
    """
    return tuple(m[1] for m in _TOKEN.finditer(template) if not _brace(m, template))


def fill(template: str, values: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Put values, each through ``quote``, in the place of their names."""

    def replaced(match: re.Match[str]) -> str:
        return _brace(match, template) or quote(values[match[1]])

    return _TOKEN.sub(replaced, template)


def check_names(template: str, known: Collection[str]) -> None:
    """Refuse placeholders that nothing will fill.

    Raises:
        ValueError: if there is one; it suggests the closest name.
    """
    for name in placeholders(template):
        if name not in known:
            shown = ", ".join("{" + each + "}" for each in known)
            raise ValueError(
                f"there is no placeholder {{{name}}}.{did_you_mean(name, known)} There are: "
                f"{shown}; a plain brace is written twice"
            )


def check_unquoted(template: str) -> None:
    """Refuse placeholders of a shell command that stand in quotes.

    Each value is quoted where it is put in; quotes around it would undo that.

    Raises:
        ValueError: if there is one.
    """
    for match in _TOKEN.finditer(template):
        before = template[: match.start()]
        if match[1] is not None and _in_quotes(before):
            raise ValueError(
                f"{match[0]} stands in quotes; write it without, it is quoted when it is filled in"
            )


def _in_quotes(text: str) -> bool:
    """Return True if a POSIX shell is inside quotes after reading ``text``."""
    quote, escaped = "", False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return bool(quote) or escaped


def split_words(command: str) -> tuple[str, ...]:
    """Split a command at spaces that stand in no quotes, before anything is filled in.

    Raises:
        ValueError: if a quote is not closed.
    """
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"the command cannot be split into words: {error}") from None


def plain_text(value: Any) -> str:
    """Return a parameter as it stands in a command: JSON, strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _brace(match: re.Match[str], template: str) -> str:
    """Return the plain brace that a token stands for, or an empty string for a name."""
    if match[0] in ("{{", "}}"):
        return match[0][0]
    if match[1] is None:
        raise ValueError(f"a brace has no partner in {template!r}; a plain brace is written twice")
    return ""
