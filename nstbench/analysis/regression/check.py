"""Compares a run with a baseline; each row is fine, better, a regression or not comparable.

A row is one metric of one method at one size. It is a regression only if it got worse by
more than its tolerance and the change is significant: by Wilcoxon's signed-rank test over pairs
for quality, by Mann and Whitney's test over raw samples for speed, both with Holm's correction
for the number of rows. The pair is the unit of replication here, not the style as on the board,
because a check asks whether the code has the same results on *these* pictures, and pairs of one
style do not share rounding errors.

A row that cannot be compared has a verdict of its own. ``docs/regression.md`` has the reasons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nstbench.analysis import stats
from nstbench.analysis.regression.baseline import Baseline
from nstbench.analysis.regression.check_rows import (
    Draft,
    Finding,
    Verdict,
    compare_entry,
    not_comparable,
)
from nstbench.analysis.regression.tolerances import Speed, Tolerance
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.text import printable

ALPHA = 1 - stats.LEVEL


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All rows of a check.

    Attributes:
        baseline: name of the baseline.
        run: name of the run.
        findings: the rows.
        notes: differences between the two that do not prevent the comparison.
    """

    baseline: str
    run: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """Return the rows with a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def exit_code(self) -> int:
        """Return 1 if a row is a regression, else 2 if one is not comparable, else 0.

        Excused rows do not count.
        """
        if self.of(Verdict.REGRESSION):
            return 1
        return 2 if any(not f.excused for f in self.of(Verdict.NOT_COMPARABLE)) else 0


def check(
    run: Baseline,
    baseline: Baseline,
    tolerances: Sequence[Tolerance],
    *,
    methods: Sequence[str] | None = None,
    speed: Speed = Speed.REQUIRED,
) -> CheckResult:
    """Compare a run with a baseline.

    Args:
        run: the run to check.
        baseline: the baseline to compare it with.
        tolerances: one per metric to check.
        methods: labels of the variants to compare; None for all of both sides.
        speed: when metrics of speed are compared.

    Raises:
        UsageError: if neither side has one of the methods.
    """
    if speed is Speed.OFF:
        roles = {name: facts.role for name, facts in baseline.metrics.items()}
        tolerances = [t for t in tolerances if roles[t.metric] != "speed"]
    entries = [{(e.method, e.size): e for e in side.entries} for side in (baseline, run)]
    keys = dict.fromkeys([*entries[0], *entries[1]])
    for name in methods or ():
        labels = dict.fromkeys(method for method, _ in keys)
        if name not in labels:
            raise UsageError(
                f"--methods: neither the run nor the baseline has '{printable(name)}'."
                f"{did_you_mean(name, labels)} They have: {', '.join(map(printable, labels))}."
            )
    drafts: list[Draft] = []
    for key in keys:
        if methods is None or key[0] in methods:
            before, after = entries[0].get(key), entries[1].get(key)
            drafts += compare_entry(key, before, after, baseline, run, tolerances)
    if speed is Speed.IF_KNOWN:
        drafts = [
            replace(d, finding=replace(d.finding, excused=True)) if d.unknown_kind else d
            for d in drafts
        ]
    if not drafts:
        drafts = [not_comparable(("all methods", 0), "", "there is no row to compare")]
    return CheckResult(
        baseline=baseline.name,
        run=run.name,
        findings=tuple(_decide(drafts)),
        notes=tuple(_notes(run, baseline)),
    )


def _decide(drafts: Sequence[Draft]) -> list[Finding]:
    """Return the rows with the verdicts that depend on the correction for their number."""
    worse = stats.holm(np.array([draft.finding.p for draft in drafts]))
    better = stats.holm(np.array([draft.finding.p_better for draft in drafts]))
    rows = int(np.isfinite(worse).sum())
    return [
        _verdict(draft, float(p), float(q), rows)
        for draft, p, q in zip(drafts, worse, better, strict=True)
    ]


def _verdict(draft: Draft, p_holm: float, better_holm: float, rows: int) -> Finding:
    finding = replace(draft.finding, p_holm=p_holm)
    tested = math.isfinite(finding.p)
    if finding.verdict is not Verdict.FINE or not (draft.exceeds or draft.improves):
        return finding
    undecidable = tested and draft.least_p * rows > ALPHA
    if draft.improves:
        sure = not tested or better_holm <= ALPHA
        if sure:
            return replace(finding, verdict=Verdict.BETTER)
        return replace(finding, undecidable=undecidable)
    if not tested:
        reason = "; ".join([finding.reason, "one number without a test"]).strip("; ")
        return replace(finding, verdict=Verdict.REGRESSION, reason=reason)
    if p_holm <= ALPHA:
        return replace(finding, verdict=Verdict.REGRESSION)
    if undecidable:
        return replace(
            finding,
            verdict=Verdict.NOT_COMPARABLE,
            undecidable=True,
            reason=f"it exceeds the tolerance, and {finding.count} values are too few for a "
            f"significant test of {rows} rows",
        )
    return replace(finding, reason="it exceeds the tolerance, but is not significant")


def _notes(run: Baseline, baseline: Baseline) -> list[str]:
    """Return differences that may explain a change and do not prevent the comparison."""
    old, new = dict(baseline.environment), dict(run.environment)
    packages = [dict(side.pop("packages", None) or {}) for side in (old, new)]
    facts = {"nstbench": (baseline.version, run.version)} | {
        name: (old.get(name), new.get(name))
        for name in ("python", "device_name", "simd", "threads")
    }
    facts |= {name: (packages[0].get(name), packages[1].get(name)) for name in packages[0]}
    return [f"{name}: {a} / {b}" for name, (a, b) in facts.items() if a != b]
