"""Baselines: the results of a run in a small JSON file to commit.

The file contains the scores of every pair, the raw samples of every timing, and the facts that
decide whether another run can be compared with it: versions of metrics, checksums of pixels,
device and threads. It has one set of timing samples per kind of processor. Every update has a
reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from nstbench.analysis import stats
from nstbench.analysis.load_board import load_board
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.regression.processor_kinds import Kind, kind_of
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.environment import utc_now
from nstbench.core.errors import StoreError, UsageError
from nstbench.core.records import Scope, Timing
from nstbench.store.atomic_files import write_bytes

SCHEMA = 1
_DIGITS = 6
# facts that each timing keeps; the others are in the environment of the baseline
_TIMING_FACTS = ("device_name", "simd", "threads")


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """Facts of a metric that are needed to compare its values."""

    title: str
    version: int
    scope: str
    role: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One method variant at one size.

    Attributes:
        method: label of the variant.
        plugin: registry name of the method.
        size: side of the pictures in pixels.
        params: complete parameters.
        weights: name -> sha256 of every file that was used.
        units: content, style, seed and status of each unit, sorted.
        scores: metric -> one value per unit; None for a unit without a score.
        singles: metric -> value, for metrics with one number per method.
        timing: raw samples.
        elsewhere: raw samples of earlier runs on other kinds of processors.
    """

    method: str
    plugin: str
    size: int
    params: Mapping[str, Any]
    weights: Mapping[str, str]
    units: tuple[tuple[str, str, int, str], ...]
    scores: Mapping[str, tuple[float | None, ...]]
    singles: Mapping[str, float]
    timing: Timing | None = None
    elsewhere: tuple[Timing, ...] = ()

    @property
    def timings(self) -> tuple[Timing, ...]:
        """The samples of every kind of processor, those of the last run first."""
        return (*(() if self.timing is None else (self.timing,)), *self.elsewhere)

    def with_samples_of(self, before: Entry) -> Entry:
        """Return this entry with an earlier one's samples of the kinds that it has none of.

        Samples of other parameters are dropped, as they are of another amount of work.
        Parameters that one of both versions does not know are at their default there.
        """
        shared = self.params.keys() & before.params.keys()
        if any(self.params[name] != before.params[name] for name in shared):
            return self
        mine = [kind_of(timing) for timing in self.timings]
        kept = [t for t in before.timings if not any(kind.agrees(kind_of(t)) for kind in mine)]
        return replace(self, elsewhere=(*self.elsewhere, *kept))


@dataclass(frozen=True, slots=True)
class Update:
    """One update of a baseline.

    Attributes:
        date: ISO 8601, UTC.
        reason: reason of the update.
        moved: one line per row that changed.
    """

    date: str
    reason: str
    moved: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The results of a run.

    Attributes:
        name: name of the run.
        saved: ISO 8601, UTC.
        version: of nstbench.
        environment: machine, device, threads and packages.
        metrics: name -> facts.
        pictures: role -> name -> sha256 of the fitted pixels.
        entries: one per method variant and size.
        updates: oldest first.
        schema: version of this format.
    """

    name: str
    saved: str
    version: str
    environment: Mapping[str, Any]
    metrics: Mapping[str, MetricFacts]
    pictures: Mapping[str, Mapping[str, str]]
    entries: tuple[Entry, ...]
    updates: tuple[Update, ...] = ()
    schema: int = SCHEMA

    @property
    def device_class(self) -> str:
        """The kind of device: ``"cpu"`` or ``"cuda"``."""
        return str(self.environment.get("device", "")).partition(":")[0]

    def with_update(self, reason: str, moved: tuple[str, ...], before: Baseline) -> Baseline:
        """Return this baseline with the updates of the one before it and a new update.

        Scores and samples of this kind of processor are those of this baseline. Samples of
        other kinds are those of the one before it.
        """
        old = {(entry.method, entry.size): entry for entry in before.entries}
        entries = tuple(
            entry.with_samples_of(old[key]) if (key := (entry.method, entry.size)) in old else entry
            for entry in self.entries
        )
        updates = (*before.updates, Update(self.saved, reason, moved))
        return replace(self, entries=entries, updates=updates)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of processors that have samples."""
        found = [kind_of(timing) for entry in self.entries for timing in entry.timings]
        return tuple(dict.fromkeys(found))


def mean_score(entry: Entry, metric: str) -> float:
    """Return the mean of a pair metric with equal weights of styles; NaN without a score."""
    values = np.array([math.nan if v is None else v for v in entry.scores.get(metric, ())])
    if not len(values):
        return math.nan
    layout = stats.Layout.of(
        np.array([unit[1] for unit in entry.units]), np.array([unit[0] for unit in entry.units])
    )
    return float(stats.mean(stats.style_means(values, layout)))


# --- from a run --------------------------------------------------------------------------


