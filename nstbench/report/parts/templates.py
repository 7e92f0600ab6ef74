"""The Jinja2 environment of the report, with automatic escaping."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nstbench.plugins import registry
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import shorten

SHELL = Path(__file__).resolve().parent.parent
"""Folder of the report package, with ``templates/`` and ``static/`` of whole pages."""


@cache
def environment() -> Environment:
    """Return the Jinja2 environment of pages and sections.

    It loads ``nstbench/report/templates`` (pages and macros) and ``reports/templates``
    (sections).
    """
    env = Environment(
        loader=FileSystemLoader([SHELL / "templates", registry.folder("reports") / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        significant=lambda v: numbers.or_missing(numbers.significant(v)),
        seconds=lambda v: numbers.or_missing(numbers.seconds(v)),
        or_missing=numbers.or_missing,
        thousands=numbers.thousands,
        breakable=breakable,
        shorten=shorten,
    )
    return env


def breakable(text: str) -> Markup:
    """Return escaped text with possible line breaks after ``_ : = , /``.

    Example:
        >>> breakable("a_b<c>")
        Markup('a_<wbr>b&lt;c&gt;')
    """
    return Markup(re.sub("[_:=,/]", r"\g<0><wbr>", str(escape(text))))  # noqa: S704


def render(template: str, **context: Any) -> Markup:
    """Return a template by its file name, filled with ``context``; every value is escaped."""
    return Markup(environment().get_template(template).render(**context))  # noqa: S704


def static(name: str) -> str:
    """Return the text of ``nstbench/report/static/<name>``."""
    return (SHELL / "static" / name).read_text(encoding="utf-8")


def inline(name: str) -> Markup:
    """Return the text of a static file, for a ``<style>`` or ``<script>`` element."""
    return Markup(static(name))  # noqa: S704  our own file


def content_policy(style: str, script: str = "", images: str = "data:") -> str:
    """Return a content security policy that allows one style sheet, one script and images.

    Args:
        style: text of the style sheet.
        script: text of the script; empty for a page without a script.
        images: allowed sources of images.
    """
    scripts = f"script-src 'sha256-{_digest(script)}'; " if script else ""
    return (
        f"default-src 'none'; img-src {images}; {scripts}"
        f"style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
