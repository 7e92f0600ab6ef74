"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with a further plug-in.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


def add_plugins(files: list[Path] | None) -> None:
    """Register the files given with ``--plugin``.

    Raises:
        UsageError: if a file is no plug-in.
    """
    from nstbench import registry

    for file in files or []:
        registry.add_file(file)
