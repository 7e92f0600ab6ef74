"""The table of all checkpoints that runs use, for ``nstbench list checkpoints``."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from nstbench.core.text import readable_seconds
from nstbench.training.checkpoints import Card, Checkpoint, Library, installed, shipped_dir

_STYLES_SHOWN = 3


def checkpoint_table(library: Library) -> Table:
    """Return a table with a row per checkpoint: styles, origin and cost of the training."""
    table = Table(title="checkpoints", title_justify="left")
    for column in ("method", "checkpoint", "styles", "from"):
        table.add_column(column)
    for column in ("steps", "px", "batch", "training", "held-out loss"):
        table.add_column(column, justify="right")
    table.add_column("device")
    table.add_column("licence")
    for checkpoint in library.all():
        card = checkpoint.card
        table.add_row(
            *map(escape, (card.method, checkpoint.name, _styles(checkpoint), _origin(checkpoint))),
            f"{card.steps:,}", str(card.size), str(card.batch),
            readable_seconds(card.total_seconds), _losses(card),
            escape(str(card.environment.get("device_name", ""))), escape(card.licence),
        )  # fmt: skip
    return table


def print_checkpoints() -> None:
    """Print the table of the installed checkpoints."""
    from nstbench.cli.show.console import console

    library = installed()
    output = console()
    output.print(checkpoint_table(library))
    output.print("folders: " + ", ".join(map(str, library.folders)), soft_wrap=True)


def _styles(checkpoint: Checkpoint) -> str:
    names = [style.name for style in checkpoint.card.styles]
    if not names:
        return checkpoint.card.style_data or "any"
    more = len(names) - _STYLES_SHOWN
    return ", ".join(names[:_STYLES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _losses(card: Card) -> str:
    """Return the held-out losses before and after the training, as far as they are known."""
    losses = (card.held_out_loss_of_start, card.held_out_loss)
    return " → ".join(f"{loss:.4g}" for loss in losses if loss is not None)


def _origin(checkpoint: Checkpoint) -> str:
    """Return the folder of a checkpoint, or ``"nstbench"`` if it is part of the package."""
    assert checkpoint.path is not None
    folder = checkpoint.path.parent
    return "nstbench" if folder.resolve() == shipped_dir().resolve() else str(folder)
