"""The rows of a check: one metric of one method at one size, before the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from nstbench.analysis import stats
from nstbench.analysis.regression.baseline import Baseline, Entry, MetricFacts
from nstbench.analysis.regression.one_sided_tests import rank_sum_p, signed_rank_p
from nstbench.analysis.regression.processor_kinds import kind_of, of_kind
from nstbench.analysis.regression.tolerances import Tolerance
from nstbench.analysis.relative_speed import relative_latency
from nstbench.core.records import Role, Scope, Status

COVERAGE = "coverage"

Key = tuple[str, int]
"""Label of a variant, and size in pixels."""

SPEED_RESOLUTION = 0.02
"""Change of latency, in calibration kernels, that the state of a process can cause.

A call of less than a millisecond may take twice as long in one process as in another, depending
on the allocator and on other users of the memory. On one core it is about 2 ms.
"""

MEMORY_RESOLUTION = 2.0**24
"""Change of peak memory in bytes that an allocator can cause."""


class Verdict(StrEnum):
    """The decision about a row."""

    FINE = "fine"
    BETTER = "better"
    REGRESSION = "regression"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of a check.

    Attributes:
        method: label of the variant.
        size: side in pixels.
        metric: name, or ``"coverage"``.
        verdict: the decision.
        reason: reason of the verdict; empty for most rows that are fine.
        unit: unit of the two values; ``"kernels"`` for calibrated latencies.
        before: value of the baseline; NaN without a value.
        after: value of the run; NaN without a value.
        change: relative change of the value; NaN where the baseline's is 0.
        worsening: change in the worse direction, in units of the values.
        tolerance: the allowed change, as text.
        p: one-sided p-value of "it got worse"; NaN without a test.
        p_better: the same of "it got better".
        p_holm: ``p`` corrected for the number of rows.
        count: number of pairs or samples of the test.
        undecidable: True if it changed by more than its tolerance, in either direction, and
            there are too few values for a significant test.
        excused: True if it cannot be compared and the caller accepts that.
    """

    method: str
    size: int
    metric: str
    verdict: Verdict
    reason: str = ""
    unit: str = ""
    before: float = math.nan
    after: float = math.nan
    change: float = math.nan
    worsening: float = math.nan
    tolerance: str = ""
    p: float = math.nan
    p_better: float = math.nan
    p_holm: float = math.nan
    count: int = 0
    undecidable: bool = False
    excused: bool = False

    @property
    def label(self) -> str:
        """The name of the row: method, size and metric."""
        where = f" at {self.size} px" if self.size else ""
        return f"{self.method}{where}: {self.metric}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A row before the correction for the number of rows.

    Attributes:
        finding: the row; its verdict is ``FINE`` if a test decides later.
        exceeds: True if it got worse by more than its tolerance.
        improves: True if it got better by more than its tolerance.
        least_p: smallest p-value that the test can give with this number of values.
        unknown_kind: True if the baseline has no samples of this kind of processor.
    """

    finding: Finding
    exceeds: bool = False
    improves: bool = False
    least_p: float = 0.0
    unknown_kind: bool = False


def compare_entry(
    key: Key,
    before: Entry | None,
    after: Entry | None,
    baseline: Baseline,
    run: Baseline,
    tolerances: Sequence[Tolerance],
) -> list[Draft]:
    """Compare all metrics of one method at one size.

    Args:
        key: label of the variant and size in pixels.
        before: entry of the baseline, if it has one.
        after: entry of the run, if it has one.
        baseline: the baseline.
        run: the run to check.
        tolerances: one per metric.
    """
    if before is None or after is None:
        where = "baseline" if before is None else "run"
        return [not_comparable(key, "", f"the {where} has no such row")]
    reason = _obstacle(before, baseline, run)
    if reason:
        return [not_comparable(key, "", reason)]
    drafts = [_coverage(key, before, after)]
    changed = _changed_settings(before, after)
    for tolerance in tolerances:
        reason = _metric_obstacle(tolerance.metric, baseline, run)
        facts = baseline.metrics[tolerance.metric]
        if reason:
            draft = not_comparable(key, tolerance.metric, reason)
        elif facts.role == "speed":
            draft = _speed(key, before, after, tolerance)
        elif facts.scope == Scope.PAIR:
            draft = _quality(key, before, after, baseline, tolerance)
        else:
            draft = _single(key, before, after, facts, tolerance)
        reason = "; ".join(part for part in (draft.finding.reason, changed) if part)
        drafts.append(replace(draft, finding=replace(draft.finding, reason=reason)))
    return drafts


def not_comparable(key: Key, metric: str, reason: str) -> Draft:
    """Return a row that cannot be compared; an empty ``metric`` stands for all metrics."""
    method, size = key
    return Draft(Finding(method, size, metric or "all metrics", Verdict.NOT_COMPARABLE, reason))


def _obstacle(before: Entry, baseline: Baseline, run: Baseline) -> str:
    """Return why no metric of an entry can be compared; empty if they can."""
    if baseline.device_class != run.device_class:
        return f"other device class: {baseline.device_class} / {run.device_class}"
    for role, place in ((Role.CONTENT, 0), (Role.STYLE, 1)):
        old, new = baseline.pictures.get(role, {}), run.pictures.get(role, {})
        for name in dict.fromkeys(str(unit[place]) for unit in before.units):
            if name not in new:
                return f"the run has no {role} picture '{name}'"
            if not old.get(name) or old[name] != new[name]:
                return f"the {role} picture '{name}' has other pixels"
    return ""


def _metric_obstacle(metric: str, baseline: Baseline, run: Baseline) -> str:
    """Return why a metric cannot be compared; empty if it can."""
    if metric not in run.metrics:
        return "the run has no such metric"
    versions = [side.metrics[metric].version for side in (baseline, run)]
    return f"other version of the metric: {versions[0]} / {versions[1]}" * (
        versions[0] != versions[1]
    )


def _changed_settings(before: Entry, after: Entry) -> str:
    """Return changed parameters and weights as text; empty if none changed."""
    changed = [
        f"{name} {before.params.get(name)} / {after.params.get(name)}"
        for name in dict.fromkeys([*before.params, *after.params])
        if before.params.get(name) != after.params.get(name)
    ]
    changed += ["other weights"] if before.weights != after.weights else []
    return f"changed: {', '.join(changed)}" if changed else ""


def _coverage(key: Key, before: Entry, after: Entry) -> Draft:
    """Compare which units are done; a unit that fails now is a regression without a test."""
    old = {unit[:3] for unit in before.units if unit[3] == Status.DONE}
    now = {unit[:3]: unit[3] for unit in after.units}
    lost = {unit: now.get(unit, "absent") for unit in old if now.get(unit) != Status.DONE}
    failures = (Status.FAILED, Status.TIMEOUT, Status.OOM)
    verdict, reason = Verdict.FINE, ""
    if lost:
        unit, status = min(lost.items())
        failed = any(status in failures for status in lost.values())
        verdict = Verdict.REGRESSION if failed else Verdict.NOT_COMPARABLE
        reason = f"{len(lost)} units are not done any more; {unit[0]} × {unit[1]}: {status}"
    done = len(old) - len(lost)
    finding = Finding(
        *key, COVERAGE, verdict, reason, "units", float(len(old)), float(done),
        worsening=float(len(lost)), tolerance="0", count=len(old),
    )  # fmt: skip
    return Draft(finding)


def _quality(
    key: Key, before: Entry, after: Entry, baseline: Baseline, tolerance: Tolerance
) -> Draft:
    """Compare the scores of a metric pair by pair."""
    name = tolerance.metric
    facts = baseline.metrics[name]
    new_scores = dict(zip((u[:3] for u in after.units), after.scores.get(name, ()), strict=False))
    units, rows, missing = [], [], 0
    for unit, old in zip(before.units, before.scores.get(name, ()), strict=False):
        new = new_scores.get(unit[:3])
        if old is not None and new is not None:
            units.append(unit)
            rows.append((old, new))
        elif old is not None:
            missing += 1
    if missing or not rows:
        what = f"{missing} scores are missing" if missing else "the baseline has no score"
        return not_comparable(key, name, what)
    values = np.array(rows).T
    layout = stats.Layout.of(np.array([u[1] for u in units]), np.array([u[0] for u in units]))
    means = stats.mean(stats.style_means(values, layout))
    scale = max(abs(float(means[0])), stats.NEGLIGIBLE * _level(baseline, name))
    sign = -1.0 if facts.higher_is_better else 1.0
    worse = sign * np.array([pair[1] - pair[0] for pair in _pair_means(values, layout)])
    worse = np.where(np.abs(worse) <= stats.NEGLIGIBLE * scale, 0.0, worse)
    return _draft(
        key, tolerance, facts, (float(means[0]), float(means[1])),
        level=scale, p=(signed_rank_p(worse), signed_rank_p(-worse)),
        least_p=signed_rank_p(np.abs(worse)), count=len(worse), relevant=bool(worse.any()),
    )  # fmt: skip


def _level(baseline: Baseline, metric: str) -> float:
    """Return the largest absolute score of a metric, the scale of a change from 0."""
    return max(
        (abs(v) for e in baseline.entries for v in e.scores.get(metric, ()) if v is not None),
        default=0.0,
    )


def _pair_means(values: stats.Floats, layout: stats.Layout) -> stats.Floats:
    """Average the seeds of each pair: (2, U) becomes (P, 2)."""
    counts = np.diff(np.r_[layout.pair_starts, layout.units])
    return np.asarray((np.add.reduceat(values, layout.pair_starts, axis=1) / counts).T)


def _speed(key: Key, old: Entry, new: Entry, tolerance: Tolerance) -> Draft:
    """Compare the samples of calibrated latency on one kind of processor."""
    name = tolerance.metric
    after = new.timing
    if not old.timings or after is None:
        where = "run" if old.timings else "baseline"
        return not_comparable(key, name, f"the {where} has no timing")
    kind = kind_of(after)
    before = of_kind(old.timings, kind)
    if before is None:
        known = "; ".join(str(kind_of(timing)) for timing in old.timings)
        reason = f"the baseline has no samples of this kind of processor ({kind}), only of {known}"
        return replace(not_comparable(key, name, reason), unknown_kind=True)
    threads = [timing.environment.get("threads") for timing in (before, after)]
    if threads[0] != threads[1]:
        return not_comparable(key, name, f"other threads: {threads[0]} / {threads[1]}")
    samples = [relative_latency(timing) for timing in (before, after)]
    unit, resolution = "kernels", SPEED_RESOLUTION
    if not all(map(len, samples)):
        machines = [timing.environment.get("device_name") for timing in (before, after)]
        samples = [np.asarray(timing.latency) for timing in (before, after)]
        if machines[0] != machines[1] or not all(map(len, samples)):
            return not_comparable(key, name, "no calibration, and not the same machine")
        unit, resolution = "s", 0.0
    facts = MetricFacts(name, 1, Scope.TIMING, "speed", unit, higher_is_better=False)
    medians = (float(np.median(samples[0])), float(np.median(samples[1])))
    relevant = abs(medians[1] - medians[0]) > resolution
    # The p-value of these samples, with their ties, if every one of the run were slower.
    both = np.sort(np.r_[samples[0], samples[1]])
    least = rank_sum_p(both[len(samples[0]) :], both[: len(samples[0])])
    draft = _draft(
        key, tolerance, facts, medians, level=medians[0],
        p=(rank_sum_p(samples[1], samples[0]), rank_sum_p(samples[0], samples[1])),
        least_p=least, count=min(len(samples[0]), len(samples[1])), relevant=relevant,
    )  # fmt: skip
    beyond = abs(medians[1] - medians[0]) > tolerance.allowed(medians[0])
    if beyond and not relevant:
        reason = "too fast to decide: the change is below the resolution of the timing"
        return replace(draft, finding=replace(draft.finding, reason=reason))
    return draft


def _single(
    key: Key, before: Entry, after: Entry, facts: MetricFacts, tolerance: Tolerance
) -> Draft:
    """Compare two single numbers; there are no samples to test."""
    name = tolerance.metric
    values = before.singles.get(name), after.singles.get(name)
    if values[0] is None or values[1] is None:
        where = "baseline" if values[0] is None else "run"
        return not_comparable(key, name, f"the {where} has no value")
    resolution = MEMORY_RESOLUTION if facts.role == "memory" else 0.0
    return _draft(
        key, tolerance, facts, (values[0], values[1]), level=abs(values[0]),
        p=(math.nan, math.nan), least_p=0.0, count=1,
        relevant=abs(values[1] - values[0]) > resolution,
    )  # fmt: skip


def _draft(
    key: Key,
    tolerance: Tolerance,
    facts: MetricFacts,
    values: tuple[float, float],
    *,
    level: float,
    p: tuple[float, float],
    least_p: float,
    count: int,
    relevant: bool,
) -> Draft:
    before, after = values
    worsening = (after - before) * (-1.0 if facts.higher_is_better else 1.0)
    allowed = tolerance.allowed(level)
    finding = Finding(
        *key, tolerance.metric, Verdict.FINE, "", facts.unit, before, after,
        change=(after - before) / abs(before) if before else math.nan, worsening=worsening,
        tolerance=str(tolerance), p=p[0], p_better=p[1], count=count,
    )  # fmt: skip
    return Draft(
        finding,
        exceeds=relevant and worsening > allowed,
        improves=relevant and -worsening > allowed,
        least_p=least_p,
    )
