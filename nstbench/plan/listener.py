"""Events of a run, for a display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nstbench.core.records import Unit, UnitRecord

if TYPE_CHECKING:
    from nstbench.plan.plan import Plan


class Listener:
    """Receives the events of a run; this base class ignores them."""

    def planned(self, plan: Plan) -> None:
        """Report the plan, before the run starts."""

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Report a new stage with ``total`` items and an estimate in ``seconds``."""

    def began(self, label: str) -> None:
        """Report the item in work."""

    def step(self, unit: Unit, index: int, total: int) -> None:
        """Report a step of a unit; 0 of 0 is its start. Several units may be in work."""

    def finished(self, unit: Unit, record: UnitRecord) -> None:
        """Report the record of a finished unit."""

    def advanced(self) -> None:
        """Report one finished item of the stage."""

    def note(self, message: str) -> None:
        """Report a message for the user."""

    def close(self) -> None:
        """Close the display."""
