"""The leaderboard: all methods with all metrics, intervals and coverage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from markupsafe import Markup

from nstbench.analysis.ranking import done_scores
from nstbench.contracts import Scope, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.text import counted
from nstbench.report import markdown
from nstbench.report.charts import svg
from nstbench.report.latex import leaderboard_tex
from nstbench.report.parts import numbers, standings, templates
from nstbench.report.parts.rows import (
    ENOUGH,
    Row,
    by_size,
    contenders,
    is_home,
    leaderboard_rows,
    measured_gains,
    measured_metrics,
    ordered_by,
    shorten,
    shown_range,
)

SHOWN = 5
"""Metric columns that are visible at first on a board without metrics that have a role."""

PER_STYLE = 6
"""Metric columns of the table per style."""


@dataclass(frozen=True)
class Column:
    """One metric column.

    Attributes:
        card: the metric.
        divisor: values are divided by it.
        unit: unit in the column head.
        form: formats a divided value.
        low: lower end of the interval bars.
        high: upper end of the interval bars.
        best: labels of the rows with the best value.
        shown: True if the column is visible at first.
    """

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
    """One number of the table.

    Attributes:
        text: the number for readers, or the pairs that it counts, as "12 of 14".
        sort: the number for sorting; empty if missing.
        interval: the interval for readers; a count is followed by its share first.
        bar: the interval as a small chart.
        home: True if the method optimises what the metric measures.
        best: True for the best value of the column.
        covered: units with a value, such as "4/6", if done units lack one.
        seeds: standard deviation over seeds, if there are several.
    """

    text: str
    sort: str
    interval: str
    bar: Markup
    home: bool
    best: bool
    covered: str = ""
    seeds: str = ""


class Leaderboard(Section):
    """Sortable table with ranks, coverage and all metrics; also as CSV, Markdown and LaTeX."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Leaderboard",
        order=20,
        files={f: f"leaderboard.{f}" for f in ("csv", "md", "tex")},
    )

    def html(self, board: Board) -> str:
        """Return the table; empty if the run has no methods."""
        rows = leaderboard_rows(board)
        if not rows:
            return ""
        columns = _columns(board, rows)
        pair_cards = [c.card for c in columns if c.card.scope == Scope.PAIR][:PER_STYLE]
        per_style = _per_style(board, pair_cards)
        entries = [
            # a range of ranks has no order of its own, so rows sort by their place on the board
            {"place": place, **_entry(board, row, columns, per_style, pair_cards)}
            for place, row in enumerate(rows, start=1)
        ]
        methods = [e for e in entries if not e["row"].baseline]
        baselines = [e for e in entries if e["row"].baseline]
        groups = [{"name": "methods", "title": "", "rows": methods}]
        if baselines:
            title = "Baselines: trivial methods for comparison"
            groups.append({"name": "baselines", "title": title, "rows": baselines})
        return templates.render(
            "leaderboard.html",
            intro=_intro(board, methods),
            caption=_caption(board),
            columns=columns,
            groups=groups,
            pair_cards=pair_cards,
            enough=f"{100 * ENOUGH:.0f} %",
            several=board.leaderboard["size"].nunique() > 1,
            sets=[c.card.title for c in columns if c.card.scope == Scope.SET],
            counts=[c.card.title for c in columns if any(c.card.name in r.counts for r in rows)],
            any_home=any(cell.home for e in entries for cell in e["cells"]),
        )

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write the table as CSV with full precision, as Markdown or as LaTeX.

        The CSV also has Borda points, Borda ranks and the Pareto fronts.
        """
        if format == "csv":
            table = board.leaderboard.merge(standings.standings(board), on=["size", "method"])
            rest = [column for column in table.columns if column != "method"]
            table = table[["method", *rest]]
            table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
        else:
            text = _markdown(board) if format == "md" else leaderboard_tex(board)
            path.write_text(text, encoding="utf-8", newline="\n")


def _intro(board: Board, methods: list[dict]) -> str:
    quality = board.quality
    if not methods:
        return "This run has no methods besides baselines."
    if quality is None:
        return "This run has no quality metric, so the methods are not ranked."
    direction = "higher" if quality.higher_is_better else "lower"
    order = ordered_by(board) or f"Ordered by {quality.title}."
    return f"{order} {direction.capitalize()} is better. {quality.description}"


def _caption(board: Board) -> str:
    pairs = board.units[["content", "style"]].drop_duplicates()
    contents, styles = pairs["content"].nunique(), pairs["style"].nunique()
    return (
        f"{counted(board.leaderboard['method'].nunique(), 'method')} on "
        f"{counted(len(pairs), 'pair')} ({counted(contents, 'content')}, "
        f"{counted(styles, 'style')})"
    )


def _columns(board: Board, rows: list[Row]) -> list[Column]:
    cards = measured_metrics(board)
    with_role = [c for c in cards if c.role]
    # with the column of memory the table would be wider than most windows
    first = {c.name for c in with_role if c.role != "memory"}
    first = first or {c.name for c in cards[:SHOWN]}
    gains = [_column(card, rows, shown=False) for card in measured_gains(board)]
    return [*(_column(card, rows, card.name in first) for card in cards), *gains]


def _column(card: MetricCard, rows: list[Row], shown: bool) -> Column:
    cells = [row.of(card) for row in rows]
    values = [cell.value for cell in cells]
    divisor, unit = numbers.scaled(card.unit)
    form = numbers.column_format([v / divisor for v in values], card.range)
    if unit == "s":
        # values range from microseconds to minutes, so every number has its own unit
        form, unit = numbers.seconds, ""
    groups = [contenders(group, card) for group in by_size(rows)]
    low, high = shown_range(rows, card)
    return Column(
        card=card,
        divisor=divisor,
        unit=unit,
        form=form,
        low=low,
        high=high,
        best=frozenset(label for group in groups for label in _best(group, card)),
        shown=shown,
    )


def _best(rows: list[Row], card: MetricCard) -> list[str]:
    least = min((r.loss(card) for r in rows), default=math.nan)
    return [r.label for r in rows if r.loss(card) == least]


def _entry(
    board: Board,
    row: Row,
    columns: list[Column],
    per_style: pd.DataFrame,
    pair_cards: list[MetricCard],
) -> dict:
    method = board.methods.get(row.method)
    return {
        "row": row,
        "short": shorten(row.label, 40),
        "icon": svg.shape(svg.SHAPES.get(row.flexibility, "circle"), 8, 8, 5.5),
        "share": f"{row.done / max(1, row.planned):.6g}",
        "cells": [_cell(row, c, is_home(method, c.card), row.label in c.best) for c in columns],
        "styles": _styles(row, per_style, pair_cards),
    }


def _cell(row: Row, column: Column, home: bool, best: bool) -> Cell:
    value = row.of(column.card)
    spread = row.seeds.get(column.card.name, math.nan)

    def text(number: float) -> str:
        return column.form(number / column.divisor)

    bounded = value.known and value.bounded
    ends = f"[{text(value.low)}, {text(value.high)}]" if bounded else ""
    count = row.counts.get(column.card.name, "") if value.known else ""
    return Cell(
        text=count or text(value.value),
        sort=repr(value.value) if value.known else "",
        interval=f"{text(value.value)} {ends}".rstrip() if count else ends,
        bar=svg.interval_bar(value, column.low, column.high),
        home=home and value.known,
        best=best,
        covered=row.covered.get(column.card.name, "") if value.known else "",
        seeds="" if math.isnan(spread) else text(spread),
    )


def _per_style(board: Board, cards: list[MetricCard]) -> pd.DataFrame:
    """Return means over pairs, and numbers of pairs, per method, size, style and metric."""
    scores = done_scores(board.scores, board.units)
    wanted = scores[scores["metric"].isin([c.name for c in cards]) & (scores["part"] == "")]
    wanted = wanted[np.isfinite(wanted["value"].astype(float))]
    style = ["method", "size", "style", "metric"]
    pairs = wanted.groupby([*style, "content"])["value"].mean()
    return pairs.groupby(style, sort=True).agg(["mean", "count"])


def _styles(row: Row, per_style: pd.DataFrame, cards: list[MetricCard]) -> list[dict]:
    if row.method not in per_style.index.get_level_values("method"):
        return []
    styles = per_style.loc[row.method]
    if row.size not in styles.index.get_level_values("size"):
        return []
    means = styles.loc[row.size]["mean"].unstack("metric")
    counts = styles.loc[row.size]["count"].groupby("style").max().to_dict()
    forms = {c.name: numbers.column_format(means.get(c.name, []), c.range) for c in cards}
    return [
        {
            "name": style,
            "short": shorten(str(style), 40),
            "pairs": int(counts[style]),
            "cells": [forms[c.name](values.get(c.name, math.nan)) for c in cards],
        }
        for style, values in means.iterrows()
    ]


def _with_notes(row: Row, card: MetricCard) -> str:
    """Return a value with its interval, its spread over seeds, and its coverage if incomplete."""
    divisor = numbers.scaled(card.unit)[0]
    text = row.of(card).over(divisor).text()
    if count := row.counts.get(card.name, ""):
        text = f"{count} ({text})"
    spread = row.seeds.get(card.name, math.nan) / divisor
    seeds = "" if math.isnan(spread) else f" ± {numbers.significant(spread, 2)} over seeds"
    covered = row.covered.get(card.name, "") if row.of(card).known else ""
    return text + seeds + (f" ({covered})" if covered else "")


def _markdown(board: Board) -> str:
    """Return the leaderboard with intervals, units and arrows in Markdown, baselines last."""
    metrics, quality = measured_metrics(board), board.quality
    heads = ["Rank", "Method", "Class", "Coverage"]
    for card in metrics:
        unit = numbers.scaled(card.unit)[1]
        arrow = "↑" if card.higher_is_better else "↓"
        heads.append(f"{card.title}{f' ({unit})' if unit else ''} {arrow}")
    rows = []
    for row in sorted(leaderboard_rows(board), key=lambda row: row.baseline):
        name = f"{row.label} (baseline)" if row.baseline else row.label
        values = [_with_notes(row, card) for card in metrics]
        rows.append([row.rank, name, row.flexibility, row.coverage, *values])
    parts = [
        markdown.table(heads, rows, "rll" + "r" * (len(heads) - 3)),
        "Brackets are 95 % intervals; an en dash means not measured.",
        markdown.escape(ordered_by(board)),
        "" if quality is None else markdown.escape(f"{quality.title}: {quality.description}"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
