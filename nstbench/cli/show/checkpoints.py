"""The table of all checkpoints that runs find, for ``nstbench list checkpoints``."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from nstbench.pipeline.progress import readable_seconds
from nstbench.training.checkpoints import Checkpoint, Library, installed, shipped_dir

_STYLES_SHOWN = 3


def checkpoint_table(library: Library) -> Table:
    """Return a row per checkpoint: what it does, and what its training took."""
    table = Table(title="checkpoints", title_justify="left")
    for column in ("method", "checkpoint", "styles", "from"):
        table.add_column(column)
    for column in ("steps", "px", "batch", "training"):
        table.add_column(column, justify="right")
    table.add_column("device")
    table.add_column("licence")
    for found in library.all():
        card = found.card
        table.add_row(
            *map(escape, (card.method, found.name, _styles(found), _origin(found))),
            f"{card.steps:,}", str(card.size), str(card.batch),
            readable_seconds(card.total_seconds),
            escape(str(card.environment.get("device_name", ""))), escape(card.licence),
        )  # fmt: skip
    return table


def print_checkpoints() -> None:
    """Print the table of the installed checkpoints."""
    from nstbench.cli.show.console import console

    library = installed()
    output = console()
    output.print(checkpoint_table(library))
    output.print("looked for in: " + ", ".join(map(str, library.folders)), soft_wrap=True)


def _styles(found: Checkpoint) -> str:
    names = [style.name for style in found.card.styles]
    if not names:
        return found.card.style_data or "any"
    more = len(names) - _STYLES_SHOWN
    return ", ".join(names[:_STYLES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _origin(found: Checkpoint) -> str:
    assert found.path is not None
    return "nstbench" if _same(found.path.parent, shipped_dir()) else str(found.path.parent)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
