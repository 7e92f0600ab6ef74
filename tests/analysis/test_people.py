"""Votes of people: read, fitted, and compared with metrics."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import kendalltau, spearmanr
from simulate_boards import metric_card

from nstbench.analysis.validation.people import (
    agreement_with_people,
    agreement_within,
    permutation_test,
    power,
)
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
     ("method,preference\na,many\n", "line 2: preference is not a number"),
     ("content,style,better,worse,own_method\nc,s,a,b,yes\n",
      "line 2: own_method is 'yes', which is not a method")],
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
    assert np.isnan(row["low"])  # two styles have no interval
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


def tidy(values: dict[tuple[str, str, str], float]) -> pd.DataFrame:
    """Scores of a metric ``toy``: (content, style, method) -> value."""
    rows = [(*key, "toy", "", value) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["content", "style", "method", "metric", "part", "value"])


def test_the_owner_of_pairwise_votes_is_named_and_left_out(tmp_path: Path) -> None:
    text = "content,style,better,worse,votes,own_method\nc,s,d,a,9,\nc,s,d,b,9,d\nc,s,a,b,2,\n"
    votes = read_votes(write(tmp_path, text))
    assert votes.own == {"d"}
    scores = tidy({("c", "s", "a"): 0.1, ("c", "s", "b"): 0.2, ("c", "s", "d"): 9.0})
    row = agreement_with_people(scores, votes, {"toy": metric_card("toy")}).iloc[0]
    assert (row["methods"], row["votes"], row["accuracy"]) == (2, 2, 1.0)


def study(seed: int) -> tuple[str, dict[tuple[str, str, str], float]]:
    """Scores of people and of a metric for 3 contents, 6 styles and 4 methods."""
    rng = np.random.default_rng(seed)
    keys = list(itertools.product(["c0", "c1", "c2"], [f"s{i}" for i in range(6)], "abde"))
    said = {key: float(rng.integers(0, 9)) for key in keys}
    values = {key: -said[key] + float(rng.normal(0, 3)) for key in keys}
    lines = [",".join([*key, str(value)]) for key, value in said.items()]
    return "content,style,method,score\n" + "\n".join(lines) + "\n", values


def test_agreement_within_groups_is_the_mean_of_spearman(tmp_path: Path) -> None:
    text, values = study(3)
    votes = read_votes(write(tmp_path, text))
    found = agreement_within(tidy(values), votes, {"toy": metric_card("toy")})
    said = votes.liking.set_index(["content", "style", "method"])["liking"]
    for place, group in enumerate(["content", "style", "method"]):
        names = sorted({key[place] for key in values})
        expected = []
        for name in names:
            keys = [key for key in values if key[place] == name]
            columns = [-values[key] for key in keys], [said[key] for key in keys]
            expected.append(spearmanr(*columns).statistic)
        row = found[found["within"] == group].iloc[0]
        assert row["rho"] == pytest.approx(np.mean(expected))
        assert (row["groups"], row["pictures"]) == (len(names), len(values))
        # three contents and four methods are not enough for an interval, six styles are
        if group == "style":
            assert min(expected) <= row["low"] < row["rho"] < row["high"] <= max(expected)
        else:
            assert np.isnan(row["low"])


def test_agreement_within_leaves_out_the_owner_and_small_groups(tmp_path: Path) -> None:
    text = "content,style,method,score,own_method\n" + "".join(
        f"c,s{i},{m},{n},{'yes' if m == 'd' else 'no'}\n"
        for i in range(3) for m, n in (("a", i), ("b", 2 * i), ("d", 5 - i))
    )  # fmt: skip
    votes = read_votes(write(tmp_path, text))
    values = {("c", f"s{i}", m): -float(i) for i in range(3) for m in ("a", "b", "d")}
    found = agreement_within(tidy(values), votes, {"toy": metric_card("toy")})
    rows = found.set_index("within")
    # a and b: 3 pictures each; a style has two pictures without the owner's
    assert rows.loc["method", ["groups", "pictures", "rho"]].tolist() == [2, 6, 1.0]
    assert rows.loc["style", "groups"] == 0
    assert np.isnan(rows.loc["style", "rho"])


def test_pairwise_votes_are_ordered_within_their_pair(tmp_path: Path) -> None:
    # every picture of the second style has a better value, which votes cannot show
    text = "content,style,better,worse,votes\n" + "".join(
        f"c,s{i},a,b,{3 + i}\nc,s{i},b,d,{3 - i}\n" for i in range(3)
    )
    votes = read_votes(write(tmp_path, text))
    for i in range(3):
        pair = votes.liking[votes.liking["style"] == f"s{i}"].set_index("method")["liking"]
        assert pair.sum() == pytest.approx(0, abs=1e-8)
        assert pair["a"] > pair["b"] > pair["d"]
    values = {
        ("c", f"s{i}", m): 10.0 * i + 0.1 * n
        for i in range(3)
        for n, m in enumerate(("a", "b", "d"))
    }
    found = agreement_within(tidy(values), votes, {"toy": metric_card("toy")})
    rows = found.set_index("within")["rho"]
    assert rows["style"] == pytest.approx(1.0)
    likings = votes.liking.set_index(["style", "method"])["liking"]
    keys = [(f"s{i}", m) for i in range(3) for m in ("a", "b", "d")]
    centred = [0.1 - 0.1 * ("a", "b", "d").index(m) for _, m in keys]
    assert rows["content"] == pytest.approx(spearmanr(centred, likings[keys]).statistic)


def test_votes_on_methods_have_no_groups(tmp_path: Path) -> None:
    votes = read_votes(write(tmp_path, "method,preference\na,1\nb,2\n"))
    scores = tidy({("c", "s", "a"): 0.1, ("c", "s", "b"): 0.2})
    assert agreement_within(scores, votes, {"toy": metric_card("toy")}).empty


def test_the_share_of_votes_has_an_interval_over_styles(tmp_path: Path) -> None:
    text, values = study(4)
    votes = read_votes(write(tmp_path, text))
    row = agreement_with_people(tidy(values), votes, {"toy": metric_card("toy")}).iloc[0]
    right: dict[str, list[float]] = {}
    said = votes.liking.set_index(["content", "style", "method"])["liking"]
    for first, second in itertools.combinations(values, 2):
        if first[:2] == second[:2] and said[first] != said[second]:
            better, worse = sorted((first, second), key=lambda key: -said[key])
            right.setdefault(first[1], []).append(float(values[better] < values[worse]))
    shares = [np.mean(share) for share in right.values()]
    assert row["votes"] == sum(map(len, right.values()))
    assert row["accuracy"] == pytest.approx(np.mean(np.concatenate([*right.values()])))
    assert min(shares) <= row["low"] < row["accuracy"] < row["high"] <= max(shares)


@pytest.mark.parametrize(("count", "least"), [(3, None), (4, None), (6, 0.87)])
def test_the_power_of_the_test_is_stated(tmp_path: Path, count: int, least: float | None) -> None:
    names = [f"m{i}" for i in range(count)]
    text = "method,preference\n" + "".join(f"{m},{i}\n" for i, m in enumerate(names))
    votes = read_votes(write(tmp_path, text))
    scores = tidy({("c", "s", m): -float(i) for i, m in enumerate(names)})
    people = agreement_with_people(scores, votes, {"toy": metric_card("toy")})
    assert people["tau"].item() == 1.0
    assert people["p"].item() == pytest.approx(2 / math.factorial(count))
    words = power(people)
    assert words.startswith(f"{count} methods" if least else f"No order of {count} methods")
    if least:
        # the least tau with at most 5 % of all orders as far from 0
        order = np.arange(count)
        taus = [abs(kendalltau(order, p).statistic) for p in itertools.permutations(order)]
        levels = sorted({round(value, 9) for value in taus})
        found = next(v for v in levels if np.mean(np.array(taus) >= v - 1e-9) <= 0.05)
        assert people["least_tau"].item() == pytest.approx(found)
        assert f"{found:.2f}" in words
        assert found == pytest.approx(least, abs=0.005)


def test_the_test_of_many_methods_is_exact() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(2, 12))
    second += 0.5 * first
    found, p, least = permutation_test(first, second)
    expected = kendalltau(first, second, method="exact")
    assert found == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)
    # the order whose tau is the least significant one, and the next smaller tau
    order = np.arange(12)
    for tau, significant in ((least, True), (least - 4 / (12 * 11), False)):
        swapped = order.copy()
        for _ in range(round((1 - tau) * 12 * 11 / 4)):
            place = next(i for i in range(11) if swapped[i] < swapped[i + 1])
            swapped[[place, place + 1]] = swapped[[place + 1, place]]
        exact = kendalltau(order, swapped, method="exact")
        assert exact.statistic == pytest.approx(tau)
        assert (exact.pvalue <= 0.05) == significant
    # equal entries: random orders, near the exact p of six entries
    few, tied = first[:9].copy(), np.round(second[:9])
    assert 0 < permutation_test(few, tied)[1] <= 1
