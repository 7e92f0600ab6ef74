"""Histories of baselines: in which version the numbers of a method changed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from nstbench.analysis.regression.baseline import Baseline, load_baseline, mean_score, save_baseline
from nstbench.analysis.regression.check import check
from nstbench.analysis.regression.check_rows import COVERAGE, Finding, Verdict
from nstbench.analysis.regression.tolerances import Tolerance
from nstbench.analysis.relative_speed import relative_latency
from nstbench.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Version:
    """A baseline of a history, with the label of its version."""

    label: str
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class Point:
    """The value of a trend in one version.

    Attributes:
        label: label of the version.
        value: the value; NaN if the version has none.
        undecided: label of an earlier version from which the value differs by more than the
            tolerance, while there are too few values for a significant test; else empty.
    """

    label: str
    value: float
    undecided: str = ""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A version in which a metric changed significantly and by more than its tolerance.

    Attributes:
        label: label of the version.
        since: label of the version it is compared with: that of the previous change point, or
            the first comparable version.
        before: value in ``since``.
        after: value in this version.
        worse: whether the metric got worse.
    """

    label: str
    since: str
    before: float
    after: float
    worse: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """One metric of one method at one size over all versions.

    Attributes:
        method: label of the variant.
        size: side of the pictures in pixels.
        metric: name of the metric.
        title: title of the metric.
        unit: unit of the values; ``"kernels"`` for calibrated latencies.
        points: one per version, oldest first.
        changes: the change points, oldest first.
    """

    method: str
    size: int
    metric: str
    title: str
    unit: str
    points: tuple[Point, ...]
    changes: tuple[ChangePoint, ...]


def add(folder: Path, baseline: Baseline, label: str = "") -> Path:
    """Add a baseline to a history and return its file, ``<time>_<label>.json``.

    Args:
        folder: folder of the history; it is created if it does not exist.
        baseline: the baseline to add; files are ordered by the time when it was saved.
        label: label of its version; the version of nstbench if empty.

    Raises:
        UsageError: if the history already has this version.
    """
    label = label or baseline.version
    moment = datetime.fromisoformat(baseline.saved).strftime("%Y%m%dT%H%M%S")
    name = re.sub(r"[^\w.+-]", "-", label) or "unnamed"
    taken = [path for path in _files(folder) if _label_of(path) == name]
    if taken:
        raise UsageError(
            f"{folder} already has a version '{label}' ({taken[0].name}). Give another --label, or "
            "delete that file."
        )
    path = folder / f"{moment}_{name}.json"
    save_baseline(baseline, path)
    return path


def load_history(folder: Path) -> list[Version]:
    """Read a history, oldest first.

    Raises:
        UsageError: if the folder contains no baseline.
    """
    files = _files(folder)
    if not files:
        raise UsageError(
            f"{folder} contains no history. `nstbench history add {folder} RUN --label VERSION` "
            "creates one."
        )
    return [Version(_label_of(path), load_baseline(path)) for path in files]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*_*.json") if path.is_file())


def _label_of(path: Path) -> str:
    return path.stem.partition("_")[2]


def trends(versions: Sequence[Version], tolerances: Sequence[Tolerance]) -> list[Trend]:
    """Return the trend of every metric of every method, with its change points.

    Every version is checked against the version of the last change point, so that a slow
    drift is found as soon as its sum exceeds the tolerance. If there are too few values to
    decide, the reference stays the same and the point is marked as undecided.

    Args:
        versions: oldest first.
        tolerances: one per metric to follow.
    """
    keys = dict.fromkeys(
        (entry.method, entry.size) for version in versions for entry in version.baseline.entries
    )
    return [
        _trend(versions, method, size, tolerance)
        for method, size in keys
        for tolerance in tolerances
    ]


def _trend(versions: Sequence[Version], method: str, size: int, tolerance: Tolerance) -> Trend:
    name = tolerance.metric
    facts = next(v.baseline.metrics[name] for v in reversed(versions) if name in v.baseline.metrics)
    points, changes = [], []
    reference: Version | None = None
    for version in versions:
        point = Point(version.label, _value(version.baseline, method, size, name))
        if math.isnan(point.value):
            points.append(point)
            continue
        finding = _finding(version, reference, method, size, tolerance) if reference else None
        if reference is None or finding is None:
            reference = version
        elif finding.undecidable:
            point = replace(point, undecided=reference.label)
        elif finding.verdict is Verdict.NOT_COMPARABLE:
            # Another version of the metric or other pictures: not a change of the method.
            reference = version
        elif finding.verdict in (Verdict.REGRESSION, Verdict.BETTER):
            worse = finding.verdict is Verdict.REGRESSION
            changes.append(
                ChangePoint(version.label, reference.label, finding.before, finding.after, worse)
            )
            reference = version
        points.append(point)
    unit = "kernels" if facts.role == "speed" else facts.unit
    return Trend(method, size, name, facts.title, unit, tuple(points), tuple(changes))


def _finding(
    version: Version, reference: Version, method: str, size: int, tolerance: Tolerance
) -> Finding | None:
    """Return the row of one metric; None if the reference lacks the metric or the method."""
    if tolerance.metric not in reference.baseline.metrics:
        return None
    result = check(version.baseline, reference.baseline, [tolerance], methods=[method])
    findings = (f for f in result.findings if f.size == size and f.metric != COVERAGE)
    return next(findings, None)


def _value(baseline: Baseline, method: str, size: int, metric: str) -> float:
    """Return the mean of a pair metric, the median calibrated latency, or the single value."""
    if metric not in baseline.metrics:
        return math.nan
    for entry in baseline.entries:
        if (entry.method, entry.size) == (method, size):
            if baseline.metrics[metric].role == "speed":
                speed = relative_latency(entry.timing) if entry.timing else np.empty(0)
                return float(np.median(speed)) if len(speed) else math.nan
            if metric in entry.singles:
                return entry.singles[metric]
            return mean_score(entry, metric)
    return math.nan
