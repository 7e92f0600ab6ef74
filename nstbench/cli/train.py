"""The commands ``nstbench train`` and ``nstbench match``: networks, and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nstbench.cli.options import Plugins, add_plugins, check_writable


def train(
    method: Annotated[str, typer.Argument(help="Method with parameters: a:param=value,other=2")],
    contents: Annotated[str | None, typer.Option(help="Dataset or folder of photographs.")] = None,
    styles: Annotated[str | None, typer.Option(help="Dataset or folder of styles.")] = None,
    style: Annotated[
        list[str] | None, typer.Option(help="Picture file or name in --styles; repeatable.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the crops in pixels.")] = None,
    style_size: Annotated[int | None, typer.Option(help="Longer side of fixed styles.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures per step and device.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Initial learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, crops and order.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    devices: Annotated[int | None, typer.Option(help="Number of GPUs.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between saved states.")] = None,
    name: Annotated[str | None, typer.Option(help="Label of the checkpoint.")] = None,
    start: Annotated[str | None, typer.Option(help="Checkpoint to begin with.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the checkpoint; where runs find it if unset.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Train a method. Numbers left out are the paper's; a training that was stopped goes on."""
    given: dict[str, Any] = {
        "contents": contents, "styles": styles, "style": tuple(style) if style else None,
        "steps": steps, "size": size, "style_size": style_size, "batch": batch,
        "learning_rate": learning_rate, "seed": seed, "device": device, "devices": devices,
        "threads": threads, "precision": precision, "save_every": save_every, "name": name,
        "start": start, "out": out,
    }  # fmt: skip
    add_plugins(plugin)
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.training.job import train as carry_out
    from nstbench.training.order import build_order

    listener = TerminalListener()
    try:
        made = carry_out(build_order(method, given), listener)
    finally:
        listener.close()
    for checkpoint in made:
        typer.echo(checkpoint.path)


def match(
    methods: Annotated[str, typer.Argument(help="Methods whose pictures are judged: a,b")],
    reference: Annotated[
        str, typer.Option(help="Image-optimisation method with parameters.")
    ] = "gatys_2015:iterations=200",
    contents: Annotated[str, typer.Option(help="Dataset or folder of contents.")] = "starter",
    styles: Annotated[str, typer.Option(help="Dataset or folder of styles.")] = "starter",
    limit: Annotated[
        int | None, typer.Option(min=1, help="First N contents and styles only.")
    ] = None,
    contents_per_style: Annotated[
        int, typer.Option(min=1, help="Contents per style, in rotation.")
    ] = 1,
    size: Annotated[
        int, typer.Option(min=32, max=8192, help="Side of the pictures in pixels.")
    ] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the starting noise.")] = 0,
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
