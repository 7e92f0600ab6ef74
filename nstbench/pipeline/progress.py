"""The terminal display of a run: its plan, a bar per stage, and failures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from nstbench.core.records import Status, Unit, UnitRecord
from nstbench.core.text import counted, printable, readable_seconds
from nstbench.pipeline.time_spent import TimeLeft
from nstbench.plan.listener import Listener

if TYPE_CHECKING:
    from nstbench.plan.config import RunConfig
    from nstbench.plan.plan import Outcome, Plan

# bytes per pixel of a typical PNG of a photograph
_PNG_BYTES_PER_PIXEL = 1.9
_NOTED_SKIPS = 5
_NOTED_REASONS = 2
_FEW_METHODS = 4
_MOST_NOTES = 7
_NOTE_LENGTH = 300
_FIRST_PAUSE, _LONGEST_PAUSE = 20.0, 600.0


class TerminalListener(Listener):
    """Shows the events of a run with Rich; prints plain lines without a terminal.

    Before the board there are about 25 lines at most: the plan as a sentence, the first notes and
    failures, and a line per stage. The report has all notes. In a long stage without a terminal
    there is a line after 20 s, and the pause to the next line doubles up to 10 minutes.

    Args:
        console: console to print on; standard error by default.
        full: print the plan as a table, and all notes in full.
    """

    def __init__(self, console: Console | None = None, *, full: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.full = full
        self._noted = self._left_out = 0
        self._failed: set[tuple[str, str]] = set()
        self._time_left: TimeLeft | None = None
        self._began = self._due = 0.0
        self._pause = _FIRST_PAUSE
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[item]}", markup=False),
            console=self.console,
        )
        self._task: TaskID | None = None
        self._item = ""
        self._total = 0
        self._done = 0
        self._working: dict[str, tuple[Unit, float]] = {}
        self._units_left: TimeLeft | None = None

    def planned(self, plan: Plan) -> None:
        """Print the plan."""
        if self.full or len(plan.methods) <= _FEW_METHODS:
            self.console.print(plan_table(plan))
        self.console.print(escape(plan_summary(plan)), soft_wrap=True)
        pending = [unit.method for unit in plan.pending]
        self._units_left = TimeLeft(plan.costs, pending, plan.config.workers or 1)
        self._planned_notes(plan)

    def found(self, plan: Plan, lines: Sequence[str]) -> None:
        """Print the number of pictures of each method whose outputs are scored."""
        for line in lines:
            self.console.print(_plain(line), soft_wrap=True)
        self._planned_notes(plan)

    def _planned_notes(self, plan: Plan) -> None:
        skipped = plan.skipped
        for skip in skipped[:_NOTED_SKIPS]:
            self.note(f"left out {skip.path}: {skip.reason}")
        if len(skipped) > _NOTED_SKIPS:
            self.note(f"... and {len(skipped) - _NOTED_SKIPS} more files left out (run.json)")
        for line in (*failed_before(plan), *suite_settings(plan), *blocked(plan)):
            self.note(line)

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Start a new bar."""
        self._finish_line()
        self._total, self._done, self._item = total, 0, ""
        self._working = {}
        self._began = time.monotonic()
        self._pause = _FIRST_PAUSE
        self._due = self._began + self._pause
        self._time_left = self._units_left if name == "generate" else None
        if not self.console.is_terminal:
            left = self._left()
            self.console.print(f"{name}: {total} to do{f', {left}' if left else ''}")
            return
        self._progress.start()
        if self._task is not None:
            self._progress.update(self._task, item="", left="")
        self._task = self._progress.add_task(name, total=total, item="", left=self._left())

    def began(self, label: str) -> None:
        """Show the item in work next to the bar."""
        self._item = label
        self._show(label)
        self._print_if_due(label)

    def report_grows(self, page: Path) -> None:
        """Print where the report is, once."""
        self.console.print(f"open {_plain(page)}, it grows", soft_wrap=True)

    def step(self, unit: Unit, index: int, total: int) -> None:
        """Show the units in work next to the bar, and add their finished parts to it."""
        share = min(1.0, index / total) * 0.99 if total else 0.0
        self._working[unit.key] = unit, share
        if len(self._working) == 1:
            item = f"{unit.label} · step {index}/{total}" if total else unit.label
        else:
            counts = Counter(unit.method for unit, _ in self._working.values())
            item = ", ".join(f"{count} × {variant}" for variant, count in counts.items())
        if self._task is None:
            self._print_if_due(item)
            return
        parts = sum(share for _, share in self._working.values())
        self._progress.update(
            self._task, completed=self._done + parts, item=item, left=self._left()
        )

    def finished(self, unit: Unit, record: UnitRecord) -> None:
        """Print a failure, once for each method and reason."""
        self._working.pop(unit.key, None)
        self._item = unit.label
        if self._time_left is not None:
            self._time_left.add(record)
        cause = unit.method, record.message
        if record.status is not Status.DONE and cause not in self._failed:
            self._failed.add(cause)
            self._say(f"[red]{escape(str(record.status))}[/red]", f"{unit.label}: {record.message}")

    def advanced(self) -> None:
        """Advance the bar; without a terminal, print a line if one is due."""
        self._done += 1
        if self._task is not None:
            parts = sum(share for _, share in self._working.values())
            self._progress.update(self._task, completed=self._done + parts, left=self._left())
        else:
            self._print_if_due(self._item)

    def note(self, message: str) -> None:
        """Print a note; of many notes, only the first ones."""
        self._say("[yellow]note[/yellow]", message)

    def _say(self, head: str, message: str) -> None:
        """Print a note or a failure, or count it if there were enough."""
        text = "\n".join(printable(line) for line in message.splitlines())
        if not self.full:
            if self._noted >= _MOST_NOTES:
                self._left_out += 1
                return
            text = " ".join(text.split())
            if len(text) > _NOTE_LENGTH:
                text = f"{text[:_NOTE_LENGTH]}… (in full in the report)"
        self._noted += 1
        self.console.print(f"{head} {escape(text)}", soft_wrap=not self.full)

    def _left(self) -> str:
        """Return the estimated time that is left of the stage as text; empty if unknown."""
        if self._time_left is not None:
            parts = sum(
                share * self._time_left.cost(unit.method) for unit, share in self._working.values()
            )
            seconds = max(0.0, self._time_left.seconds - parts)
        elif self._done:
            spent = time.monotonic() - self._began
            seconds = spent / self._done * max(0, self._total - self._done)
        else:
            return ""
        return f"about {readable_seconds(seconds)} left"

    def _print_if_due(self, item: str) -> None:
        """Print the progress without a terminal; the pause between two lines doubles."""
        if self.console.is_terminal or time.monotonic() < self._due:
            return
        left = self._left()
        self.console.print(
            f"  {self._done}/{self._total} {_plain(item)}{f', {left}' if left else ''}",
            soft_wrap=True,
        )
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._due = time.monotonic() + self._pause

    def close(self) -> None:
        """Stop the display."""
        self._finish_line()
        self._progress.stop()
        if self._left_out:
            self.console.print(f"... and {counted(self._left_out, 'more note')} (in the report)")
            self._left_out = 0

    def _show(self, item: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, item=item)

    def _finish_line(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, item="", left="")


