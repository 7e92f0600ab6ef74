"""nstbench: the benchmark for neural style transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstbench.api import run as run
    from nstbench.core.board import Board as Board

__version__ = "0.1.0"
__all__ = ["Board", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Import the API on first use: the command line must not wait for pandas and torch."""
    if name == "run":
        from nstbench.api import run

        return run
    if name == "Board":
        from nstbench.core.board import Board

        return Board
    raise AttributeError(f"module 'nstbench' has no attribute '{name}'")
