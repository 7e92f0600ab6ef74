"""Print and fetch network weights, and print what is unavailable and its fix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from nstbench.cli.show.console import console
from nstbench.cli.show.lists import entries
from nstbench.contracts import Weight
from nstbench.core.environment import describe_environment
from nstbench.core.errors import NstbenchError, UsageError, did_you_mean
from nstbench.core.paths import cache_dir
from nstbench.nn.backbones.load import SHARED_WEIGHTS
from nstbench.nn.weights.cache import fetch
from nstbench.nn.weights.status import State, WeightStatus, status
from nstbench.plugins import registry


def all_weights() -> dict[str, Weight]:
    """Return name -> weight of the shared networks and of every plug-in that loads."""
    weights = {weight.name: weight for weight in SHARED_WEIGHTS}
    for kind in ("methods", "metrics"):
        for name in registry.names(kind):
            try:
                info = registry.load(kind, name).info
            except registry.PluginError:
                continue
            weights |= {weight.name: weight for weight in info.weights}
    return weights


def print_weights(*, check: bool) -> bool:
    """Print all weights; return False if a cached file is damaged.

    Args:
        check: compare the checksums of cached files.
    """
    rows = [status(weight, check) for weight in all_weights().values()]
    console().print(_weights_table(rows))
    return all(row.state is not State.DAMAGED for row in rows)


def _weights_table(rows: Iterable[WeightStatus]) -> Table:
    table = Table(title="weights", title_justify="left")
    for column in ("name", "state", "from", "MiB", "licence", "sha256", "fix"):
        table.add_column(column, overflow="fold")
    for row in rows:
        size = "" if row.size is None else f"{row.size / 2**20:.1f}"
        fix = f"{row.reason}. {row.remedy}" if row.reason else row.remedy
        table.add_row(
            row.name, row.state.value, escape(row.came_from), size, escape(row.licence),
            row.sha256[:12], escape(fix),
        )  # fmt: skip
    return table


def fetch_weights(names: Iterable[str]) -> None:
    """Fetch weights with a progress bar.

    Raises:
        UsageError: if a name is unknown.
        WeightsError: if a weight could not be fetched; the others are fetched before.
    """
    weights = all_weights()
    wanted = list(names) or list(weights)
    for name in wanted:
        if name not in weights:
            raise UsageError(f"There are no weights called '{name}'.{did_you_mean(name, weights)}")
    failures: list[NstbenchError] = []
    with Progress(console=Console(stderr=True)) as progress:
        for name in wanted:
            task = progress.add_task(name, total=None)

            def show(file: str, done: int, total: int | None, task: Any = task) -> None:
                progress.update(task, completed=done, total=total)

            try:
                location = fetch(weights[name], show)
            except NstbenchError as error:
                failures.append(error)
                progress.update(task, description=f"{name}: failed", total=1, completed=0)
            else:
                size = location.stat().st_size
                progress.update(task, total=size, completed=size)
    if failures:
        raise failures[0]


def print_doctor() -> None:
    """Print versions, devices and weights, and what is unavailable with its fix."""
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
    for column in ("name", "reason", "fix"):
        problems.add_column(column, overflow="fold")
    for kind in ("methods", "metrics", "datasets"):
        for entry in entries(kind):
            state = entry.availability
            if not state.ok:
                what = f"{kind.rstrip('s')} {entry.name}"
                problems.add_row(what, escape(state.reason), state.remedy)
    output.print(problems if problems.row_count else "Everything is available.")