def _plain(text: object) -> str:
    """Return text without control characters or Rich markup; keep its lines."""
    return escape("\n".join(printable(line) for line in str(text).splitlines()))


def plan_table(plan: Plan) -> Table:
    """Return the plan as a table: number of units per method and state."""
    table = Table(title="Plan", title_justify="left")
    columns = ("method", "units", "cached", "failed before", "blocked", "to run")
    for column in columns if plan.failed else (c for c in columns if c != "failed before"):
        table.add_column(column, justify="left" if column == "method" else "right")
    units = Counter(unit.method for unit in plan.units)
    cached = Counter(unit.method for unit in plan.units if unit.key in plan.cached)
    blocked_units = Counter(unit.method for unit in plan.units if unit.key in plan.blocked)
    failed = Counter(unit.method for unit in plan.units if unit.key in plan.failed)
    for variant, count in units.items():
        to_run = count - cached[variant] - blocked_units[variant]
        lost = (failed[variant],) if plan.failed else ()
        counts = (count, cached[variant] - failed[variant], *lost, blocked_units[variant], to_run)
        table.add_row(escape(variant), *(str(number) for number in counts))
    return table


def plan_summary(plan: Plan) -> str:
    """Return the plan in a sentence: pictures, units, estimated time and disk space."""
    pending = len(plan.pending)
    roles = Counter(picture.role for picture in plan.pictures)
    disk = pending * plan.config.size**2 * _PNG_BYTES_PER_PIXEL / 2**20
    return (
        f"{counted(roles['content'], 'content')}, {counted(roles['style'], 'style')}, "
        f"{plan.config.size} px, {_place(plan.config)}. "
        f"{counted(len(plan.methods), 'method')}, {counted(len(plan.units), 'unit')}, "
        f"{pending} to run: about "
        f"{readable_seconds(plan.expected_seconds)} and {disk:.0f} MiB in {plan.config.folder}"
    )


