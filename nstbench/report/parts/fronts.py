"""The curves of a study, and what can be said about them at equal content error.

A curve is a series of variants; its points are mean content and style errors. Two curves
are compared by the style errors that they reach at the same content error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nstbench.analysis import stats
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.score_table import score_tables
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Status
from nstbench.plan.study import Study, StudyVariant, shown
from nstbench.report.parts import numbers
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Interval, Row

LEVELS = 3
"""Content errors at which curves are compared."""

_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)
_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """One variant: its row of the leaderboard, and its errors (S,) per style."""

    variant: StudyVariant
    row: Row
    content: stats.Floats
    style: stats.Floats

    @property
    def whole(self) -> bool:
        """Return True if all its units were done; else its means speak of survivors only."""
        return self.row.done == self.row.planned


@dataclass(frozen=True, eq=False)
class Front:
    """One curve: the scored variants of a series, in the order of the traced parameter.

    ``seconds`` is the mean time of its units, NaN if none was done; ``done`` of ``planned``
    units have a result.
    """

    label: str
    points: tuple[FrontPoint, ...]
    seconds: float
    done: int = 0
    planned: int = 0

    @property
    def curve(self) -> tuple[FrontPoint, ...]:
        """Return the points that make the curve: those without a failed or missing unit."""
        return tuple(point for point in self.points if point.whole)

    def at(self, level: float) -> stats.Floats | None:
        """Return, per style (S,), the style error at a content error, by linear interpolation.

        The mean is the ordinate of the mean curve at ``level``. Each entry is that
        ordinate plus the style's own effect on it to first order (the delta method), so
        that differences between styles tell its uncertainty. Where a curve passes
        ``level`` more than once, the pass with the least style error counts.

        Returns:
            ``None`` if the mean curve does not pass ``level``; NaN for styles that lack a score.
        """
        passes = [
            found
            for pair in pairwise(self.curve)
            if (found := _interpolated(*pair, level)) is not None
        ]
        return min(passes, key=lambda values: float(np.nanmean(values)), default=None)


@dataclass(frozen=True, eq=False)
class Summary:
    """What a table says about one curve.

    Attributes:
        label: the series.
        done: units with a result, and all units of the series as ``"13/24"``.
        best: value of the ordering metric at the best point, and that point's variant.
        at: style error at each level.
        change: the same less the baseline's; positive is worse if the metric is an error.
        seconds: mean time of a unit.
    """

    label: str
    done: str
    best: Interval
    best_variant: StudyVariant | None
    at: tuple[Interval, ...]
    change: tuple[Interval, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Fronts:
    """A study with its curves, and the content errors at which they are compared."""

    study: Study
    content: MetricCard
    style: MetricCard
    quality: MetricCard | None
    size: int
    fronts: tuple[Front, ...]
    levels: tuple[float, ...]
    others: tuple[Row, ...]
    """Rows of the board that belong to no curve."""

    def summaries(self) -> list[Summary]:
        """Return the table of the curves."""
        base = next((f for f in self.fronts if f.label == self.study.baseline), None)
        return [self._summary(front, base) for front in self.fronts]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the table of the curves as text: its heads, and one row per curve."""
        compared, traced = self.study.baseline, self.study.traced
        heads = ["curve", "done"]
        for level in self.levels:
            heads.append(f"{self.style.title} at {self.content.title.lower()} {level:g}")
            heads += [f"less {compared}"] if compared else []
        if self.quality:
            heads.append(f"best {self.quality.title}")
            heads += [f"with {traced}"] if traced else []
        rows = []
        for summary in self.summaries():
            row = [summary.label, summary.done]
            for value, change in zip(summary.at, summary.change, strict=True):
                row += [value.text(), change.text()] if compared else [value.text()]
            if self.quality:
                best = summary.best_variant
                row.append(summary.best.text())
                row += [shown(best.value) if best else numbers.DASH] if traced else []
            rows.append([*row, numbers.seconds(summary.seconds)])
        return [*heads, "time of a picture"], rows

    def _summary(self, front: Front, base: Front | None) -> Summary:
        quality = self.quality
        rated = [p for p in front.curve if p.row.of(quality).known]
        best = min(rated, key=lambda p: p.row.loss(quality), default=None) if quality else None
        at, change = [], []
        for level in self.levels:
            own = front.at(level)
            other = base.at(level) if base is not None and base is not front else None
            at.append(_interval(own, self.style.range))
            change.append(_interval(None if own is None or other is None else own - other))
        return Summary(
            label=front.label,
            done=f"{front.done}/{front.planned}",
            best=best.row.of(quality) if best else Interval(math.nan),
            best_variant=best.variant if best else None,
            at=tuple(at),
            change=tuple(change),
            seconds=front.seconds,
        )


