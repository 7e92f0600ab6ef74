"""Where nstbench keeps what it fetched or computed once."""

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
