"""Tables on the terminal for the commands that only show something."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from nstbench.cli.show.console import console
from nstbench.cli.show.lists import entries, reason
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.errors import NstbenchError, UsageError, did_you_mean
from nstbench.core.records import Flexibility, Scope
from nstbench.nn.weights.cache import Weight, fetch
from nstbench.nn.weights.status import State, WeightStatus, status
from nstbench.pipeline.time_spent import shares
from nstbench.plan.config import MethodSpec
from nstbench.plan.variants import make_variant
from nstbench.plugins import registry
from nstbench.report.parts.fronts import fronts_of
from nstbench.report.parts.numbers import scaled
from nstbench.report.parts.rows import interval_of, ordered_by, rank_text

_BOARD_METRICS = 7


# --- the board ---------------------------------------------------------------------------


def print_board(board: Board) -> None:
    """Print the leaderboard and where its files are."""
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
    _print_fronts(board, output)
    overhead = harness_overhead(board.info)
    if overhead:
        output.print(overhead)
    for path in sorted((board.root / "report").glob("*")):
        if path.is_file():
            output.print(str(path), soft_wrap=True)


def _print_fronts(board: Board, output: Console) -> None:
    """Print the table of the curves, if the run was a study."""
    found = fronts_of(board)
    if found is None:
        return
    heads, rows = found.table()
    table = Table(title=f"Curves of {found.study.method}", title_justify="left")
    for head in heads:
        table.add_column(escape(head), justify="left" if head == heads[0] else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    output.print(table)


def harness_overhead(info: Mapping[str, Any]) -> str:
    """Say where the wall time of a run went, if anything was stylized."""
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
    value, limits = interval_of(row, name).over(scaled(card.unit)[0]).narrow()
    return f"{value} [dim]{limits}[/dim]" if limits else value


# --- show -------------------------------------------------------------------------------


def print_method(name: str) -> None:
    """Print everything that is known about a method.

    Raises:
        UsageError: if there is no such method.
    """
    variant = make_variant(MethodSpec(name=name), {})
    card = variant.card
    facts = Table(title=escape(card.title), title_justify="left", show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for label, value in (
        ("name", card.method), ("authors", f"{card.authors} ({card.year})"),
        ("paper", card.paper), ("authors' code", card.code), ("family", card.family),
        ("flexibility", card.flexibility), ("licence", card.licence or "not stated"),
        ("optimises", ", ".join(card.trained_on)),
        ("weights", ", ".join(weight.name for weight in card.weights)),
        ("available", "yes" if card.availability.ok else reason(card.availability)),
    ):  # fmt: skip
        if value:
            facts.add_row(label, escape(value))
    for deviation in variant.method.deviations() if variant.method else card.deviations:
        facts.add_row("deviation", escape(deviation))
    output = console()
    output.print(facts)
    if variant.method is None:
        return
    parameters = Table(title="Parameters", title_justify="left")
    for column in ("parameter", "default", "type", "meaning"):
        parameters.add_column(column, overflow="fold")
    for field, description in type(variant.method.params).model_fields.items():
        kind = str(description.annotation).replace("typing.", "")
        kind = kind.removeprefix("<class '").removesuffix("'>")
        default = str(card.defaults[field])
        meaning = description.description or ""
        parameters.add_row(field, escape(default), escape(kind), escape(meaning))
    output.print(parameters)


def print_record(kind: str, record: Mapping[str, Any]) -> None:
    """Print a record of the store: the parts of its key first."""
    output = console()
    parts = record.get("parts", {})
    table = Table(title=f"{kind}: parts of the key", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in parts.items():
        table.add_row(escape(str(name)), escape(str(value)))
    output.print(table)
    rest = {name: value for name, value in record.items() if name != "parts" and value != ""}
    output.print_json(data=rest, default=str)


# --- weights and doctor ------------------------------------------------------------------


def all_weights() -> dict[str, Weight]:
    """Return name -> weight of the shared networks and of every plug-in that loads."""
    from nstbench.nn.backbones.load import SHARED_WEIGHTS

    found = {weight.name: weight for weight in SHARED_WEIGHTS}
    for kind in ("methods", "metrics"):
        for name in registry.names(kind):
            try:
                info = registry.load(kind, name).info
            except registry.PluginError:
                continue
            found |= {weight.name: weight for weight in info.weights}
    return found


def print_weights(*, check: bool) -> bool:
    """Print all weights; return False if one that is here is damaged."""
    rows = [status(weight, check) for weight in all_weights().values()]
    console().print(_weights_table(rows))
    return all(row.state is not State.DAMAGED for row in rows)


def _weights_table(rows: Iterable[WeightStatus]) -> Table:
    table = Table(title="weights", title_justify="left")
    for column in ("name", "state", "from", "MiB", "licence", "sha256", "way out"):
        table.add_column(column, overflow="fold")
    for row in rows:
        size = "" if row.size is None else f"{row.size / 2**20:.1f}"
        fix_for = f"{row.reason}. {row.remedy}" if row.reason else row.remedy
        table.add_row(
            row.name, row.state.value, escape(row.came_from), size, escape(row.licence),
            row.sha256[:12], escape(fix_for),
        )  # fmt: skip
    return table


def fetch_weights(names: Iterable[str]) -> None:
    """Fetch weights with a progress bar.

    Raises:
        UsageError: if a name is unknown.
        WeightsError: if one could not be fetched; the others are fetched first.
    """
    known = all_weights()
    wanted = list(names) or list(known)
    for name in wanted:
        if name not in known:
            raise UsageError(f"There are no weights called '{name}'.{did_you_mean(name, known)}")
    failures: list[NstbenchError] = []
    with Progress(console=Console(stderr=True)) as progress:
        for name in wanted:
            task = progress.add_task(name, total=None)

            def show(file: str, done: int, total: int | None, task: Any = task) -> None:
                progress.update(task, completed=done, total=total)

            try:
                location = fetch(known[name], show)
            except NstbenchError as error:
                failures.append(error)
                progress.update(task, description=f"{name}: failed", total=1, completed=0)
            else:
                size = location.stat().st_size
                progress.update(task, total=size, completed=size)
    if failures:
        raise failures[0]


def print_doctor() -> None:
    """Print versions, devices, what is unavailable and how to mend it."""
    import torch

    from nstbench.core.environment import describe_environment
    from nstbench.core.paths import cache_dir

    output = console()
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    facts = Table(title="machine", title_justify="left", show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    environment = describe_environment(devices[-1])
    packages = environment.pop("packages")
    for name, value in environment.items():
        facts.add_row(name, escape(str(value)))
    facts.add_row("devices", ", ".join(devices))
    facts.add_row("cache", str(cache_dir()))
    for name, version in packages.items():
        facts.add_row(name, version or "[red]not installed[/red]")
    output.print(facts)
    print_weights(check=False)
    problems = Table(title="unavailable", title_justify="left")
    for column in ("what", "why", "way out"):
        problems.add_column(column, overflow="fold")
    for kind in ("methods", "metrics", "datasets"):
        for entry in entries(kind):
            state = entry.availability
            if not state.ok:
                what = f"{kind.rstrip('s')} {entry.name}"
                problems.add_row(what, escape(state.reason), state.remedy)
    output.print(problems if problems.row_count else "Everything is available.")


# --- validate ----------------------------------------------------------------------------


def print_matching(matched: pd.DataFrame, reference: str) -> None:
    """Print how many iterations of ``reference`` reach the loss of each method."""
    from nstbench.training.iterations_to_match import summary

    table = Table(title=f"Iterations of {reference} to the same loss", title_justify="left")
    for heading in ("method", "pairs", "reached", "median", "least", "most"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, row in summary(matched).iterrows():
        counts = [_iterations(row[key]) for key in ("median", "low", "high")]
        table.add_row(escape(str(name)), f"{row['pairs']:.0f}", f"{row['reached']:.0f}", *counts)
    console().print(table)


def _iterations(count: float) -> str:
    return "not reached" if math.isinf(count) else f"{count:.0f}"
