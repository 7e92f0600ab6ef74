"""nstbench: the benchmark for neural style transfer.

Example:
    >>> import nstbench
    >>> board = nstbench.run("content_copy", limit=1, size=32)  # doctest: +SKIP
    >>> board.leaderboard  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstbench.api import Results as Results
    from nstbench.api import load_run as load_run
    from nstbench.api import run as run

__version__ = "0.1.0"
__all__ = ["Results", "__version__", "load_run", "run"]


def __getattr__(name: str) -> Any:
    """Import the API on first use, because it imports pandas and torch."""
    if name in ("Results", "load_run", "run"):
        from nstbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'nstbench' has no attribute '{name}'")
