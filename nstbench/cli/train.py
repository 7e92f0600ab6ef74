"""The commands ``nstbench train``, ``nstbench checkpoints train`` and ``nstbench match``."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nstbench.cli.options import (
    CONTENTS,
    FIRST,
    SIZE,
    STYLES,
    Device,
    Plugins,
    add_command,
    add_plugins,
    check_writable,
    model_options,
)
from nstbench.core.errors import UsageError

checkpoints_app = typer.Typer(no_args_is_help=True, help="Train the checkpoints of a list.")


def add_train(app: typer.Typer) -> None:
    """Add the command ``train``, whose options are the fields of an order."""
    add_command(app, train, order_options)


def order_options() -> list[inspect.Parameter]:
    """Return the options that set the fields of :class:`nstbench.training.order.Order`."""
    from nstbench.training.order import Order

    return model_options(Order)


def train(
    settings: Mapping[str, Any],
    *,
    method: Annotated[
        str, typer.Argument(help="Methods, separated by commas, with parameters: a:param=value,b")
    ],
    plugin: Plugins = None,
) -> None:
    """Train methods. Numbers that are not given are those of the papers.

    On a GPU, several methods and styles are trained at the same time. The same command continues
    a training that was stopped.
    """
    add_plugins(plugin)
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.training.order import build_orders
    from nstbench.training.together import train as run_training

    listener = TerminalListener()
    try:
        checkpoints = run_training(*build_orders(method, settings), listener=listener)
    finally:
        listener.close()
    for checkpoint in checkpoints:
        typer.echo(checkpoint.path)


@checkpoints_app.callback()
def _group() -> None:
    """Keep `train` a command of its own, although the group has no other."""


@checkpoints_app.command("train")
def train_checkpoints(
    minutes: Annotated[float, typer.Option(help="Time for everything, in minutes.")],
    contents: Annotated[
        str, typer.Option(help="Dataset or folder of photographs. Some are kept out of training.")
    ],
    paintings: Annotated[
        str, typer.Option(help="Dataset or folder that the list calls `paintings`.")
    ] = "",
    trainings: Annotated[
        Path | None,
        typer.Option("--list", help="YAML file with the trainings; nstbench's own if unset."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints.")] = Path(
        "runs/checkpoints"
    ),
    start_from: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with checkpoints to begin with; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Train only this checkpoint, or those of this method; repeatable."),
    ] = None,
    device: Device = "auto",
    together: Annotated[
        int | None,
        typer.Option(min=1, help="Trainings at the same time; if unset, 14 on a GPU, else 1."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; all cores if unset.")
    ] = None,
    held_out: Annotated[
        int, typer.Option(min=1, help="Photographs to keep out of training, for the losses.")
    ] = 16,
    plugin: Plugins = None,
) -> None:
    """Train every checkpoint of a list within a time, and write each with card and sample sheet.

    The same command continues, and shares out the time of all calls. It ends with exit code 1
    if a training failed or had less than its share of the time.
    """
    began = time.monotonic()
    if not minutes > 0:
        raise UsageError(f"--minutes {minutes:g}: give a time above 0.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: it is a file; give a folder.")
    for folder in start_from or []:
        if not folder.is_dir():
            raise UsageError(f"--start-from {folder}: there is no such folder.")
    add_plugins(plugin)
    from nstbench.cli.show.trainings import ProgressLines, at_the_end, print_results
    from nstbench.training.listed.conduct import train_list
    from nstbench.training.listed.planned import Options
    from nstbench.training.listed.results import DONE, FILE, read_results
    from nstbench.training.listed.shares import Deadline
    from nstbench.training.listed.training_list import shipped_list

    options = Options(
        contents=contents,
        out=out,
        paintings=paintings,
        start_from=tuple(start_from or ()),
        device=device,
        threads=threads,
        held_out=held_out,
        only=tuple(only or ()),
    )
    deadline = Deadline(minutes * 60, began)
    results = read_results(out)
    with at_the_end(deadline, results, out), ProgressLines(began) as listener:
        train_list(trainings or shipped_list(), options, deadline, together, listener, results)
    print_results(results)
    typer.echo(out / FILE)
    if any(result.status != DONE for result in results.trainings.values()):
        raise typer.Exit(1)


def match(
    methods: Annotated[str, typer.Argument(help="Methods to compare with the reference: a,b")],
    reference: Annotated[
        str, typer.Option(help="Image-optimisation method, with parameters.")
    ] = "gatys_2015:iterations=200",
    contents: Annotated[str, CONTENTS] = "starter",
    styles: Annotated[str, STYLES] = "starter",
    limit: Annotated[int | None, FIRST] = None,
    contents_per_style: Annotated[
        int, typer.Option(min=1, help="Contents that each style is paired with, in rotation.")
    ] = 1,
    size: Annotated[int, SIZE] = 128,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the initial noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="CSV file with a row per pair.")] = None,
    plugin: Plugins = None,
) -> None:
    """Print how many iterations of an image optimisation reach each method's loss."""
    if out is not None:
        check_writable("--out", out)
    add_plugins(plugin)
    from nstbench.cli.show.method import print_matching
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.store.atomic_files import write_bytes
    from nstbench.training.iterations_to_match import Matching, iterations_to_match

    order = Matching(
        methods, reference, contents, styles, limit, contents_per_style, size, device, seed
    )
    listener = TerminalListener()
    try:
        table = iterations_to_match(order, listener)
    finally:
        listener.close()
    print_matching(table, reference)
    if out is not None:
        write_bytes(out, table.to_csv(index=False).encode())
