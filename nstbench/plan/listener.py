"""What a run tells whoever watches it: a terminal, a notebook, a test, nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nstbench.core.records import Unit, UnitRecord

if TYPE_CHECKING:
    from nstbench.plan.plan import Plan


class Listener:
    """Receives the events of a run; this one ignores them all."""

    def planned(self, plan: Plan) -> None:
        """Tell the plan before anything runs."""

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Begin a stage of ``total`` items, expected to take ``seconds``."""

    def began(self, label: str) -> None:
        """Name the item in work."""

    def step(self, unit: Unit, index: int, total: int) -> None:
        """Report progress inside a unit, of which many may be in work; 0 of 0 is its beginning."""

    def finished(self, unit: Unit, record: UnitRecord) -> None:
        """Report a unit's record; it is no longer in work."""

    def advanced(self) -> None:
        """Report one finished item of the stage."""

    def note(self, message: str) -> None:
        """Tell something that the user should know, once."""

    def close(self) -> None:
        """End the display."""
