"""Print the board of a run: the leaderboard, the curves of a study, and the time by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nstbench.cli.show.console import console
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Flexibility, Scope
from nstbench.pipeline.time_spent import shares
from nstbench.report.parts.fronts import fronts_of
from nstbench.report.parts.numbers import scaled, significant
from nstbench.report.parts.rows import (
    count_of,
    coverage_of,
    interval_of,
    ordered_by,
    rank_text,
    spread_of,
)

_BOARD_METRICS = 7


def print_board(board: Board) -> None:
    """Print the leaderboard and the paths of the report files."""
    shown = [
        name
        for name, card in board.metrics.items()
        if name in board.leaderboard and (card.role or card.scope == Scope.PAIR)
    ]
    shown.sort(key=lambda name: (board.metrics[name].role == "", board.metrics[name].order))
    shown = shown[:_BOARD_METRICS]
    table = Table(title=f"Leaderboard of {board.root}", title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("method")
    table.add_column("coverage", justify="right")
    for name in shown:
        card = board.metrics[name]
        shown_unit = scaled(card.unit)[1]
        unit = f" [{shown_unit}]" if shown_unit else ""
        arrow = "↑" if card.higher_is_better else "↓"
        table.add_column(escape(f"{card.title}{unit} {arrow}"), justify="right")
    several = board.leaderboard["size"].nunique() > 1
    for row in board.leaderboard.to_dict("records"):
        baseline = row["flexibility"] == Flexibility.BASELINE
        name = str(row["method"]) + (f" ({row['size']} px)" if several else "")
        table.add_row(
            rank_text(row),
            escape(name) + (" [dim](baseline)[/dim]" if baseline else ""),
            str(row["coverage"]),
            *(_number(row, name, board.metrics[name]) for name in shown),
        )
    output = console()
    output.print(table)
    if order := ordered_by(board):
        output.print(escape(order))
    if board.quality is not None:
        output.print(escape(f"{board.quality.title}: {board.quality.description}"))
    _print_fronts(board, output)
    overhead = harness_overhead(board.info)
    if overhead:
        output.print(overhead)
    for path in sorted((board.root / "report").glob("*")):
        if path.is_file():
            output.print(str(path), soft_wrap=True)


def _print_fronts(board: Board, output: Console) -> None:
    """Print the table of the curves, if the run is a study."""
    fronts = fronts_of(board)
    if fronts is None:
        return
    heads, rows = fronts.table()
    table = Table(title=f"Curves of {fronts.study.method}", title_justify="left")
    for head in heads:
        table.add_column(escape(head), justify="left" if head == heads[0] else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    output.print(table)


def harness_overhead(info: Mapping[str, Any]) -> str:
    """Return a sentence on the wall time of a run by stage; empty if no unit was generated."""
    wall, stylize = info.get("wall_seconds"), info.get("stylize_seconds")
    if not wall or not stylize:
        return ""
    stages = "".join(
        f", {name} {seconds:.1f} s" for name, seconds in info.get("stage_seconds", {}).items()
    )
    parts = shares(info)
    overhead = parts.get("harness", 0.0) / (sum(parts.values()) - parts.get("report", 0.0))
    return (
        f"{wall:.1f} s in all{stages}. Workers: stylize {stylize:.1f} s, load and prepare "
        f"{info.get('setup_seconds', 0.0):.1f} s, harness {info.get('harness_seconds', 0.0):.1f} s "
        f"({overhead:.1%} of the time without the report)"
    )


def _number(row: Mapping[Any, Any], name: str, card: MetricCard) -> str:
    divisor = scaled(card.unit)[0]
    value, limits = interval_of(row, name).over(divisor).narrow()
    spread = spread_of(row, name) / divisor
    count = count_of(row, name)
    if count:
        value, limits = count, f"{value} {limits}".rstrip()
    further = [
        limits,
        "" if math.isnan(spread) else f"± {significant(spread, 2)} over seeds",
        coverage_of(row, name),
    ]
    text = ", ".join(filter(None, further))
    return f"{value} [dim]{text}[/dim]" if text else value
