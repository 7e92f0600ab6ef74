"""The console for results."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Return a console for results; it is 200 characters wide if the output is not a terminal."""
    output = Console()
    return output if output.is_terminal else Console(width=200)
