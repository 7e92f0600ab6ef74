"""The Jinja2 environment of the report: escaping is always on."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nstbench.plugins import registry
from nstbench.report.parts import numbers

SHELL = Path(__file__).resolve().parent.parent
"""The package of the report: ``templates/`` and ``static/`` of whole pages."""


@cache
def environment() -> Environment:
    """Return the Jinja2 environment of pages and sections.

    It reads ``nstbench/report/templates`` (whole pages, macros) and ``reports/templates``
    (single sections).
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
    )
    return env


def breakable(text: str) -> Markup:
    """Return escaped text that may be broken after the joints of names: ``a_b:c=d,e/f``."""
    return Markup(re.sub("[_:=,/]", r"\g<0><wbr>", str(escape(text))))  # noqa: S704


def render(template: str, **context: Any) -> Markup:
    """Return a template by its file name, filled with ``context``; every value is escaped."""
    return Markup(environment().get_template(template).render(**context))  # noqa: S704


def static(name: str) -> str:
    """Return the text of ``nstbench/report/static/<name>``."""
    return (SHELL / "static" / name).read_text(encoding="utf-8")
