"""The console that results are printed to."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Return the console for results; a pipe gets lines that are not cut."""
    output = Console()
    return output if output.is_terminal else Console(width=200)
