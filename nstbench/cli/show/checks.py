"""Print checks, baselines and histories."""

from __future__ import annotations

import math

import numpy as np
from rich.markup import escape
from rich.table import Table

from nstbench.analysis.regression.baseline import Baseline, mean_score
from nstbench.analysis.regression.check import CheckResult
from nstbench.analysis.regression.check_rows import Verdict
from nstbench.analysis.regression.history import Trend
from nstbench.analysis.relative_speed import relative_latency
from nstbench.cli.show.console import console
from nstbench.report.parts import check_text
from nstbench.report.parts.numbers import significant

_STYLES = {
    Verdict.FINE: "",
    Verdict.BETTER: "green",
    Verdict.REGRESSION: "bold red",
    Verdict.NOT_COMPARABLE: "yellow",
}


def print_check(result: CheckResult) -> None:
    """Print all rows of a check and their reasons; regressions come first."""
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
    """Print the rows of a baseline and the reasons of its updates."""
    out = console()
    facts = baseline.environment
    out.print(
        escape(
            f"{baseline.name}, saved {baseline.saved} by nstbench {baseline.version} on "
            f"{facts.get('device_name') or 'an unknown device'}, "
            f"{facts.get('threads', 'unknown')} threads"
        )
    )
    if baseline.kinds:
        kinds = "; ".join(map(str, baseline.kinds))
        out.print(escape(f"samples of {len(baseline.kinds)} kinds of processors: {kinds}"))
    table = Table()
    names = [name for name, facts in baseline.metrics.items() if facts.scope == "pair"]
    for column in ("method", "size", "units", *names, "latency [kernels]", "samples"):
        table.add_column(escape(column), justify="left" if column == "method" else "right")
    for entry in baseline.entries:
        means = [_cell(mean_score(entry, name)) for name in names]
        speed = relative_latency(entry.timing) if entry.timing else np.empty(0)
        done = sum(unit[3] == "done" for unit in entry.units)
        table.add_row(
            escape(entry.method), str(entry.size), f"{done}/{len(entry.units)}", *means,
            _cell(float(np.median(speed)) if len(speed) else math.nan), str(len(speed)),
        )  # fmt: skip
    out.print(table)
    for update in baseline.updates:
        out.print(escape(f"{update.date}: {update.reason}"))
        for line in update.moved:
            out.print(escape(f"  {line}"))


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else significant(value)


def print_trends(trends: list[Trend]) -> None:
    """Print the change points of a history, and the points with too few values for a test."""
    out = console()
    count = undecided = 0
    for trend in trends:
        where = f"{trend.method} at {trend.size} px, {trend.metric}"
        for change in trend.changes:
            count += 1
            word = "worse" if change.worse else "better"
            out.print(
                escape(
                    f"{change.label}: {where} {significant(change.before)} → "
                    f"{significant(change.after)} ({word}, since {change.since})"
                )
            )
        for point in trend.points:
            if point.undecided:
                undecided += 1
                out.print(
                    escape(
                        f"{point.label}: {where} {significant(point.value)} (undecided: beyond the "
                        f"tolerance since {point.undecided}, too few values for a test)"
                    )
                )
    rest = f", {undecided} undecided points" if undecided else ""
    out.print(f"{count} change points in {len(trends)} trends{rest}")
