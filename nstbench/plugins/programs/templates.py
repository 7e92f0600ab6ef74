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
        ValueError: if a brace has no partner; ``{{`` and ``}}`` are plain braces.

    Example:
        >>> placeholders("{python} run.py {content} {{x}}")
        ('python', 'content')
    """
    return tuple(m[1] for m in _TOKEN.finditer(template) if not _brace(m, template))


def fill(template: str, values: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """Replace each placeholder by its value, passed through ``quote``.

    Example:
        >>> fill("--style {style} {{x}}", {"style": "a b"}, shlex.quote)
        "--style 'a b' {x}"
    """

    def replaced(match: re.Match[str]) -> str:
        return _brace(match, template) or quote(values[match[1]])

    return _TOKEN.sub(replaced, template)


def check_names(template: str, names: Collection[str]) -> None:
    """Check that every placeholder has one of the given names.

    Raises:
        ValueError: if one does not; the message suggests the closest name.
    """
    for name in placeholders(template):
        if name not in names:
            shown = ", ".join("{" + each + "}" for each in names)
            raise ValueError(
                f"there is no placeholder {{{name}}}.{did_you_mean(name, names)} There are: "
                f"{shown}; a plain brace is written twice"
            )


def check_unquoted(template: str) -> None:
    """Check that no placeholder of a shell command is inside quotes.

    Values are quoted when they are filled in; further quotes would cancel that.

    Raises:
        ValueError: if a placeholder is inside quotes.
    """
    for match in _TOKEN.finditer(template):
        before = template[: match.start()]
        if match[1] is not None and _in_quotes(before):
            raise ValueError(
                f"{match[0]} is inside quotes; remove them, because its value will be quoted"
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
    """Split a command, with placeholders, at the spaces outside quotes.

    Raises:
        ValueError: if a quote is not closed.
    """
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"the command cannot be split into words: {error}") from None


def plain_text(value: Any) -> str:
    """Return a parameter as text for a command: JSON, but strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def _brace(match: re.Match[str], template: str) -> str:
    """Return the plain brace of a token, or an empty string for a placeholder."""
    if match[0] in ("{{", "}}"):
        return match[0][0]
    if match[1] is None:
        raise ValueError(f"a brace has no partner in {template!r}; a plain brace is written twice")
    return ""
