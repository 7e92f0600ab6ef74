"""Do programs of one method get closer scores than different methods?

A published method exists as several programs, whose pictures of a pair differ. This difference is
the noise of implementations. A metric that compares methods has to be less sensitive to it than
to a change of the method. Which programs are one method is known from a file ``methods.csv`` in
the folder of published outputs, with the columns ``outputs`` (the name of a folder of outputs)
and ``method``. A folder of outputs that it does not name is a method of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis.validation.case_ratings import PAIR, PROGRAM_COLUMNS
from nstbench.analysis.validation.known_cases import REAL
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError
from nstbench.core.records import Scope
from nstbench.core.text import printable

METHODS_FILE = "methods.csv"

FEWEST_PAIRS = 5
"""Pairs below which no interval is given."""

_RESAMPLES = 2000


def read_methods(folder: Path, known: set[str], option: str) -> dict[str, str]:
    """Return folder of outputs -> method; empty if the folder has no ``methods.csv``.

    Args:
        folder: folder of published outputs.
        known: names of its folders of outputs.
        option: the option that named the folder, for messages.

    Raises:
        UsageError: if the file cannot be read, lacks a column, or names a folder that is missing.
    """
    path = folder / METHODS_FILE
    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path, skipinitialspace=True, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{option}: {printable(path)} cannot be read: {error}. Give it the columns outputs and "
            "method, or remove it."
        ) from error
    if not {"outputs", "method"} <= set(table.columns):
        raise UsageError(
            f"{option}: {printable(path)} has the columns {', '.join(map(str, table.columns))}. "
            "Give it the columns outputs (the name of a folder) and method."
        )
    for line, name in enumerate(table["outputs"], start=2):
        if name not in known:
            raise UsageError(
                f"{option}: {printable(path)}, line {line}: {printable(folder / 'outputs' / name)} "
                "has no outputs. Correct the name."
            )
    return dict(zip(table["outputs"], table["method"], strict=True))


def program_noise(
    scores: pd.DataFrame, cards: Mapping[str, MetricCard], methods: Mapping[str, str]
) -> pd.DataFrame:
    """Compare the distance of two programs of one method with that of two methods, on one pair.

    The distance of two outputs is the absolute difference of their scores. A pair of pictures
    counts if it has outputs of two programs of one method and of a second method.

    Args:
        scores: tidy: ``test, method, content, style, metric, part, value``; ``method`` is the
            folder of the outputs.
        cards: metric name -> card.
        methods: folder of outputs -> method; other folders are methods of their own.

    Returns:
        ``PROGRAM_COLUMNS``: the number of ``pairs`` and of couples of programs (``couples``), the
        mean distance ``within`` a method and ``between`` methods, and the share of comparisons of
        a distance within and one between on the same pair in which the first is smaller
        (``closer``; a tie is one half), with its 95 % interval over pairs. Every pair has the
        same weight. The interval is NaN with fewer than ``FEWEST_PAIRS`` pairs.
    """
    real = scores[scores["test"] == REAL] if "test" in scores else scores
    rows = []
    for name, card in cards.items():
        if card.scope != Scope.PAIR:
            continue
        mine = real[real["metric"] == name]
        for part in ["", *(p for p in card.networks if p in set(mine["part"]))]:
            table = mine[mine["part"] == part]
            if len(table):
                rows.append({"metric": name, "part": part, **_compare(table, methods)})
    return pd.DataFrame(rows, columns=PROGRAM_COLUMNS)


def _compare(table: pd.DataFrame, methods: Mapping[str, str]) -> dict[str, Any]:
    found = []
    for _, outputs in table.groupby(PAIR):
        known = outputs.dropna(subset=["value"])
        names = [methods.get(name, name) for name in known["method"]]
        values = known["value"].to_numpy(dtype=np.float64)
        distances: dict[bool, list[float]] = {True: [], False: []}
        for i, j in combinations(range(len(values)), 2):
            distances[names[i] == names[j]].append(abs(values[i] - values[j]))
        within, between = np.array(distances[True]), np.array(distances[False])
        if len(within) and len(between):
            closer = 0.5 * (1 + np.sign(between[None] - within[:, None]))
            found.append((len(within), within.mean(), between.mean(), closer.mean()))
    nothing = float("nan")
    if not found:
        return {
            "pairs": 0, "couples": 0, "within": nothing, "between": nothing, "closer": nothing,
            "low": nothing, "high": nothing,
        }  # fmt: skip
    numbers = np.array(found, dtype=np.float64)
    means = numbers[:, 1:].mean(axis=0)
    low, high = nothing, nothing
    if len(found) >= FEWEST_PAIRS:
        count = len(found)
        draws = np.random.default_rng(0).multinomial(
            count, np.full(count, 1 / count), size=_RESAMPLES
        )
        low, high = np.quantile(draws @ numbers[:, 3] / count, (0.025, 0.975))
    return {
        "pairs": len(found), "couples": int(numbers[:, 0].sum()), "within": float(means[0]),
        "between": float(means[1]), "closer": float(means[2]), "low": float(low),
        "high": float(high),
    }  # fmt: skip


def data_of(programs: pd.DataFrame) -> str:
    """Return a sentence on how much data there is."""
    pairs = int(programs["pairs"].max()) if len(programs) else 0
    if not pairs:
        return (
            "Not enough data: no pair has outputs of two programs of one method and of another "
            f"method. {METHODS_FILE} in the folder says which folders of outputs are one method."
        )
    couples = int(programs["couples"].max())
    text = f"{pairs} pairs with {couples} couples of programs of one method."
    if pairs < FEWEST_PAIRS:
        text += f" Not enough data for an interval, which needs {FEWEST_PAIRS} pairs."
    return text
