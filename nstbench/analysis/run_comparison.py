"""Compares two runs: their settings first, then quality and speed.

Quality is compared only on units that both runs did on the same pixels, so the other run may
come from another machine or version, or have more pictures. Seconds are compared twice: as
they are, and relative to the calibration kernel of each timing, which removes most of the
influence of the machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis import stats
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.relative_speed import relative_latency
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Scope, Timing

SAME, PARTLY, DIFFERS = "same", "in part", "differs"

LISTED = 8
"""Most names in a list; further ones are counted."""

UNIT = ["method", "size", "style", "content", "seed"]
DIFFERENCES = ["method", "size", "metric", "pairs", "styles", "first", "other", "difference",
               "low", "high", "p_holm"]  # fmt: skip
SPEED = "latency"
"""Name of speed rows; they hold medians of this field of timing records."""
SPEEDS = ["method", "size", "first", "other", "ratio", "calibrated_ratio"]


@dataclass(frozen=True)
class Check:
    """Whether two runs agree in one respect, and the consequence if they do not.

    Attributes:
        subject: the respect, for example the suite or the device.
        verdict: ``SAME``, ``PARTLY`` or ``DIFFERS``.
        details: what is equal or different, as text.
        consequence: effect on the comparison, as a sentence; empty if the runs agree.
    """

    subject: str
    verdict: str
    details: str
    consequence: str = ""


# --- comparability ----------------------------------------------------------


def checks(first: Board, other: Board) -> list[Check]:
    """Return in which respects two runs agree, the most important first."""
    return [
        _suite(first, other),
        _pictures(first, other),
        _settings(first, other),
        _metrics(first, other),
        _methods(first, other),
        _parameters(first, other),
        _code(first, other),
        _device(first, other),
        _packages(first, other),
    ]


def shared_pictures(first: Board, other: Board) -> set[tuple[str, str]]:
    """Return ``(role, name)`` of the pictures that have the same pixels in both runs."""
    hashes = [{(p.role, p.name): p.sha256 for p in board.pictures} for board in (first, other)]
    return {key for key, sha256 in hashes[0].items() if sha256 and hashes[1].get(key) == sha256}


def same_metrics(first: Board, other: Board) -> list[MetricCard]:
    """Return the pair metrics that both runs have in the same version, in table order."""
    return [
        card
        for name, card in first.metrics.items()
        if card.scope == Scope.PAIR
        and name in other.metrics
        and other.metrics[name].version == card.version
    ]


def _suite(first: Board, other: Board) -> Check:
    suites = [f"{b.info.get('suite') or 'none'} {b.info.get('suite_version') or ''}".strip()
              for b in (first, other)]  # fmt: skip
    if suites[0] == suites[1]:
        return Check("Suite and its version", SAME, suites[0])
    return Check("Suite and its version", DIFFERS, " / ".join(suites),
                 "Ranks are valid within each run; differences are over shared pairs.")  # fmt: skip


def _pictures(first: Board, other: Board) -> Check:
    shared = shared_pictures(first, other)
    pairs = [set(_pairs(board)) for board in (first, other)]
    common = {
        (c, s)
        for c, s in pairs[0] & pairs[1]
        if ("content", c) in shared and ("style", s) in shared
    }
    details = f"{len(common)} pairs have the same pixels, of {len(pairs[0])} / {len(pairs[1])}"
    if pairs[0] == pairs[1] == common:
        return Check("Pictures", SAME, details)
    if common:
        return Check("Pictures", PARTLY, details, "Only these pairs are compared.")
    return Check("Pictures", DIFFERS, details, "Quality cannot be compared.")


def _pairs(board: Board) -> list[tuple[str, str]]:
    return list(board.units[["content", "style"]].itertuples(index=False, name=None))


def _settings(first: Board, other: Board) -> Check:
    kinds = [_facts(board) for board in (first, other)]
    details = _changes(kinds[0], kinds[1])
    if not details:
        return Check("Sizes, fit and seeds", SAME, _listed(kinds[0]))
    return Check("Sizes, fit and seeds", DIFFERS, details,
                 "Only units of the same size and seed are compared.")  # fmt: skip


def _facts(board: Board) -> dict[str, Any]:
    config = board.info.get("config") or {}
    return {
        "size": ", ".join(str(v) for v in sorted(set(board.units["size"]))),
        "fit": config.get("fit", "unknown"),
        "seeds": ", ".join(str(v) for v in sorted(set(board.units["seed"]))),
    }


def _metrics(first: Board, other: Board) -> Check:
    versions = [{n: c.version for n, c in board.metrics.items()} for board in (first, other)]
    changed = [
        f"{name} version {versions[0][name]} / {versions[1][name]}"
        for name in versions[0].keys() & versions[1].keys()
        if versions[0][name] != versions[1][name]
    ]
    single = versions[0].keys() ^ versions[1].keys()
    parts = sorted(changed) + [f"in one run only: {_names(single)}"] * bool(single)
    if not parts:
        return Check("Metrics and their versions", SAME, f"{len(versions[0])} metrics")
    return Check("Metrics and their versions", PARTLY, "; ".join(parts),
                 "These metrics are not compared.")  # fmt: skip


def _methods(first: Board, other: Board) -> Check:
    names = [set(board.methods) for board in (first, other)]
    single = [sorted(names[0] - names[1]), sorted(names[1] - names[0])]
    if not any(single):
        return Check("Methods", SAME, f"{len(names[0])} methods")
    details = "; ".join(
        f"only in {letter}: {_names(missing)}"
        for letter, missing in zip(("the first", "the other"), single, strict=True)
        if missing
    )
    verdict = PARTLY if names[0] & names[1] else DIFFERS
    return Check(
        "Methods",
        verdict,
        details,
        "There are no differences for methods that are in one run only.",
    )


def _names(names: Collection[str]) -> str:
    """Return sorted names as text; of a long list, the first names and the number of the rest."""
    listed = ", ".join(sorted(names)[:LISTED])
    return f"{listed} and {len(names) - LISTED} more" if len(names) > LISTED else listed


def _parameters(first: Board, other: Board) -> Check:
    if not set(first.methods) & set(other.methods):
        return Check("Parameters and weights", DIFFERS, "no method is in both runs")
    changed = []
    for name in first.methods:
        if name not in other.methods:
            continue
        one, two = first.methods[name], other.methods[name]
        changes = [_changes(one.params, two.params)] if one.params != two.params else []
        files = [{weight.name: weight.sha256 for weight in card.weights} for card in (one, two)]
        changes += ["other weights"] if files[0] != files[1] else []
        changed += [f"{name}: {'; '.join(changes)}"] if changes else []
    if not changed:
        return Check("Parameters and weights", SAME, "of all methods in both runs")
    return Check("Parameters and weights", PARTLY, " · ".join(changed),
                 "Differences of these methods may have this cause.")  # fmt: skip


def _code(first: Board, other: Board) -> Check:
    code = [
        {"nstbench": b.info.get("version", ""), "commit": _environment(b).get("git", "")}
        for b in (first, other)
    ]
    details = _changes(code[0], code[1])
    if not details:
        return Check("Version of nstbench", SAME, _listed(code[0]))
    return Check("Version of nstbench", DIFFERS, details,
                 "A difference in quality may come from the code.")  # fmt: skip


def _device(first: Board, other: Board) -> Check:
    machines = [_machine(board) for board in (first, other)]
    details = _changes(machines[0], machines[1])
    if not details:
        return Check("Device and threads", SAME, _listed(machines[0]))
    return Check("Device and threads", DIFFERS, details,
                 "Seconds depend on the machines as well as on the methods; only the ratio "
                 "of calibrated times compares the methods.")  # fmt: skip


def same_machine(first: Board, other: Board) -> bool:
    """Return True if both runs have the same device, driver, cores and number of threads."""
    return _machine(first) == _machine(other)


def _machine(board: Board) -> dict[str, Any]:
    environment = _environment(board)
    return {
        "device": environment.get("device_name") or environment.get("cpu") or "unknown",
        "driver": environment.get("driver", ""),
        "cores": environment.get("cores", ""),
        "threads": environment.get("threads", ""),
    }


def _packages(first: Board, other: Board) -> Check:
    packages = [dict(_environment(b).get("packages") or {}) for b in (first, other)]
    python = [{"python": _environment(b).get("python", "")} for b in (first, other)]
    details = _changes(packages[0] | python[0], packages[1] | python[1])
    if not details:
        return Check("Python and packages", SAME, f"{len(packages[0])} packages")
    return Check("Python and packages", DIFFERS, details,
                 "Other builds round differently; iterative methods amplify that.")  # fmt: skip


def _environment(board: Board) -> Mapping[str, Any]:
    return board.info.get("environment") or {}


def _changes(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    keys = dict.fromkeys([*first, *other])
    return "; ".join(
        f"{key} {first.get(key, 'none')} / {other.get(key, 'none')}"
        for key in keys
        if first.get(key) != other.get(key)
    )


def _listed(facts: Mapping[str, Any]) -> str:
    return "; ".join(f"{key} {value}" for key, value in facts.items() if value != "")


# --- differences -------------------------------------------------------------------------


def paired_scores(first: Board, other: Board, card: MetricCard) -> pd.DataFrame:
    """Return the scores of the units that both runs did on the same pixels.

    Returns:
        One row per unit: ``method, size, style, content, seed, first, other``, sorted.
    """
    shared = shared_pictures(first, other)
    tables = []
    for board in (first, other):
        scores = done_scores(board.scores, board.units)
        rows = scores[(scores["metric"] == card.name) & (scores["part"] == "")]
        rows = rows[np.isfinite(rows["value"].astype(float))]
        same = [
            ("content", c) in shared and ("style", s) in shared
            for c, s in zip(rows["content"], rows["style"], strict=True)
        ]
        tables.append(rows.loc[same, [*UNIT, "value"]])
    merged = tables[0].merge(tables[1], on=UNIT, suffixes=("_first", "_other"))
    merged = merged.rename(columns={"value_first": "first", "value_other": "other"})
    return merged.sort_values(UNIT, ignore_index=True)


def differences(
    first: Board, other: Board, *, seed: int = 0, resamples: int = 2000
) -> pd.DataFrame:
    """Compare the scores of each method in two runs, paired by unit.

    Args:
        first: the run to compare with.
        other: the run to compare.
        seed: seed of the bootstrap over styles.
        resamples: number of bootstrap resamples.

    Returns:
        One row per method, size and metric that both runs measured in the same version:
        ``method, size, metric, pairs, styles, first, other`` (means over the shared units,
        every style counting alike), ``difference`` (other minus first), ``low, high``
        (95 % interval over styles) and ``p_holm`` (paired t-test over styles, adjusted
        over the methods and sizes of a metric).
    """
    frames = []
    for card in same_metrics(first, other):
        rows = [
            _difference(group, card, seed, resamples)
            for _, group in paired_scores(first, other, card).groupby(["method", "size"])
        ]
        if rows:
            frame = pd.DataFrame(rows)
            frame["p_holm"] = stats.holm(frame.pop("p").to_numpy(dtype=np.float64))
            frames.append(frame)
    if not frames:
        return pd.DataFrame(columns=DIFFERENCES)
    return pd.concat(frames, ignore_index=True)[DIFFERENCES]


def _difference(group: pd.DataFrame, card: MetricCard, seed: int, resamples: int) -> dict[str, Any]:
    layout = stats.Layout.of(group["style"].to_numpy(), group["content"].to_numpy())
    values = group[["first", "other"]].to_numpy(dtype=np.float64).T
    means = stats.style_means(values, layout)
    change = means[1:] - means[:1]
    low, high = stats.interval(change, seed=seed, resamples=resamples)
    level = stats.mean(means)
    return {
        "method": group["method"].iloc[0],
        "size": int(group["size"].iloc[0]),
        "metric": card.name,
        "pairs": len(layout.pair_starts),
        "styles": len(layout.style_starts),
        "first": float(level[0]),
        "other": float(level[1]),
        "difference": float(level[1] - level[0]),
        "low": float(low[0]),
        "high": float(high[0]),
        "p": float(stats.paired_t(change, np.abs(level).max(keepdims=True))[0]),
    }


def speeds(first: Board, other: Board) -> pd.DataFrame:
    """Compare the median latencies of the methods that both runs timed at the same size.

    Returns:
        One row per method and size: ``method, size, first, other`` (seconds), ``ratio``
        (other / first) and ``calibrated_ratio``, the same ratio of latencies in units of the
        calibration kernel (:mod:`nstbench.analysis.relative_speed`); NaN without calibration.
    """
    timed = {(t.method, t.size): t for t in other.timings if t.latency}
    rows = []
    for timing in first.timings:
        match = timed.get((timing.method, timing.size))
        if match is None or not timing.latency:
            continue
        one, two = statistics.median(timing.latency), statistics.median(match.latency)
        rows.append(
            {
                "method": timing.method,
                "size": timing.size,
                "first": one,
                "other": two,
                "ratio": two / one if one else math.nan,
                "calibrated_ratio": _calibrated(timing, match),
            }
        )
    return pd.DataFrame(rows, columns=SPEEDS)


def _calibrated(first: Timing, other: Timing) -> float:
    relative = [relative_latency(timing) for timing in (first, other)]
    if not all(map(len, relative)):
        return math.nan
    return float(np.median(relative[1]) / np.median(relative[0]))
