"""Print the table of docs/settings.md: every setting of a run with its option and default.

Usage: ``python docs/settings.py``; with ``--write`` it replaces the table on the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nstbench.cli.run import run_options
from nstbench.plan.config import RunConfig, option_of

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"


def table() -> str:
    """Return the table as Markdown, in the order of :class:`nstbench.plan.config.RunConfig`."""
    with_option = {parameter.name for parameter in run_options()}
    lines = ["| setting | option of `run` | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in RunConfig.model_fields.items():
        option = f"`{option_of(name)}`" if name in with_option else "–"
        default = _plain(field.get_default(call_default_factory=True))
        meaning = str(field.description).replace("<", "&lt;").replace("|", "\\|")
        lines.append(f"| `{name}` | {option} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    if value is None or value in ("", (), {}):
        return "–"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def written() -> str:
    """Return the table that is on the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(
            PAGE.read_text(encoding="utf-8").replace(written(), table()), encoding="utf-8"
        )
    else:
        sys.stdout.write(table())