def study_of(board: Board) -> Study | None:
    """Return the study that a run carried out, if it was one."""
    found = (board.info.get("config") or {}).get("study")
    return Study.model_validate(found) if found else None


def fronts_of(board: Board) -> Fronts | None:
    """Return the curves of a run; ``None`` if it is no study or lacks one of the two errors."""
    study = study_of(board)
    content, style = board.metric_with_role("content"), board.metric_with_role("style")
    if study is None or content is None or style is None:
        return None
    size = tables.main_size(board)
    points = _points(board, study, content, style, size)
    # run.json sorts its keys; the board keeps the order of the study.
    series = {v.label: v.series for v in study.variants()}
    labels = dict.fromkeys(series[name] for name in board.methods if name in series)
    fronts = []
    for label in labels:
        mine = tuple(p for p in points if p.variant.series == label)
        if mine:
            fronts.append(Front(label, mine, *_cost_and_coverage(board, study, label, size)))
    if not fronts:
        return None
    in_study = {v.label for v in study.variants()}
    others = [r for r in tables.rows(board) if r.method not in in_study and r.size == size]
    return Fronts(
        study=study,
        content=content,
        style=style,
        quality=board.quality,
        size=size,
        fronts=tuple(fronts),
        levels=_levels(fronts),
        others=tuple(r for r in others if r.of(content).known and r.of(style).known),
    )


def _points(
    board: Board, study: Study, content: MetricCard, style: MetricCard, size: int
) -> list[FrontPoint]:
    """Return the variants that have both errors."""
    rows = {row.method: row for row in tables.rows(board) if row.size == size}
    scores = done_scores(board.scores, board.units)
    found: dict[str, Any] = {}
    for table in score_tables(scores, [(content.name, ""), (style.name, "")]):
        if table.size == size:
            means = stats.style_means(table.values, table.layout)
            found = {name: means[:, i] for i, name in enumerate(table.methods)}
    return [
        FrontPoint(variant, rows[variant.label], *found[variant.label])
        for variant in study.variants()
        if variant.label in rows
        and variant.label in found
        and np.isfinite(found[variant.label]).any(axis=1).all()
    ]


def _cost_and_coverage(
    board: Board, study: Study, series: str, size: int
) -> tuple[float, int, int]:
    """Return mean seconds of a series' units, how many are done, and how many there are."""
    labels = {v.label for v in study.variants() if v.series == series}
    units = board.units
    mine = units[units["method"].isin(labels) & (units["size"] == size)]
    done = mine[mine["status"] == Status.DONE]
    return float(done["seconds"].mean()), len(done), len(mine)


def _interpolated(first: FrontPoint, second: FrontPoint, level: float) -> stats.Floats | None:
    """Return the style errors (S,) where the segment of the two mean points passes ``level``."""
    both = np.isfinite(first.content + second.content + first.style + second.style)
    if not both.any():
        return None
    c, s = (
        np.array([[p.content, p.style] for p in (first, second)])
        .transpose(1, 0, 2)
        .astype(np.float64)
    )
    (c0, c1), (s0, s1) = c[:, both].mean(axis=1), s[:, both].mean(axis=1)
    if not min(c0, c1) <= level <= max(c0, c1) or c0 == c1:
        return None
    share, slope = (level - c0) / (c1 - c0), (s1 - s0) / (c1 - c0)
    content = (1 - share) * c[0] + share * c[1]
    style = (1 - share) * s[0] + share * s[1]
    return np.where(both, style - slope * (content - level), np.nan)


def _interval(
    values: stats.Floats | None, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return mean and 95 % interval over styles of values (S,), cut at the metric's bounds."""
    if values is None:
        return Interval(math.nan)
    low, high = stats.interval(values[None], seed=0, resamples=_RESAMPLES)
    ends = np.clip([low[0], high[0]], *bounds)
    return Interval(float(np.nanmean(values)), float(ends[0]), float(ends[1]))


def _levels(fronts: Sequence[Front]) -> tuple[float, ...]:
    """Return up to three round content errors that as many curves as possible pass."""
    ends = [
        (min(means), max(means))
        for front in fronts
        if len(front.curve) > 1
        for means in [[float(np.nanmean(p.content)) for p in front.curve]]
    ]
    if not ends:
        return ()
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    best: list[float] = []
    for step in _STEPS:
        marks = [round(i * step, 4) for i in range(math.ceil(low / step), int(high / step) + 1)]
        counts = [sum(a <= mark <= b for a, b in ends) for mark in marks]
        best = [m for m, n in zip(marks, counts, strict=True) if n == max(counts)]
        if len(best) >= LEVELS:
            break
    if len(best) <= LEVELS:
        return tuple(best)
    return best[len(best) // 6], best[len(best) // 2], best[-1 - len(best) // 6]
