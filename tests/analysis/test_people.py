"""Votes of people: read, fitted, and compared with metrics."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import kendalltau
from simulate_boards import metric_card

from nstbench.analysis.validation.people import agreement_with_people, permutation_test
from nstbench.analysis.validation.votes import bradley_terry, read_votes
from nstbench.core.errors import UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "votes.csv"
    path.write_text(text)
    return path


def test_methods_with_the_owner(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path, "method,preference,own_method\na,0.2,no\nb,0.8,yes\n"))
    assert votes.kind == "methods"
    assert votes.strength.to_dict() == {"a": 0.2, "b": 0.8}
    assert votes.own == {"b"}
    assert votes.duels.empty


def test_scores_become_duels(tmp_path: Path) -> None:
    text = "content,style,method,score\nc,s,a,3\nc,s,b,1\nc,s,d,1\nc,t,a,2\n"
    votes = read_votes(write(tmp_path, text))
    assert votes.kind == "scores"
    assert votes.strength["a"] == 2.5
    duels = votes.duels[["better", "worse"]].to_numpy().tolist()
    assert sorted(duels) == [["a", "b"], ["a", "d"]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("method,likes\na,1\n", "has the columns method, likes"),
     ("method,preference\na,many\n", "line 2: preference is not a number")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_votes(write(tmp_path, text))


def test_bradley_terry_is_the_most_likely_fit() -> None:
    rng = np.random.default_rng(0)
    names = list("abcd")
    rows = [
        {"better": i, "worse": j, "votes": float(rng.integers(1, 9))}
        for i, j in itertools.permutations(names, 2)
    ]
    duels = pd.DataFrame(rows)
    wins = np.zeros((4, 4))
    for row in rows:
        wins[names.index(row["better"]), names.index(row["worse"])] += row["votes"]
    # Half a vote each way, as the function adds.
    wins += 0.5 * (1 - np.eye(4))

    def loss(free: np.ndarray) -> float:
        strength = np.concatenate([[0.0], free])
        chance = np.log1p(np.exp(strength[None] - strength[:, None]))
        return float((wins * chance).sum())

    best = np.concatenate([[0.0], minimize(loss, np.zeros(3), tol=1e-12).x])
    np.testing.assert_allclose(bradley_terry(duels)[names], best - best.mean(), atol=1e-4)


def test_a_method_without_defeat_has_a_finite_strength() -> None:
    duels = pd.DataFrame({"better": ["a", "a"], "worse": ["b", "c"], "votes": [5.0, 5.0]})
    strength = bradley_terry(duels)
    assert np.isfinite(strength).all()
    assert strength.idxmax() == "a"


def test_permutation_test_counts_all_orders() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 6))
    found, p, least = permutation_test(first, second)
    assert found == pytest.approx(kendalltau(first, second).statistic)
    taus = [abs(kendalltau(first, row).statistic) for row in itertools.permutations(second)]
    assert p == pytest.approx(np.mean(np.array(taus) >= abs(found) - 1e-9))
    assert least == pytest.approx(0.8667, abs=1e-3)
    # No order of three methods is significant.
    assert np.isnan(permutation_test(first[:3], second[:3])[2])


def test_agreement_by_hand(tmp_path: Path) -> None:
    text = "content,style,better,worse,votes\nc,s,a,b,3\nc,s,b,d,2\nc,t,a,d,1\nc,t,b,a,1\n"
    votes = read_votes(write(tmp_path, text))
    values = {("s", "a"): 0.2, ("s", "b"): 0.5, ("s", "d"): 0.4,
              ("t", "a"): 0.3, ("t", "b"): 0.6, ("t", "d"): 0.9}  # fmt: skip
    scores = pd.DataFrame(
        [{"content": "c", "style": s, "method": m, "metric": "toy", "part": "", "value": v}
         for (s, m), v in values.items()]
    )  # fmt: skip
    row = agreement_with_people(scores, votes, {"toy": metric_card("toy")}).iloc[0]
    # Right: a over b (3) and a over d (1); wrong: b over d (2) and b over a (1).
    assert row["votes"] == 7
    assert row["accuracy"] == pytest.approx(4 / 7)
    assert row["within_style"] == pytest.approx((3 / 5 + 1 / 2) / 2)
    assert row["methods"] == 3
    other = replace(metric_card("toy"), higher_is_better=True)
    turned = agreement_with_people(scores, votes, {"toy": other}).iloc[0]
    assert turned["accuracy"] == pytest.approx(3 / 7)
    assert turned["tau"] == pytest.approx(-row["tau"])


def test_the_owner_is_left_out(tmp_path: Path) -> None:
    text = "method,preference,own_method\na,1,no\nb,2,no\nd,9,yes\n"
    votes = read_votes(write(tmp_path, text))
    scores = pd.DataFrame(
        [{"content": "c", "style": "s", "method": m, "metric": "toy", "part": "", "value": v}
         for m, v in (("a", 0.9), ("b", 0.5), ("d", 5.0))]
    )  # fmt: skip
    row = agreement_with_people(scores, votes, {"toy": metric_card("toy")}).iloc[0]
    assert (row["methods"], row["tau"]) == (2, 1.0)
