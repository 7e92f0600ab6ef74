"""The texts and numbers of a check, used by all its outputs."""

from __future__ import annotations

import math
from collections import Counter

from nstbench.analysis.regression.check import CheckResult
from nstbench.analysis.regression.check_rows import Finding, Verdict
from nstbench.report.parts import numbers

COLUMNS = ("method", "size", "metric", "baseline", "run", "change", "allowed", "p (Holm)",
           "verdict")  # fmt: skip


_WORDS = {
    Verdict.FINE: "no significant change",
    Verdict.BETTER: "better than in the baseline",
    Verdict.REGRESSION: "worse than in the baseline",
    Verdict.NOT_COMPARABLE: "cannot be compared with the baseline",
}


def cells(finding: Finding) -> tuple[str, ...]:
    """Return the cells of a finding in the order of ``COLUMNS``."""
    return (
        finding.method,
        str(finding.size) if finding.size else numbers.DASH,
        finding.metric,
        value(finding, finding.before),
        value(finding, finding.after),
        change(finding),
        finding.tolerance or numbers.DASH,
        numbers.DASH if math.isnan(finding.p_holm) else f"{finding.p_holm:.2g}",
        finding.verdict.value,
    )


def value(finding: Finding, number: float) -> str:
    """Return a value of a finding with its unit."""
    if math.isnan(number):
        return numbers.DASH
    if finding.unit == "units":
        return f"{number:.0f}"
    if finding.unit == "kernels":
        return f"{numbers.significant(number)} kernels"
    return numbers.quantity(number, finding.unit)


def change(finding: Finding) -> str:
    """Return the relative change in per cent with its sign."""
    if math.isnan(finding.change):
        return numbers.DASH
    return f"{100 * finding.change:+.1f} %".replace("-", "−")


def sentence(finding: Finding) -> str:
    """Return a finding as one line."""
    text = f"{finding.label}: {_WORDS[finding.verdict]}"
    if not math.isnan(finding.before):
        text += f", {value(finding, finding.before)} → {value(finding, finding.after)}"
        text += "" if math.isnan(finding.change) else f" ({change(finding)})"
    if not math.isnan(finding.p_holm):
        text += f", allowed {finding.tolerance}, p {finding.p_holm:.2g}"
    return f"{text}; {finding.reason}" if finding.reason else text


def title(result: CheckResult) -> str:
    """Return the names of the two sides of a check."""
    return f"Run {result.run}, compared with the baseline {result.baseline}"


def headline(result: CheckResult) -> str:
    """Return the outcome of a check as one line."""
    counts = Counter(finding.verdict for finding in result.findings)
    parts = [f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]]
    word = {0: "No regression", 1: "Regression", 2: "Not comparable"}[result.exit_code]
    excused = any(finding.excused for finding in result.findings)
    rest = "; no speed was compared on this kind of processor" if excused else ""
    return f"{word}: {', '.join(parts)}{rest}"


def by_weight(result: CheckResult) -> list[Finding]:
    """Return the findings, regressions first."""
    order = [Verdict.REGRESSION, Verdict.NOT_COMPARABLE, Verdict.BETTER, Verdict.FINE]
    return sorted(result.findings, key=lambda finding: order.index(finding.verdict))


def moves(result: CheckResult) -> tuple[str, ...]:
    """Return one line per finding beyond its tolerance or not comparable, without excused ones."""
    moved = (f for f in result.findings if f.verdict is not Verdict.FINE and not f.excused)
    return tuple(sentence(finding) for finding in moved)
