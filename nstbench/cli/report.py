"""The commands ``nstbench report`` and ``nstbench serve``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from nstbench.cli.options import Plugins, add_plugins
from nstbench.core.errors import UsageError


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folder; give several to compare the runs."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; if unset, RUN/report, or comparison for several runs."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Files to write: html,csv,md,tex,parquet,png,svg,pdf; several runs: html,csv,md.",
        ),
    ] = None,
    folder: Annotated[
        bool, typer.Option("--folder", help="Write pictures as files next to the page.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Write the report of a run, which may be unfinished, or a comparison of several runs."""
    from nstbench.analysis.load_board import load_board
    from nstbench.core.yaml_values import split_names
    from nstbench.report.files import write_comparison, write_report

    add_plugins(plugin)
    boards = [load_board(run) for run in runs]
    if len(boards) == 1:
        names = split_names(formats or "html,csv,md,parquet")
        paths = write_report(boards[0], out or runs[0] / "report", names, embed=not folder)
    elif folder:
        raise UsageError("--folder: a comparison has no pictures; leave --folder out.")
    else:
        names = split_names(formats or "html,csv,md")
        paths = write_comparison(boards, out or Path("comparison"), names)
    for path in paths:
        typer.echo(path)


def serve(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a folder of runs.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free one.")
    ] = 8765,
    plugin: Plugins = None,
) -> None:
    """Serve reports to a browser on this machine, and show the progress of a run."""
    from nstbench.report.serve import Server

    add_plugins(plugin)
    with contextlib.suppress(KeyboardInterrupt), Server(run, port) as server:
        typer.echo(f"{server.url} (Ctrl-C ends it)")
        server.serve_forever()
