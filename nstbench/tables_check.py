"""Tables on the terminal for checks, baselines and histories."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from nstbench.baseline import Baseline
from nstbench.check import CheckResult
from nstbench.check_rows import Verdict
from nstbench.history import Trend
from nstbench.reporting import check_text
from nstbench.reporting.numbers import significant
from nstbench.speed import relative_latency
from nstbench.terminal import console

_STYLES = {
    Verdict.FINE: "",
    Verdict.BETTER: "green",
    Verdict.REGRESSION: "bold red",
    Verdict.NOT_COMPARABLE: "yellow",
}


def print_check(result: CheckResult) -> None:
    """Print all rows of a check, those that need attention first, and their reasons."""
    out = console()
    table = Table(title=f"{result.run} against {result.baseline}", title_justify="left")
    for column in check_text.COLUMNS:
        words = column in ("method", "metric", "verdict")
        table.add_column(column, justify="left" if words else "right")
    findings = check_text.by_weight(result)
    for finding in findings:
        cells = (escape(cell) for cell in check_text.cells(finding))
        table.add_row(*cells, style=_STYLES[finding.verdict])
    out.print(table)
    for finding in findings:
        if finding.reason:
            out.print(f"  {escape(check_text.sentence(finding))}", style=_STYLES[finding.verdict])
    for note in result.notes:
        out.print(f"  also different: {escape(note)}")
    out.print(check_text.headline(result))


def print_baseline(baseline: Baseline) -> None:
    """Print what a baseline holds."""
    out = console()
    facts = baseline.environment
    out.print(
        escape(
            f"{baseline.name}, saved {baseline.saved} by nstbench {baseline.version} on "
            f"{facts.get('device_name') or 'an unknown device'}, "
            f"{facts.get('threads', 'unknown')} threads"
        )
    )
    table = Table()
    names = [name for name, facts in baseline.metrics.items() if facts.scope == "pair"]
    for column in ("method", "size", "units", *names, "latency [kernels]", "samples"):
        table.add_column(escape(column), justify="left" if column == "method" else "right")
    for entry in baseline.entries:
        means = []
        for name in names:
            known = [value for value in entry.scores.get(name, ()) if value is not None]
            means.append(significant(sum(known) / len(known)) if known else "–")
        speed = sorted(relative_latency(entry.timing)) if entry.timing else []
        done = sum(unit[3] == "done" for unit in entry.units)
        table.add_row(
            escape(entry.method), str(entry.size), f"{done}/{len(entry.units)}", *means,
            significant(float(speed[len(speed) // 2])) if speed else "–", str(len(speed)),
        )  # fmt: skip
    out.print(table)
    for update in baseline.updates:
        out.print(escape(f"{update.date}: {update.reason}"))
        for line in update.moved:
            out.print(escape(f"  {line}"))


def print_trends(trends: list[Trend]) -> None:
    """Print the change points of a history."""
    out = console()
    count = 0
    for trend in trends:
        for change in trend.changes:
            count += 1
            word = "worse" if change.worse else "better"
            out.print(
                escape(
                    f"{change.label}: {trend.method} at {trend.size} px, {trend.metric} "
                    f"{significant(change.before)} → {significant(change.after)} ({word}, "
                    f"since {change.since})"
                )
            )
    out.print(f"{count} change points in {len(trends)} trends")
