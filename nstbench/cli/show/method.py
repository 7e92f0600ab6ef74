"""Print what is known about one method or one record of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from nstbench.cli.show.console import console
from nstbench.cli.show.lists import reason
from nstbench.plan.config import MethodSpec
from nstbench.plan.variants import make_variant
from nstbench.training.iterations_to_match import summary


def print_method(name: str) -> None:
    """Print the card and the parameters of a method.

    Raises:
        UsageError: if there is no method of this name.
    """
    variant = make_variant(MethodSpec(name=name), {})
    card = variant.card
    facts = Table(title=escape(card.title), title_justify="left", show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for label, value in (
        ("name", card.plugin), ("authors", f"{card.authors} ({card.year})"),
        ("paper", card.paper), ("authors' code", card.code), ("family", card.family),
        ("flexibility", card.flexibility), ("licence", card.licence or "not stated"),
        ("optimises", ", ".join(card.trained_on)),
        ("weights", ", ".join(weight.name for weight in card.weights)),
        ("available", "yes" if card.availability.ok else reason(card.availability)),
    ):  # fmt: skip
        if value:
            facts.add_row(label, escape(value))
    for deviation in variant.method.deviations() if variant.method else card.deviations:
        facts.add_row("deviation", escape(deviation))
    output = console()
    output.print(facts)
    if variant.method is None:
        return
    parameters = Table(title="Parameters", title_justify="left")
    for column in ("parameter", "default", "type", "meaning"):
        parameters.add_column(column, overflow="fold")
    for field, description in type(variant.method.params).model_fields.items():
        kind = str(description.annotation).replace("typing.", "")
        kind = kind.removeprefix("<class '").removesuffix("'>")
        default = str(card.defaults[field])
        meaning = description.description or ""
        parameters.add_row(field, escape(default), escape(kind), escape(meaning))
    output.print(parameters)


def print_record(kind: str, record: Mapping[str, Any]) -> None:
    """Print a record of the store: first the parts of its key, then the record."""
    output = console()
    parts = record.get("parts", {})
    table = Table(title=f"{kind}: parts of the key", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in parts.items():
        table.add_row(escape(str(name)), escape(str(value)))
    output.print(table)
    rest = {name: value for name, value in record.items() if name != "parts" and value != ""}
    output.print_json(data=rest, default=str)


def print_matching(matched: pd.DataFrame, reference: str) -> None:
    """Print the number of iterations of ``reference`` that reach the loss of each method."""
    table = Table(title=f"Iterations of {reference} to the same loss", title_justify="left")
    for heading in ("method", "pairs", "reached", "median", "least", "most"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, row in summary(matched).iterrows():
        counts = [_iterations(row[key]) for key in ("median", "low", "high")]
        table.add_row(escape(str(name)), f"{row['pairs']:.0f}", f"{row['reached']:.0f}", *counts)
    console().print(table)


def _iterations(count: float) -> str:
    return "not reached" if math.isinf(count) else f"{count:.0f}"
