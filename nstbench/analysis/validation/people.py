"""Do the metrics agree with people?

There are three questions. *Do metric and people give the same order of methods?* Kendall's tau of
the methods' mean scores and of the votes on methods, with a permutation test. *Does the picture
that people prefer have the better score?* The share of votes. *Do metric and people put pictures in
the same order within one style, within one content, within one method?* Spearman's correlation, a
mean over the groups, as in the study of ASTRA (arXiv 2610.10003, 2026). The last two need votes on
pictures. The method of the study's authors does not take part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nstbench.analysis.robustness import tau
from nstbench.analysis.validation.case_ratings import (
    FEWEST_STYLES,
    PEOPLE_COLUMNS,
    WITHIN_COLUMNS,
)
from nstbench.analysis.validation.known_cases import REAL, Case
from nstbench.analysis.validation.published import read_published, score_cases
from nstbench.analysis.validation.votes import PAIRS, Votes, read_votes
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError
from nstbench.core.records import Scope
from nstbench.core.text import printable
from nstbench.plan.listener import Listener

LEVEL = 0.05
MOST_EXACT = 8
"""Methods up to which all orders are tried."""

DRAWS = 20_000

GROUPS = ("style", "content", "method")
"""What is the same for all pictures of a group within which they are ordered."""

FEWEST_PICTURES = 3
"""Pictures that a group needs for a correlation."""

FEWEST_GROUPS = 5
"""Groups below which no interval is given."""

_RESAMPLES = 2000
VOTES_FILE = "votes.csv"


def validate_people(
    place: Path,
    cards: Mapping[str, MetricCard],
    size: int,
    device: str,
    listener: Listener,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the pictures that people voted on, and compare.

    Args:
        place: folder with ``contents``, ``styles``, ``outputs/<method>`` and ``votes.csv``, or a
            file of votes in such a folder.
        cards: metric name -> card.
        size: side of the squares that pictures are cropped to.
        device: torch device of the networks.
        listener: receives progress and notes.

    Returns:
        The frames of :func:`agreement_with_people` and :func:`agreement_within`.

    Raises:
        UsageError: if the folder or the votes are not of that form.
        ImageError: if a picture cannot be read.
    """
    folder, file = (place, place / VOTES_FILE) if place.is_dir() else (place.parent, place)
    votes = read_votes(file)
    published = read_published(folder, size, "--humans")
    made = {output.method for output in published.outputs}
    known = made & set(votes.strength.index)
    if len(known - votes.own) < 2:
        raise UsageError(
            f"--humans: {printable(file)} and {printable(folder / 'outputs')} share "
            f"{len(known - votes.own)} methods, not counting the owner's. Name the folders of "
            "outputs as the votes name the methods."
        )
    found = [Case(REAL, o.method, o.content, o.style, "", 0, o.pixels) for o in published.outputs]
    scores = score_cases(found, published, cards, device, listener)
    return agreement_with_people(scores, votes, cards), agreement_within(scores, votes, cards)


def agreement_with_people(
    scores: pd.DataFrame, votes: Votes, cards: Mapping[str, MetricCard]
) -> pd.DataFrame:
    """Compare each pair metric, and each of its networks alone, with votes.

    Args:
        scores: tidy: ``method, content, style, metric, part, value``.
        votes: the votes.
        cards: metric name -> card.

    Returns:
        ``PEOPLE_COLUMNS``: ``methods`` compared; ``tau`` of their order; ``p``, the share of all
        orders whose tau is as far from 0; ``least_tau``, the least tau that would have p <= 0.05
        (NaN if none has: then no order of so few methods is significant); ``votes`` on pictures
        that are scored, and the share of them that agree (``accuracy``; ties count one half) with
        its 95 % interval over styles (``low``, ``high``; NaN with fewer than ``FEWEST_STYLES``).
    """
    rows = [
        {"metric": name, "part": part, **_compare(table, votes)}
        for name, part, table in _tables(scores, votes, cards)
    ]
    return pd.DataFrame(rows, columns=PEOPLE_COLUMNS)


