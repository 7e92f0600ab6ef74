"""List the files that a user put into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from nstbench.core.text import natural_key
from nstbench.pictures.decode import PICTURE_SUFFIXES

SYSTEM_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx"})
"""Files and folders, in small letters, that Windows, macOS and Synology put next to pictures."""


def visible_files(root: Path, unreadable: Callable[[OSError], None] | None = None) -> list[Path]:
    """Return the files under a folder, without hidden files and those of operating systems.

    A name that begins with a dot is hidden, for example ``.DS_Store`` or ``._photo.jpg``. Links to
    folders are followed, but every folder is read once.

    Args:
        root: the folder.
        unreadable: called with the error of a folder that cannot be read.
    """
    visible: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=unreadable):
        status = Path(folder).stat()
        # A link to a parent folder would repeat for ever, so every folder is entered once.
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(filter(is_visible, subfolders), key=natural_key)
        visible += [Path(folder, name) for name in files if is_visible(name)]
    return visible


def picture_files(folder: Path) -> list[Path]:
    """Return the files of a folder, without sub-folders, that have the suffix of a picture."""
    return sorted(
        path for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and is_visible(path.name)
    )  # fmt: skip


def is_visible(name: str) -> bool:
    """Return whether a file or folder name is that of a user's file.

    Example:
        >>> [is_visible(name) for name in ("a.jpg", "._a.jpg", "Thumbs.db")]
        [True, False, False]
    """
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES
