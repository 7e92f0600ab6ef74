"""Print the validation of metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nstbench.analysis.validation.agreement import SAME, basis, matrix, same
from nstbench.analysis.validation.people import power
from nstbench.analysis.validation.programs import data_of
from nstbench.analysis.validation.validate import Validation
from nstbench.analysis.validation.verdicts import LIMIT, NOT_ASKED, QUESTIONS
from nstbench.report.parts.numbers import significant


def print_validation(result: Validation, output: Console) -> None:
    """Print a row per metric and part, and the metrics that agree on the outputs of a run."""
    names = ("metric", "part")
    if len(result.summary) or not any(
        map(len, (result.agreement, result.published, result.people))
    ):
        _print_table("Do the metrics order pictures whose order is known?", result.summary, names,
                     output)  # fmt: skip
    if len(result.published):
        title = "Do the metrics prefer stylisations to pictures that are worse?"
        _print_table(title, result.published, (*names, "test", "what"), output)
        output.print(data_of(result.programs))
    if result.programs["pairs"].any():
        _print_table("Are programs of one method closer than methods?", result.programs, names,
                     output)  # fmt: skip
    if len(result.people):
        _print_table("Do the metrics agree with people?", result.people, names, output)
        output.print(power(result.people))
    if len(result.within):
        _print_table("Do they agree within a style, a content, a method?", result.within,
                     (*names, "within"), output)  # fmt: skip
    if (result.verdicts["verdict"] != NOT_ASKED).any():
        table = result.verdicts.pivot(index="metric", columns="test", values="verdict")
        table = table.reindex(index=result.verdicts["metric"].unique(), columns=[*QUESTIONS])
        columns = ("metric", *QUESTIONS)
        title = f"Which metric can be trusted for what? (limit {LIMIT:g})"
        _print_table(title, table.reset_index(), columns, output)
    for name, reason in result.unavailable.items():
        output.print(f"{escape(name)}: {escape(reason)}")
    for size, table in result.agreement.groupby("size", sort=True):
        square = matrix(table)
        frame = square.rename_axis(index=None, columns=None).reset_index(names="metric")
        title = f"Do the metrics prefer the same outputs? Rank correlation at {size} px"
        output.print(f"At {size} px: rank correlations {basis(table)}.")
        _print_table(title, frame, ("metric",), output)
        pairs = [f"{first} and {second} ({value:.2f})" for first, second, value in same(square)]
        output.print(f"Nearly equal ({SAME:g} or more): {escape(', '.join(pairs) or 'none')}.")


def _print_table(title: str, frame: pd.DataFrame, names: tuple[str, ...], output: Console) -> None:
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column), justify="left" if column in names else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    output.print(table)


def _cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return significant(value) if isinstance(value, float) else escape(str(value))
