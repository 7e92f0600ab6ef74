"""The result of ``nstbench validate`` as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nstbench import __version__
from nstbench.analysis.validation.agreement import SAME, basis, matrix, same
from nstbench.analysis.validation.people import GROUPS, power
from nstbench.analysis.validation.programs import data_of
from nstbench.analysis.validation.validate import Validation
from nstbench.analysis.validation.verdicts import LIMIT, NOT_ASKED, QUESTIONS
from nstbench.core.cards import MetricCard
from nstbench.report.parts import numbers, templates


def validation_page(
    result: Validation, cards: Mapping[str, MetricCard], facts: Mapping[str, str]
) -> str:
    """Return a self-contained HTML page with every number of a validation.

    Args:
        result: the validation of the metrics.
        cards: metric name -> card, for the titles.
        facts: name -> value of the settings, in order of display.
    """
    style = templates.inline("report.css")
    rows = [_row(row, cards) for row in result.summary.to_dict("records")]
    kinds = list(dict.fromkeys(_kind(row) for row in result.by_kind.to_dict("records")))
    return templates.render(
        "validation.html",
        policy=templates.content_policy(style),
        style=style,
        version=__version__,
        rows=rows,
        untrusted=[row for row in rows if row["trusted"] == "no"],
        folders=(result.by_kind["kind"] == "folder").any(),
        kinds=kinds,
        by_kind=_by_kind(result.by_kind, kinds, cards),
        agreement=_agreement(result.agreement, cards),
        verdicts=_verdicts(result.verdicts, cards),
        limit_of_trust=LIMIT,
        known=_known(result.published, cards),
        programs=_programs(result.programs, cards),
        program_data=data_of(result.programs) if len(result.published) else "",
        within=_within(result.within, cards),
        people=_people(result.people, cards),
        power=power(result.people) if len(result.people) else "",
        limit=SAME,
        unavailable=sorted(result.unavailable.items()),
        facts=list(facts.items()),
    )


def _known(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> dict[str, Any] | None:
    """Return shares of right answers: a row per metric, a column per question."""
    if table.empty:
        return None
    asked = table.drop_duplicates(["test", "what"])
    heads = list(zip(asked["test"], asked["what"], strict=True))
    rows: dict[str, dict[tuple[str, str], dict[str, str]]] = {}
    for row in table.to_dict("records"):
        cell = {"value": numbers.fixed(row["value"], 3), "interval": _between(row)}
        rows.setdefault(_name(row, cards), {})[row["test"], row["what"]] = cell
    missing = {"value": numbers.DASH, "interval": ""}
    return {
        "heads": [f"{test}: {what}" for test, what in heads],
        "rows": [
            {"name": name, "cells": [cells.get(head, missing) for head in heads]}
            for name, cells in rows.items()
        ],
    }


def _verdicts(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> dict[str, Any] | None:
    """Return a row per metric and a column per question; ``None`` if nothing was asked."""
    if not (table["verdict"] != NOT_ASKED).any():
        return None
    rows: dict[str, list[dict[str, str]]] = {}
    for row in table.to_dict("records"):
        number = numbers.fixed(row["value"], 2) if row["n"] else ""
        between = f" ({_between(row)})" if not pd.isna(row["low"]) else ""
        cell = {"verdict": row["verdict"], "number": number + between, "n": str(row["n"] or "")}
        rows.setdefault(_name({**row, "part": ""}, cards), []).append(cell)
    return {
        "heads": [f"{test}: {question}" for test, (question, _) in QUESTIONS.items()],
        "rows": [{"name": name, "cells": cells} for name, cells in rows.items()],
    }


def _between(row: Mapping[Any, Any]) -> str:
    """Return the interval of a row in words; empty if it has none."""
    if pd.isna(row["low"]):
        return ""
    return f"{numbers.fixed(row['low'], 2)} to {numbers.fixed(row['high'], 2)}"


def _programs(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> list[dict[str, Any]]:
    """Return one row per metric and part with data."""
    return [
        {
            "name": _name(row, cards),
            "pairs": str(row["pairs"]),
            "couples": str(row["couples"]),
            "within": numbers.significant(row["within"]),
            "between": numbers.significant(row["between"]),
            "closer": numbers.fixed(row["closer"], 2),
            "interval": _between(row) or "not enough data",
        }
        for row in table.to_dict("records")
        if row["pairs"]
    ]


def _within(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> list[dict[str, Any]]:
    """Return one row per metric and part: the correlation within each kind of group."""
    rows: dict[str, dict[str, dict[str, str]]] = {}
    for row in table.to_dict("records"):
        cell = {
            "value": numbers.fixed(row["rho"], 2),
            "interval": _between(row) or ("not enough data" if row["groups"] else ""),
            "n": f"{row['groups']} groups, {row['pictures']} pictures",
        }
        rows.setdefault(_name(row, cards), {})[row["within"]] = cell
    return [
        {"name": name, "cells": [cells[group] for group in GROUPS]} for name, cells in rows.items()
    ]


def _people(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> list[dict[str, Any]]:
    """Return one row per metric and part: tau, p, and the share of votes that agree."""
    return [
        {
            "name": _name(row, cards),
            "methods": str(row["methods"]),
            "tau": numbers.fixed(row["tau"], 2),
            "p": numbers.significant(row["p"], 2),
            "votes": f"{row['votes']:g}",
            "accuracy": numbers.fixed(row["accuracy"], 3),
            "interval": _between(row),
        }
        for row in table.to_dict("records")
    ]


def _row(row: Mapping[Any, Any], cards: Mapping[str, MetricCard]) -> dict[str, Any]:
    interval = numbers.DASH
    if not pd.isna(row["low"]):
        interval = f"{numbers.fixed(row['low'], 3)} to {numbers.fixed(row['high'], 3)}"
    spread = row["seed_spread"]
    verdict = "no verdict" if pd.isna(row["trusted"]) else "yes" if row["trusted"] else "no"
    return {
        "name": _name(row, cards),
        "measures": row["measures"],
        "tau": numbers.fixed(row["tau"], 3),
        "interval": interval,
        "mark": _mark(row),
        # without a wrong step there is no worst series
        "worst": row["worst"] if row["worst_tau"] < 1 else "none",
        "worst_tau": numbers.fixed(row["worst_tau"], 3),
        "sensitivity": numbers.significant(row["sensitivity"], 2),
        "seed_spread": numbers.DASH if pd.isna(spread) else _percent(spread),
        "ms": numbers.significant(row["ms"]),
        "trusted": verdict,
    }


def _percent(share: float) -> str:
    return f"{numbers.significant(100 * share, 2)} %"


def _mark(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return τ and its limits as positions on an axis from -1 to 1 of 100 units."""
    if pd.isna(row["tau"]):
        return {}
    ends = {name: row["tau"] if pd.isna(row[name]) else row[name] for name in ("low", "high")}
    return {name: f"{52 + 50 * value:.1f}" for name, value in ({"tau": row["tau"]} | ends).items()}


