"""The leaderboard: every method with every number, its interval and its coverage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from markupsafe import Markup

from nstbench.analysis.ranking import done_scores
from nstbench.contracts import Scope, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import numbers, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Interval, Row

SHOWN = 5
"""Metric columns shown at first; the column chooser brings the rest."""

PER_STYLE = 6
"""Metrics in the table that a row expands to."""


@dataclass(frozen=True)
class Column:
    """A metric with the way its numbers are written; ``best`` names the rows with the best."""

    card: MetricCard
    divisor: float
    unit: str
    form: Callable[[float], str]
    low: float
    high: float
    best: frozenset[str]
    shown: bool


@dataclass(frozen=True)
class Cell:
    """One number of the table; ``sort`` is what the script sorts by."""

    text: str
    sort: str
    interval: str
    bar: Markup
    home: bool
    best: bool


class Leaderboard(Section):
    """Sortable table with ranks, coverage and all metrics."""

    info: ClassVar[SectionInfo] = SectionInfo("Leaderboard", "html", order=20)

    def html(self, board: Board) -> str:
        """Return the table; empty if the run has no methods."""
        rows = tables.rows(board)
        if not rows:
            return ""
        columns = _columns(board, rows)
        pair_cards = [c.card for c in columns if c.card.scope == Scope.PAIR][:PER_STYLE]
        per_style = _per_style(board, pair_cards)
        entries = [_entry(board, row, columns, per_style, pair_cards) for row in rows]
        methods = [e for e in entries if not e["row"].baseline]
        baselines = [e for e in entries if e["row"].baseline]
        groups = [{"name": "methods", "title": "", "rows": methods}]
        if baselines:
            title = "Baselines: trivial answers that a method has to beat"
            groups.append({"name": "baselines", "title": title, "rows": baselines})
        return templates.render(
            "leaderboard.html",
            intro=_intro(board, methods),
            caption=_caption(board),
            columns=columns,
            groups=groups,
            pair_cards=pair_cards,
            enough=f"{100 * tables.ENOUGH:.0f} %",
            several=board.leaderboard["size"].nunique() > 1,
            sets=[c.card.title for c in columns if c.card.scope == Scope.SET],
            any_home=any(cell.home for e in entries for cell in e["cells"]),
        )


def _intro(board: Board, methods: list[dict]) -> str:
    quality = board.quality
    if not methods:
        return "This run has baselines only."
    if quality is None:
        return "This run measured no quality, so the methods are not ordered."
    direction = "higher" if quality.higher_is_better else "lower"
    order = tables.ordered_by(board) or f"Ordered by {quality.title}."
    return f"{order} {direction.capitalize()} is better. {quality.description}"


def _caption(board: Board) -> str:
    pairs = board.units[["content", "style"]].drop_duplicates()
    contents, styles = pairs["content"].nunique(), pairs["style"].nunique()
    return (
        f"{board.leaderboard['method'].nunique()} methods on {len(pairs)} pairs "
        f"({contents} contents, {styles} styles)"
    )


def _columns(board: Board, rows: list[Row]) -> list[Column]:
    cards = tables.measured_metrics(board)
    with_role = [c for c in cards if c.role]
    others = [c for c in cards if not c.role]
    first = {c.name for c in (*with_role, *others)[:SHOWN]}
    return [_column(card, rows, card.name in first) for card in cards]


def _column(card: MetricCard, rows: list[Row], shown: bool) -> Column:
    cells = [row.of(card) for row in rows]
    values = [cell.value for cell in cells]
    divisor, unit = numbers.scaled(card.unit)
    form = numbers.column_format([v / divisor for v in values], card.range)
    if unit == "s":
        # a column from microseconds to minutes: each number carries its own unit
        form, unit = numbers.seconds, ""
    contests = [tables.contest(group, card) for group in tables.by_size(rows)]
    low, high = tables.span(rows, card)
    return Column(
        card=card,
        divisor=divisor,
        unit=unit,
        form=form,
        low=low,
        high=high,
        best=frozenset(label for contest in contests for label in _best(contest, card)),
        shown=shown,
    )


def _best(contest: list[Row], card: MetricCard) -> list[str]:
    least = min((r.loss(card) for r in contest), default=math.nan)
    return [r.label for r in contest if r.loss(card) == least]


def _entry(
    board: Board,
    row: Row,
    columns: list[Column],
    per_style: pd.DataFrame,
    pair_cards: list[MetricCard],
) -> dict:
    method = board.methods.get(row.method)
    rank = row.rank.partition("–")[0]
    return {
        "row": row,
        "short": tables.short(row.label, 40),
        "icon": svg.shape(svg.SHAPES.get(row.flexibility, "circle"), 8, 8, 5.5),
        "sort_rank": rank,
        "share": f"{row.done / max(1, row.planned):.6g}",
        "cells": [
            _cell(row.of(c.card), c, tables.is_home(method, c.card), row.label in c.best)
            for c in columns
        ],
        "styles": _styles(row, per_style, pair_cards),
    }


def _cell(value: Interval, column: Column, home: bool, best: bool) -> Cell:
    def text(number: float) -> str:
        return column.form(number / column.divisor)

    bounded = value.known and value.bounded
    return Cell(
        text=text(value.value),
        sort=repr(value.value) if value.known else "",
        interval=f"[{text(value.low)}, {text(value.high)}]" if bounded else "",
        bar=svg.interval_bar(value, column.low, column.high),
        home=home and value.known,
        best=best,
    )


def _per_style(board: Board, cards: list[MetricCard]) -> pd.DataFrame:
    """Return means over pairs, and their number, per method, size, style and chosen metric."""
    scores = done_scores(board.scores, board.units)
    wanted = scores[scores["metric"].isin([c.name for c in cards]) & (scores["part"] == "")]
    wanted = wanted[np.isfinite(wanted["value"].astype(float))]
    style = ["method", "size", "style", "metric"]
    pairs = wanted.groupby([*style, "content"])["value"].mean()
    return pairs.groupby(style, sort=True).agg(["mean", "count"])


def _styles(row: Row, per_style: pd.DataFrame, cards: list[MetricCard]) -> list[dict]:
    if row.method not in per_style.index.get_level_values("method"):
        return []
    mine = per_style.loc[row.method]
    if row.size not in mine.index.get_level_values("size"):
        return []
    means = mine.loc[row.size]["mean"].unstack("metric")
    counts = mine.loc[row.size]["count"].groupby("style").max().to_dict()
    forms = {c.name: numbers.column_format(means.get(c.name, []), c.range) for c in cards}
    return [
        {
            "name": style,
            "short": tables.short(str(style), 40),
            "pairs": int(counts[style]),
            "cells": [forms[c.name](values.get(c.name, math.nan)) for c in cards],
        }
        for style, values in means.iterrows()
    ]
