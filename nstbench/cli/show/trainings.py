"""The table at the end of ``nstbench checkpoints train``."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from nstbench.core.text import readable_seconds
from nstbench.training.listed.results import Result, Results


def results_table(results: Results) -> Table:
    """Return a table with a row per training: what it had, its losses, and its status."""
    table = Table(title="trainings", title_justify="left")
    table.add_column("checkpoint")
    for column in ("steps", "time", "steps/s", "first loss", "last loss", "held out", "at start"):
        table.add_column(column, justify="right")
    for column in ("status", "file"):
        table.add_column(column)
    for result in results.trainings.values():
        table.add_row(
            escape(result.name), f"{result.steps:,}", readable_seconds(result.seconds),
            _rate(result),
            *map(
                _loss,
                (
                    result.first_loss, result.last_loss,
                    result.held_out_loss, result.held_out_loss_of_start,
                ),
            ),
            escape(f"{result.status}: {result.reason}" if result.reason else result.status),
            escape(result.file),
        )  # fmt: skip
    return table


def print_results(results: Results) -> None:
    """Print the table."""
    from nstbench.cli.show.console import console

    console().print(results_table(results))


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _rate(result: Result) -> str:
    """Return the steps per second of its own part of the device's time."""
    return f"{1 / result.step_seconds:.3g}" if result.step_seconds else ""
