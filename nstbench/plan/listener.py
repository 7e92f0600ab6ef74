"""Events of a run, for a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nstbench.core.records import Unit, UnitRecord

if TYPE_CHECKING:
    from nstbench.plan.plan import Plan


class Listener:
    """Receives the events of a run; this base class ignores them."""

    def planned(self, plan: Plan) -> None:
        """Report the plan, before the run starts."""

    def found(self, plan: Plan, lines: Sequence[str]) -> None:
        """Report the plan of imported pictures, with the number of pictures of each method."""

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Report a new stage with ``total`` items and an estimate in ``seconds``."""

    def began(self, label: str) -> None:
        """Report the item in work."""

    def report_grows(self, page: Path) -> None:
        """Report the path of the page that is written again while the run goes on."""

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


class NoteKeeper(Listener):
    """Passes all events on, each note once, and keeps the notes for the report.

    Args:
        listener: receives the events.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.notes: list[str] = []

    def planned(self, plan: Plan) -> None:
        """Pass the plan on."""
        self.listener.planned(plan)

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Pass the stage on."""
        self.listener.stage(name, total, seconds)

    def began(self, label: str) -> None:
        """Pass the item on."""
        self.listener.began(label)

    def report_grows(self, page: Path) -> None:
        """Pass the path on."""
        self.listener.report_grows(page)

    def step(self, unit: Unit, index: int, total: int) -> None:
        """Pass the step on."""
        self.listener.step(unit, index, total)

    def finished(self, unit: Unit, record: UnitRecord) -> None:
        """Pass the record on."""
        self.listener.finished(unit, record)

    def advanced(self) -> None:
        """Pass the event on."""
        self.listener.advanced()

    def note(self, message: str) -> None:
        """Keep a note, and pass it on if it is new."""
        if message not in self.notes:
            self.notes.append(message)
            self.listener.note(message)

    def close(self) -> None:
        """Close the display."""
        self.listener.close()
