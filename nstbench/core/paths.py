"""Folders of fetched files, of files computed once, and of trained checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return the cache folder: ``NSTBENCH_CACHE``, or the platform's user cache of nstbench.

    The folder is not created.
    """
    override = os.environ.get("NSTBENCH_CACHE")
    if override:
        return Path(override).expanduser()
    return Path(platformdirs.user_cache_dir("nstbench", appauthor=False))


def checkpoints_dir() -> Path:
    """Return the folder of ``nstbench train``: ``NSTBENCH_CHECKPOINTS`` or the user's data folder.

    Its files cannot be fetched again, so it is not part of the cache. The folder is not created.
    """
    override = os.environ.get("NSTBENCH_CHECKPOINTS")
    if override:
        return Path(override).expanduser()
    return Path(platformdirs.user_data_dir("nstbench", appauthor=False)) / "checkpoints"


def offline() -> bool:
    """Return True if ``NSTBENCH_OFFLINE`` forbids every download."""
    return os.environ.get("NSTBENCH_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")
