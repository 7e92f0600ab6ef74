"""The curves of a study, and their comparison at equal content error.

A curve is a series of variants, and its points are mean content and style errors. Two curves
are compared by their style errors at the same content error.
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
from nstbench.report.parts.rows import (
    Interval,
    Row,
    leaderboard_rows,
    main_size,
)

LEVELS = 3
"""Largest number of content errors at which curves are compared."""

_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005)
_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class FrontPoint:
    """One variant: its leaderboard row, and its content and style errors per style, (S,) each."""

    variant: StudyVariant
    row: Row
    content: stats.Floats
    style: stats.Floats

    @property
    def complete(self) -> bool:
        """Return True if all its units are done; otherwise its means omit the other units."""
        return self.row.done == self.row.planned


@dataclass(frozen=True, eq=False)
class Front:
    """One curve: the scored variants of a series, in the order of the traced parameter.

    Attributes:
        label: name of the series.
        points: its variants.
        seconds: mean time per unit; NaN if no unit is done.
        done: units with a result.
        planned: all units of the series.
    """

    label: str
    points: tuple[FrontPoint, ...]
    seconds: float
    done: int = 0
    planned: int = 0

    @property
    def curve(self) -> tuple[FrontPoint, ...]:
        """Return the points that the line joins: those without a failed or missing unit."""
        return tuple(point for point in self.points if point.complete)

    def at(self, level: float) -> stats.Floats | None:
        """Return the style error per style at a content error, by linear interpolation.

        The mean of the values is the ordinate of the mean curve at ``level``. Each value is
        that ordinate plus the effect of its style, to first order (the delta method), so
        their spread gives the uncertainty. If a curve passes ``level`` more than once, the
        lowest style error is used.

        Args:
            level: content error.

        Returns:
            Style errors (S,), NaN for styles without a score; ``None`` if the mean curve does
            not pass ``level``.
        """
        passes = [
            values
            for pair in pairwise(self.curve)
            if (values := _interpolated(*pair, level)) is not None
        ]
        return min(passes, key=lambda values: float(np.nanmean(values)), default=None)


@dataclass(frozen=True, eq=False)
class Summary:
    """The table row of one curve.

    Attributes:
        label: the series.
        done: units with a result and all units of the series, such as ``"13/24"``.
        best: value of the ordering metric at the best point.
        best_variant: variant of the best point; ``None`` if no point has a value.
        at: style error at each level.
        change: style error minus that of the baseline series at each level.
        seconds: mean time per unit.
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
    """The curves of a study, and the content errors at which they are compared.

    Attributes:
        study: the study.
        content: metric of the abscissa.
        style: metric of the ordinate.
        quality: metric that orders the leaderboard, if any.
        size: image size in pixels.
        fronts: one curve per series.
        levels: content errors at which the curves are compared.
        others: leaderboard rows that are on no curve.
    """

    study: Study
    content: MetricCard
    style: MetricCard
    quality: MetricCard | None
    size: int
    fronts: tuple[Front, ...]
    levels: tuple[float, ...]
    others: tuple[Row, ...]

    def summaries(self) -> list[Summary]:
        """Return one table row per curve."""
        base = next((f for f in self.fronts if f.label == self.study.baseline), None)
        return [self._summary(front, base) for front in self.fronts]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the table of the curves as text: column heads, and one row per curve."""
        compared, traced = self.study.baseline, self.study.traced
        heads = ["curve", "done"]
        for level in self.levels:
            heads.append(f"{self.style.title} at {self.content.title.lower()} {level:g}")
            heads += [f"difference from {compared}"] if compared else []
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
        return [*heads, "time per picture"], rows

    def _summary(self, front: Front, base: Front | None) -> Summary:
        quality = self.quality
        rated = [p for p in front.curve if p.row.of(quality).known]
        best = min(rated, key=lambda p: p.row.loss(quality), default=None) if quality else None
        at, change = [], []
        for level in self.levels:
            errors = front.at(level)
            baseline = base.at(level) if base is not None and base is not front else None
            at.append(_interval(errors, self.style.range))
            change.append(
                _interval(None if errors is None or baseline is None else errors - baseline)
            )
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
    """Return the study of a run; ``None`` if the run is not a study."""
    settings = (board.info.get("config") or {}).get("study")
    return Study.model_validate(settings) if settings else None


def fronts_of(board: Board) -> Fronts | None:
    """Return the curves of a study; ``None`` for other runs and without one of the two errors."""
    study = study_of(board)
    content, style = board.metric_with_role("content"), board.metric_with_role("style")
    if study is None or content is None or style is None:
        return None
    size = main_size(board)
    points = _points(board, study, content, style, size)
    # run.json sorts its keys, so the order comes from the board
    series = {v.label: v.series for v in study.variants()}
    labels = dict.fromkeys(series[name] for name in board.methods if name in series)
    fronts = []
    for label in labels:
        members = tuple(p for p in points if p.variant.series == label)
        if members:
            fronts.append(Front(label, members, *_cost_and_coverage(board, study, label, size)))
    if not fronts:
        return None
    in_study = {v.label for v in study.variants()}
    others = [r for r in leaderboard_rows(board) if r.method not in in_study and r.size == size]
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
    """Return the variants with both errors."""
    rows = {row.method: row for row in leaderboard_rows(board) if row.size == size}
    scores = done_scores(board.scores, board.units)
    errors: dict[str, Any] = {}
    for table in score_tables(scores, [(content.name, ""), (style.name, "")]):
        if table.size == size:
            means = stats.style_means(table.values, table.layout)
            errors = {name: means[:, i] for i, name in enumerate(table.methods)}
    return [
        FrontPoint(variant, rows[variant.label], *errors[variant.label])
        for variant in study.variants()
        if variant.label in rows
        and variant.label in errors
        and np.isfinite(errors[variant.label]).any(axis=1).all()
    ]


def _cost_and_coverage(
    board: Board, study: Study, series: str, size: int
) -> tuple[float, int, int]:
    """Return the mean seconds per unit of a series, its done units, and all its units."""
    labels = {v.label for v in study.variants() if v.series == series}
    units = board.units
    planned = units[units["method"].isin(labels) & (units["size"] == size)]
    done = planned[planned["status"] == Status.DONE]
    return float(done["seconds"].mean()), len(done), len(planned)


def _interpolated(first: FrontPoint, second: FrontPoint, level: float) -> stats.Floats | None:
    """Return the style errors (S,) where the line between two mean points passes ``level``."""
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
    """Return the mean of values (S,) and its 95 % interval over styles, clipped to ``bounds``."""
    if values is None:
        return Interval(math.nan)
    low, high = stats.interval(values[None], seed=0, resamples=_RESAMPLES)
    ends = np.clip([low[0], high[0]], *bounds)
    return Interval(float(np.nanmean(values)), float(ends[0]), float(ends[1]))


def _levels(fronts: Sequence[Front]) -> tuple[float, ...]:
    """Return up to three round content errors, chosen so that most curves pass them."""
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