def agreement_within(
    scores: pd.DataFrame, votes: Votes, cards: Mapping[str, MetricCard]
) -> pd.DataFrame:
    """Compare the order of pictures within one style, content or method.

    Pairwise votes compare only pictures of one pair. Where votes are pairwise, the mean of the pair
    is therefore subtracted from the scores, too.

    Args:
        scores: tidy: ``method, content, style, metric, part, value``.
        votes: the votes.
        cards: metric name -> card.

    Returns:
        ``WITHIN_COLUMNS``: ``within`` is style, content or method; ``groups`` is the number of
        groups with at least ``FEWEST_PICTURES`` pictures that are not all equal, ``pictures`` that
        of their pictures; ``rho`` is the mean of Spearman's correlation with the people's liking
        over the groups, with its 95 % interval over groups (NaN with fewer than
        ``FEWEST_GROUPS``). Empty for votes on methods.
    """
    rows: list[dict[str, Any]] = []
    for name, part, table in _tables(scores, votes, cards) if len(votes.liking) else ():
        both = table.merge(votes.liking, on=["content", "style", "method"]).dropna()
        if votes.kind == PAIRS:
            pair = both.groupby(["content", "style"])["value"]
            centred = both["value"] - pair.transform("mean")
            # the last bits would order equal values
            both["value"] = (centred / both["value"].abs().max()).round(9)
        rows += [{"metric": name, "part": part, **_within(both, group)} for group in GROUPS]
    return pd.DataFrame(rows, columns=WITHIN_COLUMNS)


def _within(table: pd.DataFrame, group: str) -> dict[str, Any]:
    """Return the mean correlation of values and liking over the groups."""
    found, pictures = [], 0
    for _, rows in table.groupby(group):
        ranks = rows[["value", "liking"]].rank().to_numpy(dtype=np.float64)
        if len(rows) >= FEWEST_PICTURES and (ranks.std(axis=0) > 0).all():
            found.append(float(np.corrcoef(ranks, rowvar=False)[0, 1]))
            pictures += len(rows)
    low, high = _bootstrap(np.array(found), np.ones(len(found)), FEWEST_GROUPS)
    return {
        "within": group, "groups": len(found), "pictures": pictures,
        "rho": float(np.mean(found)) if found else math.nan, "low": low, "high": high,
    }  # fmt: skip


def _bootstrap(sums: np.ndarray, weights: np.ndarray, fewest: int) -> tuple[float, float]:
    """Return the 95 % interval of sum(sums) / sum(weights) over draws of the groups."""
    count = len(sums)
    if count < fewest:
        return math.nan, math.nan
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    low, high = np.quantile(draws @ sums / (draws @ weights), (0.025, 0.975))
    return float(low), float(high)


