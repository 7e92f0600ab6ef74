"""The command ``nstbench score``: score a run again, or the outputs of another program."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstbench.cli.options import CONTENTS, METRICS, STYLES, Device, Plugins, add_plugins
from nstbench.core.errors import UsageError

if TYPE_CHECKING:
    from nstbench.core.board import Board
    from nstbench.plan.listener import Listener


def score(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Run folder.")] = None,
    metrics: Annotated[str | None, METRICS] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            help="Pictures to score instead of a run: 'DIR/{content}__{style}.png'; the pattern "
            "may also contain {method} and {seed}; repeatable."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of the method that made --outputs; one for each. A single one has the name "
            "of its folder if unset."
        ),
    ] = None,
    contents: Annotated[str | None, CONTENTS] = None,
    styles: Annotated[str | None, STYLES] = None,
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Longer side that outputs are scaled to; unscaled if unset."),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            help="What an output shows of the content: inside (all, default), crop (its middle) or "
            "stretch (all, resized to another shape)."
        ),
    ] = None,
    pairs: Annotated[
        str, typer.Option(help="Pairs of the board: all, or found (those with an output).")
    ] = "all",
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run to put on the same board; its pictures are the contents and styles of "
            "--outputs.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder for --outputs.")] = None,
    device: Device = "auto",
    plugin: Plugins = None,
) -> None:
    """Score a run again, for example with a new metric, or the outputs of another program.

    Exit code 0, or 1 if no output has a value, or 2 if the command was wrong.
    """
    from nstbench.cli.show.board import print_board
    from nstbench.pipeline.progress import TerminalListener

    add_plugins(plugin)
    options = {
        "names": tuple(name or ()), "contents": contents, "styles": styles, "out": out,
        "size": size, "fit": fit, "pairs": pairs, "beside": beside,
    }  # fmt: skip
    if (run is None) == (not outputs):
        raise UsageError("score: give either a run folder or --outputs.")
    listener = TerminalListener()
    try:
        if run is None:
            board = _score_outputs(outputs or [], options, metrics or "all", device, listener)
        else:
            from nstbench.pipeline.job import rescore

            board = rescore(run, metrics=metrics, device=device, listener=listener)
    finally:
        listener.close()
    print_board(board)
    _fail_without_value(board, imported_only=run is None)


def _fail_without_value(board: Board, imported_only: bool) -> None:
    """End with exit code 1 if no output that was to be scored has a value."""
    from nstbench.core.records import Scope
    from nstbench.pipeline.score_outputs import FAMILY

    scored = [
        label for label, card in board.methods.items() if card.family == FAMILY or not imported_only
    ]
    of_outputs = [name for name, card in board.metrics.items() if card.scope != Scope.TIMING]
    scores = board.scores
    rows = scores[scores["method"].isin(scored) & scores["metric"].isin(of_outputs)]
    if of_outputs and not rows["value"].notna().any():
        typer.echo("No output has a value. The report gives the reasons.", err=True)
        raise typer.Exit(1)


def _score_outputs(
    patterns: list[str], given: Mapping[str, Any], metrics: str, device: str, listener: Listener
) -> Board:
    """Check the options of ``score --outputs`` and score the outputs."""
    from nstbench.pipeline.score_outputs import Request, score_outputs

    given = dict(given)
    for option in ("contents", "styles"):
        if given["beside"] is not None:
            if given[option] is not None:
                raise UsageError(f"--{option}: --beside gives the pictures; leave --{option} out.")
            given[option] = ""
        elif given[option] is None:
            raise UsageError(
                f"--{option}: needed with --outputs; give a folder of pictures, or a run that has "
                "them with --beside."
            )
    for option in ("size", "fit"):
        if given["beside"] is not None and given[option] is not None:
            raise UsageError(
                f"--{option}: --beside gives the pictures as the run fitted them; leave --{option} "
                "out."
            )
    given["fit"] = given["fit"] or "inside"
    for option, words in (("fit", ("inside", "crop", "stretch")), ("pairs", ("all", "found"))):
        if given[option] not in words:
            raise UsageError(f"--{option} {given[option]}: must be one of {', '.join(words)}.")
    folder = given["out"] or Path("runs") / _run_name(patterns, given["names"])
    request = Request(
        patterns=tuple(patterns), metrics=metrics, device=device, **{**given, "out": folder}
    )
    command = shlex.join(["nstbench", *sys.argv[1:]])
    return score_outputs(request, command=command, listener=listener)


def _run_name(patterns: list[str], names: tuple[str, ...]) -> str:
    """Return the name of the run folder if ``--out`` is not given."""
    from nstbench.core.text import path_name
    from nstbench.pipeline.outputs.patterns import folder_name, has_method

    if names:
        return "_".join(names)
    if len(patterns) == 1 and not has_method(patterns[0]):
        return path_name(folder_name(patterns[0]))
    return "outputs"
