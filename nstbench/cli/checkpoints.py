"""The command ``nstbench checkpoints train``: all trainings of a list in a fixed time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from nstbench.cli.options import Device, Plugins, add_plugins
from nstbench.core.errors import UsageError

checkpoints_app = typer.Typer(no_args_is_help=True, help="Train the checkpoints of a list.")


@checkpoints_app.callback()
def _group() -> None:
    """Keep `train` a command of its own, although the group has no other."""


@checkpoints_app.command()
def train(
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
    from nstbench.cli.show.trainings import print_results
    from nstbench.pipeline.progress import TerminalListener
    from nstbench.training.listed.conduct import train_list
    from nstbench.training.listed.planned import Options
    from nstbench.training.listed.results import DONE, FILE
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
    listener = TerminalListener()
    try:
        results = train_list(
            trainings or shipped_list(), options, Deadline(minutes * 60, began), together, listener
        )
    finally:
        listener.close()
    print_results(results)
    typer.echo(out / FILE)
    if any(result.status != DONE for result in results.trainings.values()):
        raise typer.Exit(1)
