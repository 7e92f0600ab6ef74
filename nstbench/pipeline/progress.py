"""The terminal display of a run: its plan, a bar per stage, and failures."""

from __future__ import annotations

from collections import Counter
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
    TimeRemainingColumn,
)
from rich.table import Table

from nstbench.core.records import Status, Unit, UnitRecord
from nstbench.core.text import printable
from nstbench.plan.listener import Listener

if TYPE_CHECKING:
    from nstbench.plan.config import RunConfig
    from nstbench.plan.plan import Outcome, Plan

# bytes per pixel of a typical PNG of a photograph
_PNG_BYTES_PER_PIXEL = 1.9
_NOTED_SKIPS = 5
_NOTED_REASONS = 2


class TerminalListener(Listener):
    """Shows the events of a run with Rich; prints plain lines without a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[item]}", markup=False),
            console=self.console,
        )
        self._task: TaskID | None = None
        self._item = ""
        self._total = 0
        self._done = 0
        self._working: dict[str, tuple[Unit, float]] = {}

    def planned(self, plan: Plan) -> None:
        """Print the plan."""
        self.console.print(plan_table(plan))
        self.console.print(escape(plan_summary(plan)), soft_wrap=True)
        skipped = plan.skipped
        for skip in skipped[:_NOTED_SKIPS]:
            self.note(f"left out {skip.path}: {skip.reason}")
        if len(skipped) > _NOTED_SKIPS:
            self.note(f"... and {len(skipped) - _NOTED_SKIPS} more files left out (run.json)")
        for line in (*blocked(plan), *failed_before(plan), *suite_settings(plan)):
            self.note(line)

    def stage(self, name: str, total: int, seconds: float | None = None) -> None:
        """Start a new bar."""
        self._finish_line()
        self._total, self._done, self._item = total, 0, ""
        self._working = {}
        if not self.console.is_terminal:
            self.console.print(f"{name}: {total} to do")
            return
        self._progress.start()
        if self._task is not None:
            self._progress.update(self._task, item="")
        self._task = self._progress.add_task(name, total=total, item="")

    def began(self, label: str) -> None:
        """Show the item in work next to the bar."""
        self._item = label
        self._show(label)

    def step(self, unit: Unit, index: int, total: int) -> None:
        """Show the units in work next to the bar, and add their finished parts to it."""
        share = min(1.0, index / total) * 0.99 if total else 0.0
        self._working[unit.key] = unit, share
        if self._task is None:
            return
        if len(self._working) == 1:
            item = f"{unit.label} · step {index}/{total}" if total else unit.label
        else:
            counts = Counter(unit.method for unit, _ in self._working.values())
            item = ", ".join(f"{count} × {variant}" for variant, count in counts.items())
        parts = sum(share for _, share in self._working.values())
        self._progress.update(self._task, completed=self._done + parts, item=item)

    def finished(self, unit: Unit, record: UnitRecord) -> None:
        """Print a failure."""
        self._working.pop(unit.key, None)
        self._item = unit.label
        if record.status is not Status.DONE:
            self.console.print(
                f"[red]{escape(str(record.status))}[/red] {_plain(unit.label)}: "
                f"{_plain(record.message)}"
            )

    def advanced(self) -> None:
        """Advance the bar; without a terminal, print a line every tenth of the stage."""
        self._done += 1
        if self._task is not None:
            parts = sum(share for _, share in self._working.values())
            self._progress.update(self._task, completed=self._done + parts)
        elif not self.console.is_terminal and self._done * 10 // max(1, self._total) != (
            (self._done - 1) * 10 // max(1, self._total)
        ):
            self.console.print(f"  {self._done}/{self._total} {escape(self._item)}")

    def note(self, message: str) -> None:
        """Print a note."""
        self.console.print(f"[yellow]note[/yellow] {_plain(message)}")

    def close(self) -> None:
        """Stop the display."""
        self._finish_line()
        self._progress.stop()

    def _show(self, item: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, item=item)

    def _finish_line(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, item="")


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
        f"{roles['content']} contents, {roles['style']} styles, {plan.config.size} px, "
        f"{_place(plan.config)}. {len(plan.units)} units, {pending} to run: about "
        f"{readable_seconds(plan.expected_seconds)} and {disk:.0f} MiB in {plan.config.folder}"
    )


def blocked(plan: Plan) -> list[str]:
    """Return the reasons why units cannot run, at most two lines per method."""
    messages: dict[str, list[str]] = {}
    for unit in plan.units:
        if unit.key in plan.blocked:
            found = messages.setdefault(unit.method, [])
            if (message := plan.blocked[unit.key].message) not in found:
                found.append(message)
    lines = []
    for variant, found in sorted(messages.items()):
        lines += [f"{variant}: {message}" for message in found[:_NOTED_REASONS]]
        if more := found[_NOTED_REASONS:]:
            lines.append(f"{variant}: ... and {len(more)} more reasons (in the report)")
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
        units = "1 unit" if len(found) == 1 else f"{len(found)} units"
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


def readable_seconds(seconds: float) -> str:
    """Return a duration as text: ``"45 s"``, ``"3 min"``, ``"2 h 10 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
