"""The head of the page: facts about the run, and the best methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.text import counted
from nstbench.report.parts import numbers, templates
from nstbench.report.parts.rows import (
    ENOUGH,
    Row,
    contenders,
    leaderboard_rows,
    main_size,
    middle_half,
    shorten,
)

PARTS = ("total", "content", "style", "bar")
"""Roles of the metrics that the board shows next to the quality metric."""


@dataclass(frozen=True)
class Answer:
    """The best method by one criterion.

    Attributes:
        question: the criterion.
        label: the method.
        figure: its main number.
        words: explanation.
    """

    question: str
    label: str
    figure: str
    words: str

    @property
    def short(self) -> str:
        """The label, shortened to fit a card."""
        return shorten(self.label, 34)


class Overview(Section):
    """Facts about the run, and the best methods by quality, speed and both."""

    info: ClassVar[SectionInfo] = SectionInfo("At a glance", order=0)

    def html(self, board: Board) -> str:
        """Return the head of the page."""
        size = main_size(board)
        rows = [r for r in leaderboard_rows(board) if r.size == size and not r.baseline]
        quality, speed = board.quality, board.metric_with_role("speed")
        baselines = [r for r in leaderboard_rows(board) if r.size == size and r.baseline]
        answers = (
            _best_quality(board, rows, baselines, quality),
            _fastest(board, rows, quality, speed),
            _trade_off(board, rows, quality, speed),
        )
        several = board.leaderboard["size"].nunique() > 1
        return templates.render(
            "overview.html",
            facts=_facts(board),
            answers=[answer for answer in answers if answer],
            size_note=f"These results are for {size} px." if several else "",
            command=board.info.get("command", ""),
        )


def _facts(board: Board) -> list[str]:
    done, planned = int(board.leaderboard["done"].sum()), int(board.leaderboard["planned"].sum())
    pairs = len(board.units[["content", "style"]].drop_duplicates())
    sizes = ", ".join(str(s) for s in sorted(board.leaderboard["size"].unique()))
    environment = board.info.get("environment") or {}
    facts = [
        _suite(board.info),
        f"{_methods(board)} × {counted(pairs, 'pair')}",
        f"{sizes} px" if sizes else "",
        f"{done} of {planned} outputs done",
        "" if board.info.get("finished") else "not finished",
        _machine(environment),
        _when(board.info, float(board.units["seconds"].sum())),
        f"nstbench {board.info.get('version', '')}",
    ]
    return [fact for fact in facts if fact.strip()]


def _methods(board: Board) -> str:
    """Return the numbers of methods and of baselines as text."""
    kinds = {row.method: row.baseline for row in leaderboard_rows(board)}
    counts = (
        (list(kinds.values()).count(kind), name)
        for kind, name in ((False, "method"), (True, "baseline"))
    )
    return " + ".join(counted(n, name) for n, name in counts if n)


def _suite(info: Mapping) -> str:
    suite, version = str(info.get("suite") or ""), info.get("suite_version")
    return f"{suite}, version {version}" if suite and version else suite


def _machine(environment: Mapping) -> str:
    parts = [environment.get(k) for k in ("device_name", "cpu", "device")]
    return next((str(p) for p in parts if p), "")


def _when(info: Mapping, unit_seconds: float) -> str:
    """Return start and duration; ``unit_seconds`` is the sum over all units."""
    try:
        start = datetime.fromisoformat(str(info.get("started")))
    except ValueError:
        return ""
    text = f"{start.day} {start:%B %Y, %H:%M} UTC"
    try:
        seconds = (datetime.fromisoformat(str(info.get("finished"))) - start).total_seconds()
    except ValueError:
        return f"started {text}"
    # only the last session of a resumed run has a start and an end
    subject = "the last session took" if seconds < unit_seconds else "took"
    return f"{text}, {subject} {numbers.seconds(seconds)}"


def _figure(row: Row, metric: MetricCard) -> str:
    return f"{metric.title} {row.of(metric).text(metric.unit)}"


def _best_quality(
    board: Board, rows: list[Row], baselines: list[Row], quality: MetricCard | None
) -> Answer | None:
    candidates = contenders(rows, quality)
    if quality is None or not candidates:
        return None
    best = min(candidates, key=lambda r: r.loss(quality))
    parts = _parts(board, best)
    words = f"{_caveat(best, candidates, rows, quality)}{parts}{quality.description}"
    if "–" in best.rank and len(best.rank) > 1:
        words = f"Its rank is {best.rank}: the next methods are not significantly worse. {words}"
    words = f"{_against_baselines(best, baselines, quality)}{words}"
    return Answer("Best quality", best.label, _figure(best, quality), words)


def _parts(board: Board, row: Row) -> str:
    """Return a sentence with the errors that the quality adds, and the pairs beyond the bar."""
    cards = [board.metric_with_role(role) for role in PARTS]
    known = [f"{c.title} {row.text(c)}" for c in cards if c is not None and row.of(c).known]
    return f"Its parts: {', '.join(known)}. " if known else ""


def _against_baselines(best: Row, baselines: list[Row], quality: MetricCard) -> str:
    """Return a warning if a baseline is as good as the best method, or not separable."""
    measured = [row for row in baselines if row.of(quality).known]
    if not measured:
        return ""
    baseline = min(measured, key=lambda row: row.loss(quality))
    figure = _figure(baseline, quality)
    if baseline.loss(quality) < best.loss(quality):
        return f"The baseline {baseline.label} is better: {figure}. "
    if baseline.loss(quality) == best.loss(quality):
        return f"The baseline {baseline.label} is equally good: {figure}. "
    if baseline.ranks[0] <= best.ranks[1]:
        return (
            f"Its ranks ({best.rank}) overlap with those of the baseline {baseline.label} "
            f"({baseline.rank}; {figure}). "
        )
    return ""


def _fastest(
    board: Board, rows: list[Row], quality: MetricCard | None, speed: MetricCard | None
) -> Answer | None:
    candidates = contenders(rows, speed)
    if speed is None or not candidates:
        return None
    best = min(candidates, key=lambda r: r.loss(speed))
    words = _caveat(best, candidates, rows, speed)
    spread = middle_half(board, best, speed)
    if spread is not None:
        ends = [numbers.quantity(end, speed.unit) for end in (spread.low, spread.high)]
        words += f"The middle half of its timed calls took {ends[0]} to {ends[1]}. "
    if quality is not None and best.of(quality).known:
        words += f"Its quality: {_figure(best, quality)}. {_parts(board, best)}"
    return Answer("Fastest", best.label, _figure(best, speed), words + speed.description)


def _trade_off(
    board: Board, rows: list[Row], quality: MetricCard | None, speed: MetricCard | None
) -> Answer | None:
    candidates = contenders(rows, quality, speed)
    if quality is None or speed is None or len(candidates) < 2:
        return None
    distances = _distances(candidates, quality, speed)
    best = min(candidates, key=lambda r: (distances[r.label], r.loss(quality)))
    words = (
        f"{_caveat(best, candidates, rows, quality)}{_parts(board, best)}"
        f"Of {len(candidates)} methods, it is closest to the ideal point with the best "
        f"{quality.title} and the best {speed.title.lower()}. Both axes are scaled to the range "
        "of these methods; the speed axis is logarithmic."
    )
    figure = f"{_figure(best, quality)} at {best.of(speed).text(speed.unit)}"
    return Answer("Best trade-off", best.label, figure, words)


def _distances(rows: list[Row], quality: MetricCard, speed: MetricCard) -> dict[str, float]:
    qualities = _unit_span([r.loss(quality) for r in rows])
    logs = [math.log(max(abs(r.of(speed).value), 1e-9)) for r in rows]
    speeds = _unit_span([-v for v in logs] if speed.higher_is_better else logs)
    return {r.label: math.hypot(q, s) for r, q, s in zip(rows, qualities, speeds, strict=True)}


def _unit_span(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def _caveat(best: Row, candidates: list[Row], rows: list[Row], metric: MetricCard) -> str:
    """Return the effect of incomplete coverage on the answer; failures are results, too."""
    words = ""
    if not best.complete:
        words = f"It completed {best.coverage} pairs. "
        complete = [r for r in candidates if r.complete]
        if complete:
            runner_up = min(complete, key=lambda r: r.loss(metric))
            label = shorten(runner_up.label, 40)
            words += f"The best method with all pairs is {label}: {_figure(runner_up, metric)}. "
    excluded = [r for r in rows if r not in candidates and r.of(metric).known]
    if excluded:
        count = counted(len(excluded), "method")
        words += f"Excluded: {count} with less than {100 * ENOUGH:.0f} % of the pairs. "
    return words