def _tables(
    scores: pd.DataFrame, votes: Votes, cards: Mapping[str, MetricCard]
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield metric, part and its scores without the owner's, turned so that more is better."""
    for name, card in cards.items():
        if card.scope != Scope.PAIR:
            continue
        mine = scores[(scores["metric"] == name) & ~scores["method"].isin(votes.own)]
        sign = 1.0 if card.higher_is_better else -1.0
        for part in ["", *(p for p in card.networks if p in set(mine["part"]))]:
            table = mine[mine["part"] == part]
            if len(table):
                yield name, part, table.assign(value=sign * table["value"].astype(float))


def _compare(table: pd.DataFrame, votes: Votes) -> dict[str, Any]:
    # only pairs of all methods: an easier pair would favour a method
    wide = table.pivot_table(index=["content", "style"], columns="method", values="value")
    means = wide.dropna(axis=0).mean() if wide.notna().all(axis=1).any() else wide.mean()
    names = [name for name in means.index if name in votes.strength.index]
    own = means[names].to_numpy(dtype=float)
    said = votes.strength[names].to_numpy(dtype=float)
    found, p, least = permutation_test(own, said)
    return {
        "methods": len(names), "tau": found, "p": p, "least_tau": least, **_accuracy(table, votes)
    }  # fmt: skip


def power(people: pd.DataFrame) -> str:
    """Return a sentence on the power of a test with so many methods."""
    count = int(people["methods"].max())
    least = people["least_tau"].min()
    if pd.isna(least):
        return f"No order of {count} methods is significant: the test has no power."
    sure = int((people["p"] <= LEVEL).sum())
    return (
        f"{count} methods: only |tau| of {least:.2f} and more is significant (p <= {LEVEL:g}), "
        f"which {sure} of {len(people)} numbers reach. Smaller ones say nothing."
    )


def permutation_test(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Return Kendall's tau of two columns, its two-sided p, and the least significant tau.

    All orders of the second column count. They are tried up to ``MOST_EXACT`` entries. Beyond, the
    exact distribution of tau is used (M. Kendall, Biometrika 30, 1938), or, with equal entries,
    ``DRAWS`` random orders and the order itself.
    """
    count = len(first)
    if count < 2:
        return math.nan, math.nan, math.nan
    found = tau(first, second)
    if count > MOST_EXACT and len(np.unique(first)) == len(np.unique(second)) == count:
        levels, shares = _distribution(count)
        return found, *_two_sided(found, levels, shares)
    if count <= MOST_EXACT:
        orders = list(itertools.permutations(range(count)))
    else:
        generator = np.random.default_rng(0)
        orders = [tuple(range(count))]
        orders += [tuple(generator.permutation(count)) for _ in range(DRAWS)]
    signs = np.sign(first[:, None] - first), np.sign(second[:, None] - second)
    norm = math.sqrt(float((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    if norm == 0:
        return math.nan, math.nan, math.nan
    order = np.array(orders)
    taus = np.abs([float((signs[0] * signs[1][np.ix_(row, row)]).sum()) / norm for row in order])
    return found, *_two_sided(found, taus, np.full(len(taus), 1 / len(taus)))


def _distribution(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return |tau| for each number of discordant pairs, and the share of orders that have it."""
    shares = np.ones(1)
    for n in range(2, count + 1):
        # a further entry adds 0 to n - 1 discordant pairs, each in one of n places
        shares = np.convolve(shares, np.full(n, 1 / n))
    return np.abs(1 - 2 * np.arange(len(shares)) / (len(shares) - 1)), shares


def _two_sided(found: float, taus: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Return p of a tau and the least significant tau, given |tau| of orders and their shares."""
    p = float(shares[taus >= abs(found) - 1e-9].sum())
    for level in np.unique(np.round(taus, 9)):
        if shares[taus >= level - 1e-9].sum() <= LEVEL + 1e-12:
            return p, float(level)
    return p, math.nan


def _accuracy(table: pd.DataFrame, votes: Votes) -> dict[str, float]:
    """Return the number of votes on scored pictures and the shares that agree."""
    duels = votes.duels[~votes.duels["better"].isin(votes.own)]
    duels = duels[~duels["worse"].isin(votes.own)]
    values = table.set_index(["content", "style", "method"])["value"]
    values = values[~values.index.duplicated()]
    for side in ("better", "worse"):
        keys = pd.MultiIndex.from_frame(duels[["content", "style", side]])
        duels = duels.assign(**{f"value_{side}": values.reindex(keys).to_numpy()})
    duels = duels.dropna(subset=["value_better", "value_worse"])
    if duels.empty:
        return {"votes": 0, "accuracy": math.nan, "low": math.nan, "high": math.nan}
    right = 0.5 * (1 + np.sign(duels["value_better"] - duels["value_worse"]))
    duels = duels.assign(right=right * duels["votes"])
    styles = duels.groupby("style")[["right", "votes"]].sum().to_numpy(dtype=np.float64)
    low, high = _bootstrap(styles[:, 0], styles[:, 1], FEWEST_STYLES)
    share = float(duels["right"].sum() / duels["votes"].sum())
    return {"votes": float(duels["votes"].sum()), "accuracy": share, "low": low, "high": high}
