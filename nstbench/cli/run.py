"""The commands ``nstbench run`` and ``nstbench sweep``, which share the settings of a run."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench.cli.options import ConfigFile, add_command, model_options
from nstbench.core.errors import UsageError
from nstbench.core.text import printable

if TYPE_CHECKING:
    from nstbench.core.board import Board

Profile = Annotated[
    bool, typer.Option("--profile", help="At the end, show the time by stage and method.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``run`` and ``sweep``."""
    add_command(app, run, run_options)
    add_command(app, sweep, lambda: [o for o in run_options() if o.name != "methods"])


def run_options() -> list[inspect.Parameter]:
    """Return the options that set the fields of :class:`nstbench.plan.config.RunConfig`."""
    from nstbench.plan.config import RunConfig

    return model_options(RunConfig)


def run(
    settings: Mapping[str, Any],
    *,
    config: ConfigFile = None,
    profile: Profile = False,
    dry_run: DryRun = False,
) -> None:
    """Run methods over pictures, score and time them, and write the report.

    Exit code 0, or 1 if a method that could run has no output, or 2 if the command was wrong.
    """
    _run(settings, config, profile, dry_run)


def sweep(
    settings: Mapping[str, Any],
    *,
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="Name, or name:param=value to fix parameters.")
    ],
    grid: Annotated[
        list[str],
        typer.Option(
            help="Values of parameters: size=1..8:4,kind=a,b; repeatable. first..last:count is a "
            "range, logarithmic if it spans a factor of 10 or more; write a list in brackets."
        ),
    ],
    along: Annotated[
        str, typer.Option(help="Parameter that varies along a curve; the first numeric one.")
    ] = "",
    config: ConfigFile = None,
    profile: Profile = False,
    dry_run: DryRun = False,
) -> None:
    """Run a parameter grid of one method and draw its trade-offs of content and style as curves.

    Some studies are suites: nstbench run --suite studies/optimizers.
    """
    from nstbench.plan.config import parse_named

    try:
        name, params = parse_named(method)
    except ValueError as error:
        raise UsageError(f"METHOD {method}: {error}.") from None
    study = {"method": name, "params": params, "grid": grid, "along": along}
    _run({**settings, "study": study}, config, profile, dry_run)


def _run(settings: Mapping[str, Any], config: Path | None, profile: bool, dry_run: bool) -> None:
    """Run the benchmark, print its board, and end with exit code 1 without output."""
    from nstbench.plan.config_file import build_config

    options = dict(settings)
    suite = options.pop("suite", None)
    # a wrong setting is reported before torch is imported
    built = build_config(options, suite=suite, file=config)

    from nstbench.cli.show.board import print_board
    from nstbench.cli.show.profile import print_profile
    from nstbench.pipeline.interrupt import Interrupted
    from nstbench.pipeline.job import execute
    from nstbench.pipeline.progress import TerminalListener

    command = shlex.join(["nstbench", *sys.argv[1:]])
    listener = TerminalListener()
    try:
        board = execute(built, command=command, listener=listener, dry_run=dry_run)
    except Interrupted as interrupted:
        listener.close()
        print_board(interrupted.board)
        raise
    finally:
        listener.close()
    if board is None:
        return
    print_board(board)
    if profile:
        print_profile(board)
    _fail_without_output(board)


def _fail_without_output(board: Board) -> None:
    """End with exit code 1 if a method that could run, or the whole run, has no output."""
    from nstbench.generate.outcomes import without_output

    methods = without_output(board.units)
    if methods:
        names = ", ".join(map(printable, methods))
        typer.echo(f"No output of: {names}. The report gives the reasons.", err=True)
        raise typer.Exit(1)
