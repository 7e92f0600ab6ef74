"""Votes of people on pictures, as preferences between methods.

Three kinds of CSV files are read, told apart by their columns; every file may have a column
``own_method``, which marks the method of the study's authors: ``yes`` or ``no`` where a row has one
method, and the name of the method in a file of pairs.

* Methods: ``method, preference`` (share or number of votes; more is better). One row a method.
* Pairs: ``content, style, better, worse`` and optionally ``votes`` (1 by default). One row a vote
  or a count of equal votes; ``better`` and ``worse`` are methods.
* Scores: ``content, style, method, score`` (more is better). One row a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nstbench.core.errors import UsageError
from nstbench.core.text import printable

METHODS, PAIRS, SCORES = "methods", "pairs", "scores"

_COLUMNS = {
    PAIRS: ("content", "style", "better", "worse"),
    SCORES: ("content", "style", "method", "score"),
    METHODS: ("method", "preference"),
}
LIKING = ["content", "style", "method", "liking"]
_YES = ("yes", "true", "1")

# Enough for a change below 1e-10 on any table of a few dozen methods.
_STEPS = 10_000
_CLOSE = 1e-10


@dataclass(frozen=True, eq=False, slots=True)
class Votes:
    """Votes of people.

    Attributes:
        kind: ``"methods"``, ``"pairs"`` or ``"scores"``.
        strength: method -> preference of people; more is better. Bradley-Terry log strengths
            for pairs, means for scores.
        duels: ``content, style, better, worse, votes``: which of two pictures people prefer;
            empty for votes on methods.
        liking: ``content, style, method, liking``: how much people like each picture; empty for
            votes on methods. Scores are means over the file. Pairwise votes compare pictures of
            one pair only, so they give Bradley-Terry log strengths with mean 0 on each pair.
        own: methods of the study's authors.
    """

    kind: str
    strength: pd.Series
    duels: pd.DataFrame
    own: frozenset[str]
    liking: pd.DataFrame


def read_votes(path: Path) -> Votes:
    """Read a file of votes.

    Raises:
        UsageError: if the file cannot be read or is of none of the three kinds.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--humans: {printable(path)} cannot be read: {error}. Give a CSV file of votes."
        ) from error
    kinds = [kind for kind, names in _COLUMNS.items() if set(names) <= set(table.columns)]
    if not kinds or table.empty:
        wanted = "; ".join(", ".join(names) for names in _COLUMNS.values())
        raise UsageError(
            f"--humans: {printable(path)} has the columns {', '.join(map(str, table.columns))}. "
            f"Give it those of one kind of votes: {wanted}."
        )
    kind = kinds[0]
    own = _own(table, kind, path)
    if kind == METHODS:
        strength = _numbers(table, "preference", path).groupby(table["method"].astype(str)).mean()
        return Votes(kind, strength, _no_duels(), own, pd.DataFrame(columns=LIKING))
    if kind == SCORES:
        scores = _numbers(table, "score", path)
        table = table.assign(score=scores, method=table["method"].astype(str))
        liking = table.groupby(LIKING[:3])["score"].mean().rename("liking").reset_index()
        strength = table.groupby("method")["score"].mean()
        return Votes(kind, strength, _duels_of(table), own, liking)
    duels = table.assign(
        votes=_numbers(table, "votes", path) if "votes" in table else 1.0,
        better=table["better"].astype(str),
        worse=table["worse"].astype(str),
    )[[*_COLUMNS[PAIRS], "votes"]]
    return Votes(kind, bradley_terry(duels), duels, own, _liking(duels))


def _liking(duels: pd.DataFrame) -> pd.DataFrame:
    """Fit each pair's votes alone."""
    rows = [
        (*pair, method, liking)
        for pair, votes in duels.groupby(["content", "style"])
        for method, liking in bradley_terry(votes).items()
    ]
    return pd.DataFrame(rows, columns=LIKING)


def bradley_terry(duels: pd.DataFrame) -> pd.Series:
    """Fit strengths to pairwise votes: P(i beats j) = w_i / (w_i + w_j).

    Minorisation and maximisation (D. Hunter, "MM algorithms for generalized Bradley-Terry models",
    Annals of Statistics 32, 2004). Half a vote each way is added to every two methods that met, so
    that a method without a defeat has a finite strength.

    Args:
        duels: ``better, worse, votes``.

    Returns:
        Method -> log strength, with mean 0.
    """
    names = sorted({*duels["better"], *duels["worse"]})
    place = {name: i for i, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    rows = duels["better"].map(place).to_numpy(), duels["worse"].map(place).to_numpy()
    np.add.at(wins, rows, duels["votes"].to_numpy(dtype=float))
    met = (wins + wins.T) > 0
    wins = wins + 0.5 * met
    strength = np.ones(len(names))
    for _ in range(_STEPS):
        sums = np.where(met, (wins + wins.T) / (strength[:, None] + strength), 0.0).sum(axis=1)
        found = wins.sum(axis=1) / np.maximum(sums, 1e-300)
        found /= np.exp(np.log(np.maximum(found, 1e-300)).mean())
        change = np.abs(np.log(found) - np.log(strength)).max()
        strength = found
        if change < _CLOSE:
            break
    return pd.Series(np.log(strength), index=names)


def _own(table: pd.DataFrame, kind: str, path: Path) -> frozenset[str]:
    if "own_method" not in table:
        return frozenset()
    said = table["own_method"].fillna("").astype(str).str.strip()
    if kind != PAIRS:
        return frozenset(table.loc[said.str.lower().isin(_YES), "method"].astype(str))
    known = {*table["better"].astype(str), *table["worse"].astype(str)}
    for line, name in enumerate(said, start=2):
        if name and name not in known:
            raise UsageError(
                f"--humans: {printable(path)}, line {line}: own_method is '{printable(name)}', "
                "which is not a method of the file. In a file of pairs, give the name of the "
                "authors' method, or leave it empty."
            )
    return frozenset(said) - {""}


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table[column], errors="coerce")
    if numbers.isna().any():
        line = int(np.flatnonzero(numbers.isna())[0]) + 2
        raise UsageError(
            f"--humans: {printable(path)}, line {line}: {column} is not a number. Correct it."
        )
    return numbers.astype(float)


def _no_duels() -> pd.DataFrame:
    return pd.DataFrame(columns=[*_COLUMNS[PAIRS], "votes"])


def _duels_of(table: pd.DataFrame) -> pd.DataFrame:
    """Turn scores into duels: of two pictures of a pair, the one with the higher score wins."""
    both = table.merge(table, on=["content", "style"], suffixes=("", "_other"))
    both = both[both["score"] > both["score_other"]]
    names = {"method": "better", "method_other": "worse"}
    return both.rename(columns=names).assign(votes=1.0)[[*_COLUMNS[PAIRS], "votes"]]
