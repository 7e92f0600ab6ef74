"""Print the time of a run by stage as a bar, for ``nstbench run --profile``."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nstbench.cli.show.console import console
from nstbench.core.board import Board
from nstbench.pipeline.time_spent import shares

_WIDTH = 72
# the Okabe-Ito palette, whose colours readers with any colour vision can distinguish; letters mark
# the parts on terminals without colours
_COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#F0E442", "#999999")
_METHODS_SHOWN = 8


def print_profile(board: Board) -> None:
    """Print the stages of a run, and the methods of the generate stage, as stacked bars."""
    output = console()
    parts = shares(board.info)
    total = sum(parts.values())
    output.print(f"\nTime by stage, {total:.1f} s:")
    _print_bar(parts, output)
    methods = _most_first(board.info.get("method_seconds", {}))
    if len(methods) > 1:
        output.print(f"Stylize by method, {sum(methods.values()):.1f} s of all workers:")
        _print_bar(_with_others(methods), output)


def _most_first(methods: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(methods.items(), key=lambda item: -item[1]))


def _with_others(methods: Mapping[str, float]) -> dict[str, float]:
    shown = dict(list(methods.items())[: _METHODS_SHOWN - 1])
    rest = sum(methods.values()) - sum(shown.values())
    return {**shown, f"{len(methods) - len(shown)} others": rest} if rest else shown


def _print_bar(parts: Mapping[str, float], output: Console) -> None:
    total = sum(parts.values()) or 1.0
    bar = Text()
    legend = Table(box=None, show_header=False, padding=(0, 1))
    for justify in ("left", "left", "right", "right"):
        legend.add_column(justify=justify)
    ends, done = [], 0.0
    for seconds in parts.values():
        done += seconds
        ends.append(round(_WIDTH * done / total))
    begin = 0
    for index, ((name, seconds), end) in enumerate(zip(parts.items(), ends, strict=True)):
        letter, colour = chr(ord("a") + index), _COLOURS[index % len(_COLOURS)]
        bar.append(letter * (end - begin), style=f"black on {colour}")
        mark = Text(f" {letter} ", style=f"black on {colour}")
        legend.add_row(mark, Text(name), f"{seconds:.1f} s", f"{seconds / total:.1%}")
        begin = end
    output.print(bar)
    output.print(legend)
