"""Which metric can be trusted for what? One row per metric and question.

The questions are the tests T1 to T6 and the noise of programs. The answers are *yes* if the
95 % interval of the number lies above the limit, *no* if it lies below, *unclear* if it contains
the limit, *not enough data* if there is a number without an interval, and *not asked* otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nstbench.analysis.validation.picture_series import FOLDER
from nstbench.core.cards import MetricCard
from nstbench.core.records import Scope

LIMIT = 0.8
"""Least share of right answers, AUC or correlation at which a metric is trusted."""

SIGNIFICANT = 0.05

YES, NO, UNCLEAR, LITTLE, NOT_ASKED = "yes", "no", "unclear", "not enough data", "not asked"

VERDICT_COLUMNS = ["metric", "test", "question", "n", "value", "low", "high", "verdict"]

QUESTIONS: Mapping[str, tuple[str, str]] = {
    "T1": ("better than trivial answers", "trivial answers beaten"),
    "T2 content": ("prefers its own content", "own content fits better"),
    "T2 style": ("prefers its own style", "own style fits better"),
    "T3": ("finds damage worse", "damage makes worse"),
    "T4": ("orders published series", ""),
    "T5": ("orders methods as people do", ""),
    "T6": ("same order on each network", "Spearman"),
    "programs": ("programs of one method are closer", ""),
}
"""Test -> the question in words, and the beginning of its row in the ratings of known cases."""


def verdicts(
    cards: Mapping[str, MetricCard],
    by_kind: pd.DataFrame,
    known: pd.DataFrame,
    people: pd.DataFrame,
    programs: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per metric and question; timing metrics, which score no picture, are left out.

    Args:
        cards: metric name -> card.
        by_kind: ratings on series (``Validation.by_kind``).
        known: ratings on known cases (``Validation.published``).
        people: agreement with votes (``Validation.people``).
        programs: noise of programs (``Validation.programs``).

    Returns:
        ``VERDICT_COLUMNS``; ``n`` is the number of outputs (T1 to T3, T6), series (T4), methods
        (T5) or pairs (programs).
    """
    rows = []
    for name, card in cards.items():
        if card.scope == Scope.TIMING:
            continue
        mine = known[(known["metric"] == name) & (known["part"] == "")]
        for test, (question, what) in QUESTIONS.items():
            if test == "T4":
                table = by_kind[(by_kind["kind"] == FOLDER) & _own(by_kind, name)]
                found = _verdict(table, "sweeps", "tau")
            elif test == "T5":
                found = _people(people[_own(people, name)])
            elif test == "programs":
                found = _verdict(programs[_own(programs, name)], "pairs", "closer")
            else:
                asked = (mine["test"] == test[:2]) & mine["what"].str.startswith(what)
                found = _verdict(mine[asked], "outputs", "value")
            rows.append({"metric": name, "test": test, "question": question, **found})
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def _own(table: pd.DataFrame, name: str) -> pd.Series:
    """Return True for the rows of a metric itself, not of its parts."""
    return (table["metric"] == name) & (table["part"] == "")


def _verdict(table: pd.DataFrame, count: str, column: str) -> dict[str, Any]:
    """Return number and verdict of the first row."""
    if table.empty or pd.isna(table[column].iloc[0]):
        return _number(0, math.nan, math.nan, math.nan, NOT_ASKED)
    row = table.iloc[0]
    value, low, high = (float(row[name]) for name in (column, "low", "high"))
    answer = YES if low >= LIMIT else NO if high < LIMIT else UNCLEAR
    if math.isnan(low):
        answer = LITTLE
    return _number(int(row[count]), value, low, high, answer)


def _people(table: pd.DataFrame) -> dict[str, Any]:
    """Return tau and the verdict of the permutation test."""
    if table.empty or pd.isna(table["tau"].iloc[0]):
        return _number(0, math.nan, math.nan, math.nan, NOT_ASKED)
    row = table.iloc[0]
    if pd.isna(row["least_tau"]):
        answer = LITTLE
    elif row["p"] > SIGNIFICANT:
        answer = UNCLEAR
    else:
        answer = YES if row["tau"] > 0 else NO
    return _number(int(row["methods"]), float(row["tau"]), math.nan, math.nan, answer)


def _number(n: int, value: float, low: float, high: float, verdict: str) -> dict[str, Any]:
    return {"n": n, "value": value, "low": low, "high": high, "verdict": verdict}
