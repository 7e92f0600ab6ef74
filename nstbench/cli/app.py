"""The command line. Thin: it parses, calls and prints; torch is imported by commands only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nstbench import __version__
from nstbench.cli.check import baseline_app, check, history_app
from nstbench.cli.extend import conformance, new_app
from nstbench.cli.options import Plugins, RunFolder, add_plugins, check_writable
from nstbench.cli.report import report, serve
from nstbench.cli.run import run, sweep
from nstbench.cli.score import score
from nstbench.cli.status import status
from nstbench.cli.train import match, train
from nstbench.cli.validate import validate
from nstbench.core.errors import NstbenchError, UsageError, fix_for
from nstbench.core.text import printable
from nstbench.pipeline.interrupt import CONTINUE

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The benchmark for neural style transfer: run, score, time and rank every method.",
)
list_app = typer.Typer(no_args_is_help=True, help="List what there is, and whether it can be used.")
weights_app = typer.Typer(no_args_is_help=True, help="Network weights: list, fetch, verify.")
datasets_app = typer.Typer(no_args_is_help=True, help="Look at datasets.")
app.add_typer(list_app, name="list")
app.add_typer(weights_app, name="weights")
app.add_typer(datasets_app, name="datasets")
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


app.command()(run)
app.command()(sweep)
app.command()(status)
app.command()(score)
app.command()(train)
app.command()(match)
app.command()(report)
app.command()(serve)
app.command()(conformance)
app.command()(check)


@app.command()
def maps(
    run: RunFolder,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    plugin: Plugins = None,
) -> None:
    """Draw where in each output of a run the errors arise, and add that to its gallery."""
    from nstbench.analysis.load_board import load_board
    from nstbench.core.environment import resolve_device
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.report.error_maps import write_maps
    from nstbench.report.page import write_report

    add_plugins(plugin)
    device = resolve_device(device)
    listener = TerminalListener()
    try:
        count = write_maps(run, device, listener)
    finally:
        listener.close()
    typer.echo(f"error maps of {count} outputs")
    board = load_board(run)
    for path in write_report(board, run / "report", board.info["config"]["formats"]):
        typer.echo(path)


@app.command()
def show(
    method: Annotated[str, typer.Argument(help="Name of a method.")], plugin: Plugins = None
) -> None:
    """Show a method: paper, parameters with defaults, deviations, what it needs."""
    from nstbench.cli.show import board as tables

    add_plugins(plugin)
    tables.print_method(method)


app.command()(validate)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="Key of a result, or its first letters.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/starter"),
) -> None:
    """Print the plain data that a result's key was made from, and what became of it."""
    from nstbench.cli.show import board as tables
    from nstbench.store.store import Store

    tables.print_record(*Store.open(run).find_key(key))


@app.command()
def doctor() -> None:
    """Show versions, devices and weights, and how to mend what is unavailable."""
    from nstbench.cli.show import board as tables

    tables.print_doctor()


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
    """List the trained networks that runs find: what they do, and what their training took."""
    from nstbench.cli.show.checkpoints import print_checkpoints

    print_checkpoints()


@weights_app.command("list")
def weights_list() -> None:
    """List all weights, where they are and where they come from."""
    from nstbench.cli.show import board as tables

    tables.print_weights(check=False)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all if none is given.")] = None,
) -> None:
    """Fetch weights into the cache."""
    from nstbench.cli.show import board as tables

    tables.fetch_weights(names or [])


@weights_app.command("verify")
def weights_verify() -> None:
    """Compare the checksums of all cached weights with the pinned ones."""
    from nstbench.cli.show import board as tables

    if not tables.print_weights(check=True):
        raise typer.Exit(1)


@datasets_app.command("preview")
def datasets_preview(
    name: Annotated[str, typer.Argument(help="Dataset or folder.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("contact_sheet.png"),
) -> None:
    """Write a contact sheet of a dataset."""
    from nstbench.core.text import counted
    from nstbench.pictures.contact_sheet import contact_sheet
    from nstbench.pictures.picture import write_png
    from nstbench.plan.variants import open_dataset

    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: the sheet is a PNG picture; give a name that ends in .png.")
    check_writable("--out", out)
    dataset = open_dataset(name, "datasets preview")
    # one that serves both roles is shown once
    images = list(
        {i.path: i for role in dataset.info.roles for i in dataset.load(role).images}.values()
    )
    write_png(out, contact_sheet(images))
    typer.echo(f"{out}: {counted(len(images), 'picture')}")


def main() -> None:
    """Run the command line; errors a user can mend end with exit code 2 and no traceback."""
    try:
        app()
    except NstbenchError as error:
        _fail(str(error), 2)
    except OSError as error:
        mend = fix_for(error)
        if not mend:
            raise
        where = f"{error.filename} cannot be used" if error.filename else "The disk"
        _fail(
            f"{where}: {error.strerror}. What was computed before is intact: {mend}, then run "
            "the same command again.",
            2,
        )
    except SystemExit as ended:
        # what Typer makes of KeyboardInterrupt
        if ended.code == 130:
            _fail(f"Interrupted. {CONTINUE}", 130)
        raise


def _fail(message: str, code: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    shown = "\n".join(printable(line) for line in message.splitlines())
    Console(stderr=True).print(f"[bold red]error[/bold red] {escape(shown)}")
    sys.exit(code)
