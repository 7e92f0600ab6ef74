"""The Jinja2 environment of the report: escaping is always on."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nstbench.plugins import registry
from nstbench.report.parts import numbers


@cache
def environment() -> Environment:
    """Return the environment of ``reports/templates``."""
    env = Environment(
        loader=FileSystemLoader(registry.folder("reports") / "templates"),
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
    """Return ``reports/templates/<template>`` filled with ``context``, everything escaped."""
    return Markup(environment().get_template(template).render(**context))  # noqa: S704


def static(name: str) -> str:
    """Return the text of ``reports/static/<name>``."""
    return (registry.folder("reports") / "static" / name).read_text(encoding="utf-8")