def blocked(plan: Plan) -> list[str]:
    """Return the reasons why units cannot run, one line per cause and at most two per method."""
    messages: dict[str, list[str]] = {}
    for unit in plan.units:
        if unit.key in plan.blocked:
            found = messages.setdefault(unit.method, [])
            if (message := plan.blocked[unit.key].message) not in found:
                found.append(message)
    together: dict[tuple[str, ...], list[str]] = {}
    for variant, found in sorted(messages.items()):
        together.setdefault(tuple(found), []).append(variant)
    lines = []
    for causes, variants in together.items():
        names = ", ".join(variants)
        lines += [f"{names}: {message}" for message in causes[:_NOTED_REASONS]]
        if more := causes[_NOTED_REASONS:]:
            lines.append(f"{names}: ... and {counted(len(more), 'more reason')} (in the report)")
    return lines


def failed_before(plan: Plan) -> list[str]:
    """Return a line for each method with units that failed before and do not run again."""
    outcomes: dict[str, list[Outcome]] = {}
    for unit in plan.units:
        if unit.key in plan.failed:
            outcomes.setdefault(unit.method, []).append(plan.failed[unit.key])
    lines = []
    for variant, found in outcomes.items():
        statuses = ",".join(sorted({outcome.status for outcome in found}))
        reason, count = Counter(outcome.message for outcome in found).most_common(1)[0]
        units = counted(len(found), "unit")
        most = "" if count == len(found) else f", {count} of them"
        lines.append(
            f"{variant}: {units} failed in an earlier run{most}: {reason.rstrip('.')}. "
            f"Try again with --retry {statuses}"
        )
    return lines


def suite_settings(plan: Plan) -> list[str]:
    """Return a line with the methods that do not run with their defaults on the user's pictures.

    A run of a suite's own pictures is that suite; on other pictures only its settings are used.
    """
    if plan.config.suite:
        return []
    settings = []
    for variant, card in plan.methods.items():
        used = {
            name: value
            for name, value in plan.config.method_params.get(card.plugin, {}).items()
            if card.params.get(name) == value != card.defaults.get(name)
        }
        if used:
            pairs = ", ".join(f"{name}={value}" for name, value in used.items())
            settings.append(f"{variant} ({pairs})")
    if not settings:
        return []
    return [
        "these methods run with settings of the suite, which are made for small pictures: "
        f"{'; '.join(settings)}. For other values, give them (method:parameter=value); for all "
        "defaults, set `method_params: {}` in a configuration file."
    ]


def _place(config: RunConfig) -> str:
    workers = config.workers or 1
    devices = ", ".join(config.devices or (config.device,))
    return f"{workers} workers on {devices}" if workers > 1 else f"device {devices}"
