"""The head of the page: what was run, and the three answers in words."""

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
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Row


@dataclass(frozen=True)
class Answer:
    """One of the three answers."""

    question: str
    label: str
    figure: str
    words: str

    @property
    def short(self) -> str:
        """The label cut to a length that fits a card."""
        return tables.short(self.label, 34)


class Overview(Section):
    """Name of the run, its facts, and the best by quality, speed and both."""

    info: ClassVar[SectionInfo] = SectionInfo("At a glance", "html", order=0)

    def html(self, board: Board) -> str:
        """Return the head of the page."""
        size = tables.main_size(board)
        rows = [r for r in tables.rows(board) if r.size == size and not r.baseline]
        quality, speed = board.quality, board.metric_with_role("speed")
        baselines = [r for r in tables.rows(board) if r.size == size and r.baseline]
        found = (_best_quality(rows, baselines, quality), _fastest(board, rows, quality, speed),
                 _trade_off(rows, quality, speed))  # fmt: skip
        several = board.leaderboard["size"].nunique() > 1
        return templates.render(
            "overview.html",
            facts=_facts(board),
            answers=[answer for answer in found if answer],
            size_note=f"The answers are for {size} px." if several else "",
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
    """Return how many methods there are, and how many baselines beside them."""
    kinds = {row.method: row.baseline for row in tables.rows(board)}
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


def _when(info: Mapping, spent: float) -> str:
    try:
        start = datetime.fromisoformat(str(info.get("started")))
    except ValueError:
        return ""
    text = f"{start.day} {start:%B %Y, %H:%M} UTC"
    try:
        seconds = (datetime.fromisoformat(str(info.get("finished"))) - start).total_seconds()
    except ValueError:
        return f"started {text}"
    # a run that was interrupted and went on is longer than its last session
    last = "last session " if seconds < spent else ""
    return f"{text}, {last}took {numbers.seconds(seconds)}"


def _figure(row: Row, metric: MetricCard) -> str:
    return f"{metric.title} {row.of(metric).text(metric.unit)}"


def _best_quality(
    rows: list[Row], baselines: list[Row], quality: MetricCard | None
) -> Answer | None:
    contest = tables.contest(rows, quality)
    if quality is None or not contest:
        return None
    best = min(contest, key=lambda r: r.loss(quality))
    words = f"{_caveat(best, contest, rows, quality)}{quality.description}"
    if "–" in best.rank and len(best.rank) > 1:
        words = (
            f"It shares rank {best.rank}: the data cannot separate it from its neighbours. {words}"
        )
    words = f"{_against_baselines(best, baselines, quality)}{words}"
    return Answer("Best quality", best.label, _figure(best, quality), words)


def _against_baselines(best: Row, baselines: list[Row], quality: MetricCard) -> str:
    """Say whether the best of the methods is no better than a trivial answer."""
    known = [row for row in baselines if row.of(quality).known]
    if not known:
        return ""
    rival = min(known, key=lambda row: row.loss(quality))
    if rival.loss(quality) <= best.loss(quality):
        return f"The baseline {rival.label} is better: {_figure(rival, quality)}. "
    if rival.ranks[0] <= best.ranks[1]:
        return (
            f"Its rank, {best.rank}, overlaps that of the baseline {rival.label}, {rival.rank} "
            f"({_figure(rival, quality)}). "
        )
    return ""


def _fastest(
    board: Board, rows: list[Row], quality: MetricCard | None, speed: MetricCard | None
) -> Answer | None:
    contest = tables.contest(rows, speed)
    if speed is None or not contest:
        return None
    best = min(contest, key=lambda r: r.loss(speed))
    words = _caveat(best, contest, rows, speed)
    spread = tables.middle_half(board, best, speed)
    if spread is not None:
        ends = [numbers.quantity(end, speed.unit) for end in (spread.low, spread.high)]
        words += f"Half of its timed calls took {ends[0]} to {ends[1]}. "
    if quality is not None and best.of(quality).known:
        words += f"Its quality: {_figure(best, quality)}. "
    return Answer("Fastest", best.label, _figure(best, speed), words + speed.description)


def _trade_off(
    rows: list[Row], quality: MetricCard | None, speed: MetricCard | None
) -> Answer | None:
    contest = tables.contest(rows, quality, speed)
    if quality is None or speed is None or len(contest) < 2:
        return None
    distances = _distances(contest, quality, speed)
    best = min(contest, key=lambda r: (distances[r.label], r.loss(quality)))
    words = (
        f"{_caveat(best, contest, rows, quality)}"
        f"Of the {len(contest)} methods measured here it lies nearest to the corner "
        f"“best {quality.title} and best {speed.title.lower()}”, both axes scaled to the "
        "span of these methods, speed by its logarithm."
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


def _caveat(best: Row, contest: list[Row], rows: list[Row], metric: MetricCard) -> str:
    """Say what coverage does to the answer: failures are results, not gaps."""
    words = ""
    if not best.complete:
        words = f"It did {best.coverage} of its pairs. "
        whole = [r for r in contest if r.complete]
        if whole:
            runner_up = min(whole, key=lambda r: r.loss(metric))
            label = tables.short(runner_up.label, 40)
            words += f"Of those that did all, {label} leads: {_figure(runner_up, metric)}. "
    left_out = [r for r in rows if r not in contest and r.of(metric).known]
    if left_out:
        count = counted(len(left_out), "method")
        words += f"Left out: {count} that did less than {100 * tables.ENOUGH:.0f} % of the pairs. "
    return words
