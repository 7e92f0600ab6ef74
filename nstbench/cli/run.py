"""``nstbench run`` and ``nstbench sweep``, which share all settings of a run."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench.cli.options import Plugins
from nstbench.core.errors import UsageError
from nstbench.core.text import printable

if TYPE_CHECKING:
    from nstbench.core.board import Board


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
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of timing and of each worker; all available if unset."),
    ] = None,
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
        if board is None:
            return
        if profile:
            from nstbench.cli.show.profile import print_profile

            print_profile(board)
        _fail_without_output(board)

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
    from nstbench.plan.config_file import build_config

    settings = build_config(options, suite=suite, file=config)

    from nstbench.cli.show import board as tables
    from nstbench.pipeline.interrupt import Interrupted
    from nstbench.pipeline.job import execute
    from nstbench.pipeline.progress import TerminalListener

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


def _fail_without_output(board: Board) -> None:
    """End with exit code 1 if a method that could run, or the whole run, came to nothing."""
    from nstbench.generate.outcomes import without_output

    variants = without_output(board.units)
    if variants:
        names = ", ".join(printable(name) for name in variants)
        typer.echo(f"No output at all of: {names}. The report has the reasons.", err=True)
        raise typer.Exit(1)


@_with_settings
def run(
    execute: Callable[[Mapping[str, Any]], None],
    methods: Annotated[
        str | None, typer.Option(help="all, or names: a,b:param=value,other=value")
    ] = None,
) -> None:
    """Run methods over pictures, score and time them, and write the report.

    Exit 0, or 1 if a method that could run has no output at all, 2 if the command was wrong.
    """
    execute({"methods": methods})


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
    from nstbench.plan.config import parse_named

    try:
        name, params = parse_named(method)
    except ValueError as error:
        raise UsageError(f"METHOD {method}: {error}.") from None
    execute({"study": {"method": name, "params": params, "grid": grid, "along": along}})
