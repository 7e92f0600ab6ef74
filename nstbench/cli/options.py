"""Options that several commands share."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated

import typer

from nstbench.core.errors import UsageError, fix_for

Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file with a further plug-in.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


def check_writable(option: str, path: Path) -> None:
    """Find out that a file cannot be written before the work for it is done, not after.

    Folders that are missing will be made.

    Raises:
        UsageError: naming the option, the reason and the way out.
    """
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if path.is_dir():
        code = errno.EISDIR
    elif there != path and not there.is_dir():
        code = errno.ENOTDIR
    elif not _may_write(there if there.is_dir() else there.parent):
        code = errno.EACCES
    else:
        return
    error = OSError(code, os.strerror(code))
    raise UsageError(f"{option} {path} cannot be written: {error.strerror}; {fix_for(error)}.")


def _may_write(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def add_plugins(files: list[Path] | None) -> None:
    """Register the files given with ``--plugin``.

    Raises:
        UsageError: if a file is no plug-in.
    """
    from nstbench.plugins import registry

    for file in files or []:
        registry.add_file(file)
