"""The command ``nstbench score``: a run again, or pictures that any program made."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench.cli.options import Plugins, add_plugins
from nstbench.core.errors import UsageError

if TYPE_CHECKING:
    from nstbench.core.board import Board
    from nstbench.plan.listener import Listener


def score(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run.")] = None,
    metrics: Annotated[str | None, typer.Option(help="all, or names: a,b")] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            help="Score these pictures instead of a run's: 'DIR/{content}__{style}.png', in "
            "which {method} may stand, too; repeatable."
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Name of the method of each --outputs.")
    ] = None,
    contents: Annotated[str | None, typer.Option(help="Dataset or folder of contents.")] = None,
    styles: Annotated[str | None, typer.Option(help="Dataset or folder of styles.")] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Longer side to scale outputs to; their own if unset."),
    ] = None,
    fit: Annotated[
        str, typer.Option(help="Outputs show the whole content (inside) or its middle (crop).")
    ] = "inside",
    pairs: Annotated[
        str, typer.Option(help="Expect all pairs, or only those of which some picture was found.")
    ] = "all",
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run whose methods stand on the same board; its pictures are the contents and "
            "styles of --outputs.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder for --outputs.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    plugin: Plugins = None,
) -> None:
    """Score a run again, for example with a new metric, or pictures that any program made."""
    from nstbench.cli.show.board import print_board
    from nstbench.pipeline.progress import TerminalListener

    add_plugins(plugin)
    elsewhere = {
        "names": tuple(name or ()), "contents": contents, "styles": styles, "out": out,
        "size": size, "fit": fit, "pairs": pairs, "beside": beside,
    }  # fmt: skip
    if (run is None) == (not outputs):
        raise UsageError("score: give the folder of a run, or --outputs, and not both.")
    listener = TerminalListener()
    try:
        if run is None:
            board = _score_outputs(outputs or [], elsewhere, metrics or "all", device, listener)
        else:
            from nstbench.pipeline.job import rescore

            board = rescore(run, metrics=metrics, device=device, listener=listener)
    finally:
        listener.close()
    print_board(board)


def _score_outputs(
    patterns: list[str], given: Mapping[str, Any], metrics: str, device: str, listener: Listener
) -> Board:
    """Check the options of ``score --outputs`` and carry it out."""
    from nstbench.pipeline.score_outputs import Request, score_outputs

    given = dict(given)
    for option in ("contents", "styles"):
        if given["beside"] is not None:
            if given[option] is not None:
                raise UsageError(f"--{option}: the pictures are those of --beside; leave it out.")
            given[option] = ""
        elif given[option] is None:
            raise UsageError(
                f"--{option}: needed with --outputs; give a folder of pictures, or by --beside a "
                "run whose pictures they are."
            )
    if given["beside"] is not None and given["size"] is not None:
        raise UsageError("--size: outputs get the size of --beside; leave it out.")
    for option, known in (("fit", ("inside", "crop")), ("pairs", ("all", "found"))):
        if given[option] not in known:
            raise UsageError(f"--{option} {given[option]}: must be {' or '.join(known)}.")
    folder = given["out"] or Path("runs") / ("_".join(given["names"]) or "outputs")
    request = Request(
        patterns=tuple(patterns), metrics=metrics, device=device, **{**given, "out": folder}
    )
    command = shlex.join(["nstbench", *sys.argv[1:]])
    return score_outputs(request, command=command, listener=listener)
