"""The commands ``nstbench train`` and ``nstbench match``."""

from __future__ import annotations

import inspect
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