def _by_kind(
    table: pd.DataFrame, kinds: list[str], cards: Mapping[str, MetricCard]
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, str]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(_name(row, cards), {})[_kind(row)] = numbers.fixed(row["tau"], 3)
    return [
        {"name": name, "cells": [cells.get(kind, numbers.DASH) for kind in kinds]}
        for name, cells in rows.items()
    ]


def _agreement(table: pd.DataFrame, cards: Mapping[str, MetricCard]) -> list[dict[str, Any]]:
    """Return one matrix of rank correlations per size of the run."""

    def title(name: str) -> str:
        return cards[name].title if name in cards else name

    tables = []
    for size, rows in table.groupby("size", sort=True):
        square = matrix(rows)
        tables.append(
            {
                "size": size,
                "basis": basis(rows),
                "heads": [title(name) for name in square.columns],
                "rows": [
                    {"name": title(name), "cells": [numbers.fixed(v, 2) for v in values]}
                    for name, values in zip(square.index, square.to_numpy(float), strict=True)
                ],
                "same": [
                    f"{title(first)} and {title(second)} ({numbers.fixed(value, 2)})"
                    for first, second, value in same(square)
                ],
            }
        )
    return tables


def _name(row: Mapping[Any, Any], cards: Mapping[str, MetricCard]) -> str:
    title = cards[row["metric"]].title if row["metric"] in cards else str(row["metric"])
    return f"{title}, {row['part']}" if row["part"] else title


def _kind(row: Mapping[Any, Any]) -> str:
    return f"{row['kind']} of the {row['base']}" if row["base"] else str(row["kind"])
