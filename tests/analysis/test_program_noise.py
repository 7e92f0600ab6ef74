"""Noise of programs, and the table that says which metric to trust for what."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulate_boards import metric_card

from nstbench.analysis.validation.case_ratings import KNOWN_COLUMNS, PEOPLE_COLUMNS
from nstbench.analysis.validation.programs import data_of, program_noise
from nstbench.analysis.validation.validate import Validation
from nstbench.analysis.validation.verdicts import QUESTIONS
from nstbench.core.records import Availability, Scope
from nstbench.plan.variants import metric_cards

METHODS = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b"}


def outputs(pairs: int, seed: int = 0, noise: float = 0.5) -> pd.DataFrame:
    """Scores of programs of two methods and of a third one on every pair."""
    rng = np.random.default_rng(seed)
    levels = {"a": 0.0, "b": 1.0, "c": 2.0}
    rows = [
        ("real", program, f"c{i}", f"s{i % 3}", "toy", "", levels[METHODS.get(program, "c")]
         + rng.normal(0, noise))
        for i in range(pairs) for program in (*METHODS, "c")
    ]  # fmt: skip
    names = ["test", "method", "content", "style", "metric", "part", "value"]
    return pd.DataFrame(rows, columns=names)


def noise_of(scores: pd.DataFrame, methods: dict[str, str] = METHODS) -> dict[str, float]:
    frame = program_noise(scores, {"toy": metric_card("toy")}, methods)
    return frame.iloc[0].to_dict()


def by_hand(scores: pd.DataFrame) -> np.ndarray:
    """Distance within, distance between, and share of comparisons of every pair."""
    found = []
    for content in scores["content"].unique():
        pair = scores[scores["content"] == content].set_index("method")["value"]
        within, between = [], []
        for first, second in itertools.combinations(pair.index, 2):
            same = METHODS.get(first, first) == METHODS.get(second, second)
            (within if same else between).append(abs(pair[first] - pair[second]))
        right = [w < b for w, b in itertools.product(within, between)]
        found.append((np.mean(within), np.mean(between), np.mean(right)))
    return np.array(found)


def test_distances_within_and_between_methods() -> None:
    scores = outputs(8)
    found, expected = noise_of(scores), by_hand(scores)
    assert (found["pairs"], found["couples"]) == (8, 8 * 4)
    values = [found[name] for name in ("within", "between", "closer")]
    np.testing.assert_allclose(values, expected.mean(axis=0))
    draws = np.random.default_rng(9).integers(0, 8, (4000, 8))
    ends = np.quantile(expected[draws, 2].mean(axis=1), (0.025, 0.975))
    np.testing.assert_allclose([found["low"], found["high"]], ends, atol=0.02)


def test_equal_distances_count_half() -> None:
    scores = outputs(1).set_index("method").loc[["a1", "a2", "c"]].reset_index()
    found = noise_of(scores.assign(value=[0.0, 1.0, 0.5]))
    # the distance within is 1, those between are 0.5 each
    assert (found["within"], found["between"], found["closer"]) == (1.0, 0.5, 0.0)
    assert noise_of(scores.assign(value=[0.0, 1.0, 2.0]))["closer"] == pytest.approx(0.75)


def test_noise_without_difference_of_methods_is_chance() -> None:
    scores = outputs(200)
    scores["value"] = np.random.default_rng(1).normal(size=len(scores))
    found = noise_of(scores)
    assert found["low"] < 0.5 < found["high"]


def test_too_little_data_is_said() -> None:
    few = program_noise(outputs(4), {"toy": metric_card("toy")}, METHODS)
    assert np.isnan(few["low"].item())
    assert np.isfinite(few["closer"].item())
    assert "Not enough data for an interval" in data_of(few)
    none = program_noise(outputs(9), {"toy": metric_card("toy")}, {})
    assert none["pairs"].item() == 0
    assert np.isnan(none["within"].item())
    assert data_of(none).startswith("Not enough data: ")
    # two programs of one method on different pairs cannot be compared
    scores = outputs(6)
    odd = scores["content"].isin(["c1", "c3", "c5"])
    apart = scores[(scores["method"] == "c") | (odd & (scores["method"] == "a1"))
                   | (~odd & (scores["method"] == "a2"))]  # fmt: skip
    assert noise_of(apart)["pairs"] == 0


# --- verdicts ----------------------------------------------------------------------------


def result(**tables: pd.DataFrame) -> Validation:
    by_kind = pd.DataFrame(columns=["metric", "part", "kind", "sweeps", "tau", "low", "high"])
    empty = Validation(pd.DataFrame(), by_kind, pd.DataFrame(), {})
    return replace(empty, **tables)


def verdict(validation: Validation, test: str, metric: str = "toy") -> str:
    table = validation.verdicts
    return table[(table["metric"] == metric) & (table["test"] == test)]["verdict"].item()


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.81, 0.9, "yes"), (0.7, 0.79, "no"), (0.7, 0.9, "unclear"),
     (np.nan, np.nan, "not enough data")],
)  # fmt: skip
def test_a_verdict_follows_from_the_interval(low: float, high: float, answer: str) -> None:
    rows = [
        ("toy", "", "T1", "trivial answers beaten", 9, 0.8, low, high),
        ("toy", "alexnet", "T3", "damage makes worse", 9, 0.99, 0.98, 1.0),
        ("toy", "", "T6", "Spearman, vgg16 and alexnet", 9, 0.8, low, high),
    ]
    made = result(published=pd.DataFrame(rows, columns=KNOWN_COLUMNS))
    made = made.with_verdicts({"toy": metric_card("toy")})
    assert verdict(made, "T1") == verdict(made, "T6") == answer
    assert verdict(made, "T3") == "not asked"  # that row is of one network alone


@pytest.mark.parametrize(
    ("tau", "p", "least", "answer"),
    [(0.9, 0.02, 0.87, "yes"), (-0.9, 0.02, 0.87, "no"), (0.5, 0.3, 0.87, "unclear"),
     (1.0, 0.3, np.nan, "not enough data")],
)  # fmt: skip
def test_agreement_with_people_needs_significance(
    tau: float, p: float, least: float, answer: str
) -> None:
    row = ("toy", "", 6, tau, p, least, 0, np.nan, np.nan, np.nan)
    made = result(people=pd.DataFrame([row], columns=PEOPLE_COLUMNS))
    assert verdict(made.with_verdicts({"toy": metric_card("toy")}), "T5") == answer


def test_series_and_programs_have_verdicts() -> None:
    by_kind = pd.DataFrame(
        [("toy", "", "folder", 6, 0.95, 0.9, 1.0), ("toy", "", "blend", 6, 0.1, 0.0, 0.2)],
        columns=["metric", "part", "kind", "sweeps", "tau", "low", "high"],
    )
    programs = program_noise(outputs(8, noise=0.01), {"toy": metric_card("toy")}, METHODS)
    made = result(by_kind=by_kind, programs=programs).with_verdicts({"toy": metric_card("toy")})
    assert verdict(made, "T4") == "yes"
    assert verdict(made, "programs") == "yes"


def test_every_metric_of_pictures_has_a_row_per_question() -> None:
    cards = metric_cards("all")
    made = result().with_verdicts(cards)
    expected = {name for name, card in cards.items() if card.scope != Scope.TIMING}
    assert expected >= {"uef", "beats_bar", "content_error", "style_error", "fid", "ssim"}
    counts = made.verdicts.groupby("metric").size()
    assert set(counts.index) == expected
    assert (counts == len(QUESTIONS)).all()
    assert made.to_dict()["verdicts"][0]["value"] is None


def test_unusable_metrics_keep_their_reason() -> None:
    card = replace(metric_card("toy"), availability=Availability(ok=False, reason="no weights"))
    timing = replace(card, name="clock", scope=Scope.TIMING)
    made = result().with_verdicts({"toy": card, "clock": timing})
    assert made.unavailable == {"toy": "no weights"}
    assert set(made.verdicts["metric"]) == {"toy"}
