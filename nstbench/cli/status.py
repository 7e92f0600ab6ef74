"""The command ``nstbench status``: the progress of a run, read from its folder."""

from __future__ import annotations

from nstbench.cli.options import RunFolder


def status(run: RunFolder) -> None:
    """Show the units of a run by method and status, and the worker processes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from nstbench.core.text import printable
    from nstbench.pipeline.status import STATES, TO_DO, read_status, work_of

    progress = read_status(run)
    total = progress.total
    shown = [state for state in STATES if total[state] or state in ("done", "failed", TO_DO)]
    table = Table(title=f"Run {escape(printable(run))}", title_justify="left")
    table.add_column("method")
    for head in ("planned", *shown):
        table.add_column(head, justify="right")
    rows = [(printable(variant), counts) for variant, counts in progress.variants.items()]
    if len(rows) != 1:
        rows.append(("all", total))
    for name, counts in rows:
        numbers = (counts.total(), *(counts[state] for state in shown))
        table.add_row(escape(name), *map(str, numbers))
    output = Console()
    output = output if output.is_terminal else Console(width=200)
    output.print(table)
    for worker in progress.workers:
        output.print(
            f"{escape(printable(worker.host))}, process {worker.process}: {work_of(worker)}; "
            f"last heartbeat {worker.silent:.0f} s ago",
            soft_wrap=True,
            highlight=False,
        )
    if not progress.workers:
        output.print("No worker is running.")