def from_board(board: Board) -> Baseline:
    """Return the baseline of a run."""
    scores = done_scores(board.scores, board.units)
    scores = scores[scores["part"] == ""]
    timings = {(timing.method, timing.size): timing for timing in board.timings}
    groups = board.units.groupby(["method", "size"], sort=False)
    pictures: dict[str, dict[str, str]] = {}
    for card in board.pictures:
        pictures.setdefault(card.role, {})[card.name] = card.sha256
    return Baseline(
        name=str(board.info.get("name", "")),
        saved=utc_now(),
        version=str(board.info.get("version", "")),
        environment=dict(board.info.get("environment") or {}),
        metrics={name: _facts(card) for name, card in board.metrics.items()},
        pictures=pictures,
        entries=tuple(
            _entry(board, units, scores, timings.get((str(key[0]), int(str(key[1])))))
            for key, units in groups
        ),
    )


def _facts(card: MetricCard) -> MetricFacts:
    return MetricFacts(
        card.title, card.version, str(card.scope), card.role, card.unit, card.higher_is_better
    )


def _entry(board: Board, units: pd.DataFrame, scores: pd.DataFrame, timing: Timing | None) -> Entry:
    method, size = str(units["method"].iloc[0]), int(units["size"].iloc[0])
    units = units.sort_values(["style", "content", "seed"])
    places = list(zip(units["content"], units["style"], units["seed"].astype(int), strict=True))
    of_method = scores[(scores["method"] == method) & (scores["size"] == size)]
    by_pair: dict[str, tuple[float | None, ...]] = {}
    singles: dict[str, float] = {}
    for name, card in board.metrics.items():
        rows = of_method[of_method["metric"] == name]
        values = rows["value"].astype(float)
        if card.scope == Scope.PAIR:
            seeds = rows["seed"].astype(int)
            keys = zip(rows["content"], rows["style"], seeds, strict=True)
            by_unit = dict(zip(keys, values, strict=True))
            by_pair[name] = tuple(_rounded(by_unit.get(place)) for place in places)
        elif len(values) and math.isfinite(values.iloc[0]):
            singles[name] = float(_rounded(values.iloc[0]) or 0.0)
    card_of = board.methods[method]
    return Entry(
        method=method,
        plugin=card_of.plugin,
        size=size,
        params=dict(card_of.params),
        weights={weight.name: weight.sha256 for weight in card_of.weights},
        units=tuple(
            (c, s, seed, str(status))
            for (c, s, seed), status in zip(places, units["status"], strict=True)
        ),
        scores=by_pair,
        singles=singles,
        timing=None if timing is None else _trimmed(timing),
    )


def _rounded(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _trimmed(timing: Timing) -> Timing:
    """Return the timing with rounded numbers and without the facts that all timings share."""
    facts = {name: timing.environment[name] for name in _TIMING_FACTS if name in timing.environment}
    short = {
        name: tuple(_rounded(value) for value in getattr(timing, name))
        for name in ("latency", "latency_waits", "prepare", "calibration", "calibration_waits")
    }
    return replace(timing, environment=facts, **short)  # type: ignore[arg-type]


# --- files -------------------------------------------------------------------------------


def load_baseline(path: Path) -> Baseline:
    """Read a baseline file, or make the baseline of a run folder.

    Raises:
        UsageError: if ``path`` is neither of them.
        StoreError: if the file was written by a newer nstbench.
    """
    if path.is_dir():
        return from_board(load_board(path))
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. Give the folder of a run, or a file that "
            "`nstbench baseline save RUN FILE` wrote."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path} is not a baseline: not JSON ({error}).") from None
    if not isinstance(data, dict) or "entries" not in data:
        raise UsageError(
            f"{path} is not a baseline: it has no entries. `nstbench baseline save RUN FILE` "
            "writes one."
        )
    if data.get("schema", SCHEMA) > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer nstbench (baseline schema {data['schema']}, this one "
            f"reads {SCHEMA}). Upgrade nstbench, or save the baseline again."
        )
    try:
        return TypeAdapter(Baseline).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path} is not a baseline: {where}: {first['msg']}.") from None


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline file with one line per list of numbers, so that diffs are readable.

    Raises:
        StoreError: if it cannot be written.
    """
    data = TypeAdapter(Baseline).dump_python(baseline, mode="json")
    write_bytes(path, (_text(data, "") + "\n").encode())


def _text(data: Any, indent: str) -> str:
    """Return JSON in which only lists and objects with nested ones have several lines."""
    children = list(data.values()) if isinstance(data, dict) else data
    nested = isinstance(data, dict | list) and any(isinstance(c, dict | list) for c in children)
    if not nested:
        return json.dumps(data, ensure_ascii=False)
    inner = indent + " "
    if isinstance(data, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_text(value, inner)}"
            for key, value in data.items()
        ]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    parts = [_text(value, inner) for value in data]
    return "[\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}]"
