"""The command line. Thin: it parses, calls and prints; torch is imported by commands only."""

from __future__ import annotations

import errno
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench import __version__
from nstbench.cli_check import baseline_app, check, history_app
from nstbench.cli_extend import conformance, new_app
from nstbench.cli_options import Plugins, RunFolder, add_plugins
from nstbench.cli_report import report, serve
from nstbench.cli_score import score
from nstbench.cli_status import status
from nstbench.cli_train import match, train
from nstbench.cli_validate import validate
from nstbench.errors import NstbenchError, UsageError
from nstbench.interrupt import GO_ON
from nstbench.names import printable

if TYPE_CHECKING:
    from nstbench.board import Board

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

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


def _settings(
    suite: Annotated[str | None, typer.Option(help="Suite that gives the defaults.")] = None,
    contents: Annotated[str | None, typer.Option(help="Dataset or folder of contents.")] = None,
    styles: Annotated[str | None, typer.Option(help="Dataset or folder of styles.")] = None,
    metrics: Annotated[str | None, typer.Option(help="all, or names: a,b")] = None,
    limit: Annotated[int | None, typer.Option(help="First N contents and styles only.")] = None,
    contents_per_style: Annotated[
        int | None, typer.Option(help="Pair each style with this many contents, in rotation.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels.")] = None,
    fit: Annotated[
        str | None, typer.Option(help="crop (square) or inside (keep the aspect).")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed; repeatable.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    executor: Annotated[
        str | None, typer.Option(help="local, or ray: workers on the nodes of a Ray cluster.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Ray cluster (auto, host:port); started here if unset.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help="Devices that workers take in turn: cuda:0,cuda:1")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; one per device if unset.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of each worker.")] = None,
    pairs_per_batch: Annotated[
        str | None, typer.Option(help="Pairs that a worker does at once: auto, or a number.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="Memory a worker may take, for example 4GiB.")
    ] = None,
    timing_repeats: Annotated[
        int | None, typer.Option(help="Timed calls per method and size; 0 for none.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a unit may take.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="missing: run what has no result. never: run everything again. "
            "always: accept results made by other versions of a method's code, too."
        ),
    ] = None,
    retry: Annotated[
        str | None, typer.Option(help="Run units with these outcomes again: failed,timeout,oom.")
    ] = None,
    formats: Annotated[str | None, typer.Option("--format", help="Report files.")] = None,
    train_missing: Annotated[
        bool, typer.Option("--train-missing", help="First train what has no checkpoint.")
    ] = False,
    train_steps: Annotated[int | None, typer.Option(help="Steps of such a training.")] = None,
    train_contents: Annotated[
        str | None, typer.Option(help="Contents of such a training; the run's if unset.")
    ] = None,
    plugin: Plugins = None,
    config: Annotated[
        Path | None,
        typer.Option("-c", "--config", help="YAML or TOML file with any of these settings."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Draw where the time went, when it is over.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
) -> Callable[[Mapping[str, Any]], None]:
    """Return what runs the benchmark with these settings and the command's own."""
    options: dict[str, Any] = {
        "contents": contents, "styles": styles, "metrics": metrics,
        "limit": limit, "contents_per_style": contents_per_style, "size": size, "fit": fit,
        "seeds": tuple(seed) if seed else None, "device": device, "devices": devices,
        "executor": executor, "ray_address": ray_address, "workers": workers,
        "threads": threads, "pairs_per_batch": pairs_per_batch, "memory_limit": memory_limit,
        "timing_repeats": timing_repeats, "timeout": timeout, "out": out, "resume": resume,
        "retry": retry, "formats": formats, "plugins": tuple(plugin) if plugin else None,
        "train_missing": train_missing or None, "train_steps": train_steps,
        "train_contents": train_contents,
    }  # fmt: skip

    def execute(own: Mapping[str, Any]) -> None:
        board = _execute({**own, **options}, suite, config, dry_run)
        if profile and board is not None:
            from nstbench.tables_profile import print_profile

            print_profile(board)

    return execute


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of ``_settings``, and what that returns as first argument."""
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = inspect.signature(_settings, eval_str=True).parameters

    def call(**given: Any) -> None:
        settings = {name: given.pop(name) for name in shared}
        command(**{first.name: _settings(**settings)}, **given)

    parameters = [*own, *shared.values()]
    # Typer reads the options off these
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call


def _execute(
    options: Mapping[str, Any], suite: str | None, config: Path | None, dry_run: bool
) -> Board | None:
    """Run the benchmark, print its board and return it."""
    from nstbench.config import build_config

    settings = build_config(options, suite=suite, file=config)

    from nstbench import tables
    from nstbench.interrupt import Interrupted
    from nstbench.pipeline import execute
    from nstbench.progress import TerminalListener

    listener = TerminalListener()
    try:
        board = execute(
            settings,
            command=shlex.join(["nstbench", *sys.argv[1:]]),
            listener=listener,
            dry_run=dry_run,
        )
    except Interrupted as interrupted:
        listener.close()
        tables.print_board(interrupted.board)
        raise
    finally:
        listener.close()
    if board is not None:
        tables.print_board(board)
    return board


@app.command()
@_with_settings
def run(
    execute: Callable[[Mapping[str, Any]], None],
    methods: Annotated[
        str | None, typer.Option(help="all, or names: a,b:param=value,other=value")
    ] = None,
) -> None:
    """Run methods over pictures, score and time them, and write the report."""
    execute({"methods": methods})


@app.command()
@_with_settings
def sweep(
    execute: Callable[[Mapping[str, Any]], None],
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="Name, or name:param=value to fix parameters.")
    ],
    grid: Annotated[
        list[str],
        typer.Option(
            help="Values of parameters: size=1..8:4,kind=a,b; repeatable. first..last:count is a "
            "range, logarithmic if it spans a factor of 10; a list stands in brackets."
        ),
    ],
    along: Annotated[
        str, typer.Option(help="Parameter that varies along a curve; the first numeric one.")
    ] = "",
) -> None:
    """Run a parameter grid of one method and draw its trade-offs of content and style as curves.

    Ready studies are suites: nstbench run --suite studies/optimizers.
    """
    from nstbench.config import parse_named

    try:
        name, params = parse_named(method)
    except ValueError as error:
        raise UsageError(f"METHOD {method}: {error}.") from None
    execute({"study": {"method": name, "params": params, "grid": grid, "along": along}})


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
    from nstbench.environment import resolve_device
    from nstbench.error_maps import write_maps
    from nstbench.progress import TerminalListener
    from nstbench.report import write_report
    from nstbench.run_files import load_board

    add_plugins(plugin)
    listener = TerminalListener()
    try:
        count = write_maps(run, resolve_device(device), listener)
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
    from nstbench import tables

    add_plugins(plugin)
    tables.print_method(method)


app.command()(validate)


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="Key of a result, or its first letters.")],
    run: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/starter"),
) -> None:
    """Print the plain data that a result's key was made from, and what became of it."""
    from nstbench import tables
    from nstbench.store import Store

    tables.print_record(*Store(run).find_key(key))


@app.command()
def doctor() -> None:
    """Show versions, devices and weights, and how to mend what is unavailable."""
    from nstbench import tables

    tables.print_doctor()


def _list_command(kind: str) -> Any:
    def command(plugin: Plugins = None) -> None:
        from nstbench.listing import print_list

        add_plugins(plugin)
        print_list(kind)

    command.__doc__ = f"List all {kind} with their availability."
    return command


for _kind in ("methods", "metrics", "datasets", "suites"):
    list_app.command(_kind)(_list_command(_kind))


@list_app.command("checkpoints")
def list_checkpoints() -> None:
    """List the trained networks that runs find: what they do, and what their training took."""
    from nstbench.checkpoint_table import print_checkpoints

    print_checkpoints()


@weights_app.command("list")
def weights_list() -> None:
    """List all weights, where they are and where they come from."""
    from nstbench import tables

    tables.print_weights(check=False)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Names; all if none is given.")] = None,
) -> None:
    """Fetch weights into the cache."""
    from nstbench import tables

    tables.fetch_weights(names or [])


@weights_app.command("verify")
def weights_verify() -> None:
    """Compare the checksums of all cached weights with the pinned ones."""
    from nstbench import tables

    if not tables.print_weights(check=True):
        raise typer.Exit(1)


@datasets_app.command("preview")
def datasets_preview(
    name: Annotated[str, typer.Argument(help="Dataset or folder.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("contact_sheet.png"),
) -> None:
    """Write a contact sheet of a dataset."""
    from nstbench.catalog import open_dataset
    from nstbench.contact_sheet import contact_sheet
    from nstbench.images import write_png

    dataset = open_dataset(name, "datasets preview")
    images = [image for role in dataset.info.roles for image in dataset.load(role).images]
    write_png(out, contact_sheet(list(dict.fromkeys(images))))
    typer.echo(f"{out}: {len(images)} pictures")


def main() -> None:
    """Run the command line; errors a user can mend end with exit code 2 and no traceback."""
    try:
        app()
    except NstbenchError as error:
        _fail(str(error), 2)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        where = f"{error.filename} cannot be written" if error.filename else "The disk"
        _fail(
            f"{where}: {error.strerror}. What was computed before is intact; free space or "
            "change permissions, then run the same command again.",
            2,
        )
    except SystemExit as ended:
        # what Typer makes of KeyboardInterrupt
        if ended.code == 130:
            _fail(f"Interrupted. {GO_ON}", 130)
        raise


def _fail(message: str, code: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    shown = "\n".join(printable(line) for line in message.splitlines())
    Console(stderr=True).print(f"[bold red]error[/bold red] {escape(shown)}")
    sys.exit(code)
