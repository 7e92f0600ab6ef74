"""The command line: it parses options, calls the package and prints.

Torch and pandas are imported by the commands that need them, so that help is shown fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nstbench import __version__
from nstbench.cli import run as run_commands
from nstbench.cli.check import baseline_app, check, history_app
from nstbench.cli.extend import conformance, new_app
from nstbench.cli.options import (
    Device,
    MethodName,
    Plugins,
    RunFolder,
    add_plugins,
    check_writable,
)
from nstbench.cli.report import report, serve
from nstbench.cli.score import score
from nstbench.cli.show.help import Overview
from nstbench.cli.status import status
from nstbench.cli.train import add_train, checkpoints_app, match
from nstbench.cli.validate import validate
from nstbench.core.errors import NstbenchError, UsageError, fix_for
from nstbench.core.text import counted, printable
from nstbench.pipeline.interrupt import CONTINUE

app = typer.Typer(
    cls=Overview,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The benchmark for neural style transfer: run, score, time and rank every method.",
)
list_app = typer.Typer(
    no_args_is_help=True, help="List plug-ins, suites and checkpoints with their availability."
)
weights_app = typer.Typer(no_args_is_help=True, help="Network weights: list, fetch, verify.")
datasets_app = typer.Typer(no_args_is_help=True, help="Preview datasets.")
app.add_typer(list_app, name="list")
app.add_typer(weights_app, name="weights")
app.add_typer(datasets_app, name="datasets")
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(new_app, name="new")
app.add_typer(baseline_app, name="baseline")
app.add_typer(history_app, name="history")


def _version(show: bool) -> None:
    if show:
        typer.echo(f"nstbench {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


run_commands.add_commands(app)
app.command()(status)
app.command()(score)
add_train(app)
app.command()(match)
app.command()(report)
app.command()(serve)
app.command()(conformance)
app.command()(check)


@app.command()
def maps(
    run: RunFolder,
    device: Device = "auto",
    plugin: Plugins = None,
) -> None:
    """Draw maps of the errors in each output of a run, and add them to its gallery."""
    from nstbench.analysis.load_board import load_board
    from nstbench.core.environment import resolve_device
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.report.error_maps import write_maps
    from nstbench.report.files import write_report

    add_plugins(plugin)
    device = resolve_device(device)
    listener = TerminalListener()
    try:
        count = write_maps(run, device, listener)
    finally:
        listener.close()
    typer.echo(f"error maps of {counted(count, 'output')}")
    board = load_board(run)
    for path in write_report(board, run / "report", board.info["config"]["formats"]):
        typer.echo(path)


@app.command()
def show(method: MethodName, plugin: Plugins = None) -> None:
    """Show a method: paper, parameters with defaults, deviations, requirements."""
    from nstbench.cli.show.method import print_method

    add_plugins(plugin)
    print_method(method)


app.command()(validate)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="Key of an output or score, or its first letters.")],
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/starter"),
) -> None:
    """Print the data that a key is the checksum of, and the record under that key."""
    from nstbench.cli.show.method import print_record
    from nstbench.store.store import Store

    print_record(*Store.open(run).find_key(key))


@app.command()
def doctor() -> None:
    """Show versions, devices and weights, and a fix for everything that is unavailable."""
    from nstbench.cli.show.weights import print_doctor

    print_doctor()


def _list_command(kind: str) -> Any:
    def command(plugin: Plugins = None) -> None:
        from nstbench.cli.show.lists import print_list

        add_plugins(plugin)
        print_list(kind)

    command.__doc__ = f"List all {kind} with their availability."
    return command


for _kind in ("methods", "metrics", "datasets", "suites"):
    list_app.command(_kind)(_list_command(_kind))


@list_app.command("checkpoints")
def list_checkpoints() -> None:
    """List the trained networks that runs use, with the cost of their training."""
    from nstbench.cli.show.checkpoints import print_checkpoints

    print_checkpoints()


@weights_app.command("list")
def weights_list() -> None:
    """List all weights with their state and source."""
    from nstbench.cli.show.weights import print_weights

    print_weights(check=False)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of weights; all if none is given.")
    ] = None,
) -> None:
    """Fetch weights into the cache."""
    from nstbench.cli.show.weights import fetch_weights

    fetch_weights(names or [])


@weights_app.command("verify")
def weights_verify() -> None:
    """Compare the checksums of all cached weights with the pinned ones."""
    from nstbench.cli.show.weights import print_weights

    if not print_weights(check=True):
        raise typer.Exit(1)


@datasets_app.command("preview")
def datasets_preview(
    name: Annotated[str, typer.Argument(help="Dataset or folder.")],
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("contact_sheet.png"),
) -> None:
    """Write a contact sheet of a dataset."""
    from nstbench.pictures.contact_sheet import contact_sheet
    from nstbench.pictures.picture import write_png
    from nstbench.plan.variants import open_dataset

    if out.suffix.lower() != ".png":
        raise UsageError(
            f"--out {out}: the contact sheet is a PNG file; give a name that ends in .png."
        )
    check_writable("--out", out)
    dataset = open_dataset(name, "datasets preview")
    # a picture that has both roles is shown once
    images = list(
        {i.path: i for role in dataset.info.roles for i in dataset.load(role).images}.values()
    )
    write_png(out, contact_sheet(images))
    typer.echo(f"{out}: {counted(len(images), 'picture')}")


def main() -> None:
    """Run the command line; errors that a user can fix end with exit code 2, without traceback."""
    try:
        app()
    except NstbenchError as error:
        _fail(str(error), 2)
    except OSError as error:
        fix = fix_for(error)
        if not fix:
            raise
        where = f"{error.filename} cannot be used" if error.filename else "The disk"
        _fail(
            f"{where}: {error.strerror}. Finished results are kept: {fix}, then run "
            "the same command again.",
            2,
        )
    except SystemExit as ended:
        # the exit code of Typer for KeyboardInterrupt
        if ended.code == 130:
            _fail(f"Interrupted. {CONTINUE}", 130)
        raise


def _fail(message: str, code: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    shown = "\n".join(printable(line) for line in message.splitlines())
    Console(stderr=True).print(f"[bold red]error[/bold red] {escape(shown)}")
    sys.exit(code)
