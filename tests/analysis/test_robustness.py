"""Other norms, other metrics, other backbones: checked by hand and against NumPy and SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats as reference
from score_frames import method_card, units_of
from simulate_boards import Design, as_scores, metric_card, simulate

from nstbench.analysis.ranking import build_leaderboard
from nstbench.analysis.robustness import (
    NORMS,
    WEIGHT_RATIOS,
    borda,
    home_away,
    pareto_front,
    rank_correlation,
    sensitivity,
)
from nstbench.core.records import Scope

ERRORS = ("content_error", "style_error")


def constant(table, metric):
    """Scores that are the same on every pair: one number per method."""
    return as_scores(np.broadcast_to(np.array(table)[:, None, None], (len(table), 3, 2)), metric)


def card(name, higher=False, scope=Scope.PAIR):
    return replace(metric_card(name), higher_is_better=higher, role="", scope=scope)


# --- Borda -------------------------------------------------------------------------------


def test_borda_by_hand():
    scores = pd.concat(
        [
            constant([0.1, 0.2, 0.3, 0.4], "a"),  # beats 3, 2, 1, 0
            constant([0.9, 0.5, 0.5, 0.1], "b"),  # higher is better: beats 3, 1.5, 1.5, 0
            constant([0.3, 0.1, 0.2, 0.4], "c"),  # beats 1, 3, 2, 0
        ]
    )
    cards = {"a": card("a"), "b": card("b", higher=True), "c": card("c"),
             "fid": card("fid", scope=Scope.SET), "none": card("none")}  # fmt: skip
    frame = borda(scores, cards).set_index("method")
    np.testing.assert_allclose(
        frame["points"][["m00", "m01", "m02", "m03"]], np.array([7, 6.5, 4.5, 0]) / 9
    )
    assert frame["rank"].to_dict() == {"m00": 1, "m01": 2, "m02": 3, "m03": 4}


def test_borda_puts_a_method_without_scores_last():
    scores = pd.concat([constant([1.0, 2.0, 3.0], "a"), constant([1.0, 2.0, 3.0], "b")])
    lost = (scores["metric"] == "b") & (scores["method"] == "m00")
    frame = borda(scores[~lost], {"a": card("a"), "b": card("b")}).set_index("method")
    np.testing.assert_allclose(frame["points"][["m00", "m01", "m02"]], [0.5, 0.75, 0.25])


def test_borda_of_one_method_is_undefined():
    frame = borda(constant([1.0], "a"), {"a": card("a")})
    assert np.isnan(frame["points"].item())


# --- Pareto ------------------------------------------------------------------------------


def test_pareto_by_hand():
    frame = pd.DataFrame(
        {
            "cost": [1.0, 2.0, 2.0, 3.0, 3.0, np.nan, 1.0],
            "gain": [1.0, 3.0, 2.0, 3.0, 4.0, 9.0, 1.0],
        },
        index=list("abcdefg"),
    )
    front = pareto_front(frame, {"cost": False, "gain": True})
    assert front.to_dict() == {"a": True, "b": True, "c": False, "d": False, "e": True,
                               "f": False, "g": True}  # fmt: skip
    assert front.dtype == bool
    assert pareto_front(frame, {"cost": False})[lambda s: s].index.tolist() == ["a", "g"]
    assert not pareto_front(frame.iloc[:0], {"cost": False, "gain": True}).any()


def test_pareto_front_of_random_points_is_not_dominated():
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("xyz"))
    front = pareto_front(points, {"x": False, "y": True, "z": False})
    costs = points.to_numpy() * [1, -1, 1]
    for i, a in enumerate(costs):
        dominated = any(all(b <= a) and any(b < a) for b in costs)
        assert front[i] == (not dominated)


# --- sensitivity -------------------------------------------------------------------------


def test_sensitivity_is_the_weighted_norm_of_each_pair():
    rng = np.random.default_rng(0)
    content, style = rng.uniform(0.1, 1.5, size=(2, 4, 5, 3))
    scores = pd.concat([as_scores(content, "content_error"), as_scores(style, "style_error")])
    frame = sensitivity(scores, *ERRORS)
    assert len(frame) == len(NORMS) * len(WEIGHT_RATIOS) * 4
    default = (content + style).mean(axis=(1, 2))
    for (p, ratio), group in frame.groupby(["p", "ratio"]):
        weight = 2 * ratio / (1 + ratio)
        stacked = np.stack([weight * content, (2 - weight) * style])
        expected = np.linalg.norm(stacked, ord=p, axis=0).mean(axis=(1, 2)) if p != np.inf else (
            stacked.max(axis=0).mean(axis=(1, 2)))  # fmt: skip
        group = group.set_index("method").sort_index()
        np.testing.assert_allclose(group["value"], expected, rtol=1e-12)
        np.testing.assert_array_equal(group["rank"], reference.rankdata(expected))
        tau = reference.kendalltau(default, expected).statistic
        np.testing.assert_allclose(group["kendall_tau"], tau)


def test_sensitivity_finds_an_order_that_depends_on_the_weights():
    scores = pd.concat([constant([0.2, 0.8], "content_error"), constant([0.8, 0.3], "style_error")])
    frame = sensitivity(scores, *ERRORS).set_index(["p", "ratio", "method"])
    assert frame.loc[(1.0, 1.0, "m00"), "rank"] == 1
    assert frame.loc[(1.0, 0.5, "m00"), "rank"] == 2
    assert frame.loc[(1.0, 0.5, "m00"), "kendall_tau"] == -1
    assert frame.loc[(1.0, 1.0, "m00"), "kendall_tau"] == 1


def test_sensitivity_divides_by_the_best_trivial_answer_under_the_same_norm():
    rng = np.random.default_rng(1)
    content, style, *answers = rng.uniform(0.2, 1.2, size=(6, 3, 4, 2))
    # an answer belongs to a pair, not to a method
    answers = [np.broadcast_to(a[:1], a.shape) for a in answers]
    parts = ("content of a", "style of a", "content of b", "style of b")
    frames = [as_scores(content, "content_error"), as_scores(style, "style_error")]
    frames += [
        as_scores(a, "uef").assign(part=part) for a, part in zip(answers, parts, strict=True)
    ]
    frame = sensitivity(pd.concat(frames), *ERRORS, "uef")
    for (p, ratio), group in frame.groupby(["p", "ratio"]):
        weights = np.array([ratio, 1]) * 2 / (1 + ratio)

        def norm(c, s, p=p, weights=weights):
            return np.linalg.norm(np.stack([weights[0] * c, weights[1] * s]), ord=p, axis=0) if (
                np.isfinite(p)) else np.maximum(weights[0] * c, weights[1] * s)  # fmt: skip

        bar = np.minimum(norm(answers[0], answers[1]), norm(answers[2], answers[3]))
        bar = np.minimum(bar, norm(np.zeros(1), np.ones(1)))
        expected = (norm(content, style) / bar).mean(axis=(1, 2))
        found = group.set_index("method").sort_index()["value"]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sensitivity_needs_both_errors_of_a_pair():
    scores = pd.concat([constant([0.2, 0.8], "content_error"), constant([0.8, 0.3], "style_error")])
    fewer = scores[(scores["metric"] == "style_error") | (scores["style"] != "s01")]
    whole = sensitivity(scores[scores["style"] != "s01"], *ERRORS)
    assert_frame_equal(sensitivity(fewer, *ERRORS), whole)
    half = scores[scores["metric"] == "style_error"]
    assert sensitivity(half, *ERRORS)["value"].isna().all()


# --- correlation between metrics ---------------------------------------------------------


def test_rank_correlation_is_scipys_with_directions_turned():
    rng = np.random.default_rng(0)
    base = simulate(Design(methods=5, styles=4, contents=3), rng)
    blocks = {"a": base, "b": np.exp(3 * base), "c": -base, "d": rng.normal(size=base.shape)}
    scores = pd.concat([as_scores(v, name) for name, v in blocks.items()])
    cards = {name: card(name, higher=name == "c") for name in blocks}
    frame = rank_correlation(scores, cards).set_index(["metric", "other"])
    assert len(frame) == 16
    assert (frame["units"] == 60).all()
    for other in "abc":  # monotone maps of each other, once their directions are turned
        np.testing.assert_allclose(
            frame.loc[("a", other), ["spearman", "kendall", "within"]].astype(float), 1
        )
    x, y = blocks["a"].ravel(), blocks["d"].ravel()
    found = frame.loc[("a", "d")]
    assert found["spearman"] == pytest.approx(reference.spearmanr(x, y).statistic)
    assert found["kendall"] == pytest.approx(reference.kendalltau(x, y).statistic)
    assert found["spearman"] == frame.loc[("d", "a"), "spearman"]


def test_within_correlation_ignores_the_difficulty_of_pairs():
    rng = np.random.default_rng(0)
    difficulty = 10 * rng.normal(size=(1, 6, 5))
    quality = np.arange(4.0)[:, None, None]
    scores = pd.concat([as_scores(difficulty + quality, "a"), as_scores(difficulty - quality, "b")])
    frame = rank_correlation(scores, {"a": card("a"), "b": card("b")})
    found = frame.set_index(["metric", "other"]).loc[("a", "b")]
    assert found["spearman"] > 0.9
    assert found["within"] == pytest.approx(-1)


def test_within_correlation_uses_every_pair_that_two_methods_share():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 4, 5, 3))
    scores = pd.concat([as_scores(a, "a"), as_scores(b, "b")], ignore_index=True)
    # m00 and m01 share no pair; m02 did style s04 only; s03 was done by m03 alone
    lost = (
        ((scores["method"] == "m00") & (scores["style"] > "s01"))
        | ((scores["method"] == "m01") & (scores["style"] < "s02"))
        | ((scores["method"] == "m02") & (scores["style"] < "s04"))
        | ((scores["method"] == "m01") & (scores["style"] == "s03"))
    )
    scores = scores[~lost]
    frame = rank_correlation(scores, {"a": card("a"), "b": card("b")})
    found = frame.set_index(["metric", "other"]).loc[("a", "b")]
    places = {"a": [], "b": []}
    for _, pair in scores.groupby(["style", "content"]):
        for name, place in places.items():
            values = pair.loc[pair["metric"] == name].sort_values("method")["value"]
            if len(values) > 1:
                place += list(reference.rankdata(values) - (len(values) + 1) / 2)
    assert found["pairs"] == 12
    assert found["units"] == 3 * (2 + 3 + 1 + 5) - 3
    assert found["within"] == pytest.approx(np.corrcoef(places["a"], places["b"])[0, 1])


def test_seeds_of_a_pair_are_one_pair():
    one = as_scores(np.array([[[1.0]], [[2.0]]]), "a")
    scores = pd.concat([one, one.assign(seed=1)])
    scores = pd.concat([scores, scores.assign(metric="b")])
    frame = rank_correlation(scores, {"a": card("a"), "b": card("b")})
    assert (frame["units"] == 4).all()
    assert (frame["pairs"] == 1).all()
    np.testing.assert_allclose(frame["within"], 1)


def test_rank_correlation_of_constant_and_missing_metrics_is_undefined():
    scores = pd.concat([constant([1.0, 2.0], "a"), constant([1.0, 1.0], "b")])
    frame = rank_correlation(scores, {n: card(n) for n in "abz"}).set_index(["metric", "other"])
    assert np.isnan(frame.loc[("a", "b"), ["spearman", "kendall", "within"]].astype(float)).all()
    assert frame.loc[("a", "z"), "units"] == 0


# --- home and away -----------------------------------------------------------------------


def test_home_and_away_by_hand():
    combined = constant([0.4, 0.5, 0.6], "uef")
    vgg = constant([0.2, 0.3, 0.7], "uef").assign(part="vgg16")
    alex = constant([0.6, 0.7, 0.5], "uef").assign(part="alexnet")
    cards = {"m00": replace(method_card("m00", "gatys", "arbitrary"), trained_on=("vgg16-gram",))}
    bar = constant([0.9, 0.9, 0.9], "uef").assign(part="bar")
    metric = replace(metric_card(), networks=("vgg16", "alexnet"))
    frame = home_away(pd.concat([combined, vgg, alex, bar]), metric, cards)
    assert set(frame["part"]) == {"", "vgg16", "alexnet"}
    table = frame.set_index(["part", "method"])
    assert table.loc["", "rank"].to_dict() == {"m00": 1, "m01": 2, "m02": 3}
    assert table.loc["alexnet", "rank"].to_dict() == {"m02": 1, "m00": 2, "m01": 3}
    assert table.loc["alexnet", "change"].to_dict() == {"m02": -2, "m00": 1, "m01": 1}
    assert (table.loc["vgg16", "change"] == 0).all()
    assert table.index[table["home"]].tolist() == [("vgg16", "m00")]
    assert table.loc[("vgg16", "m00"), "value"] == pytest.approx(0.2)


# --- all of them -------------------------------------------------------------------------


def test_row_order_does_not_matter_and_empty_tables_are_accepted():
    rng = np.random.default_rng(1)
    names = ("uef", "content_error", "style_error")
    draws = [as_scores(simulate(Design(methods=4, styles=3), rng), name) for name in names]
    scores = pd.concat(draws, ignore_index=True).drop(index=[5, 50, 90])
    shuffled = scores.sample(frac=1, random_state=0)
    cards = {name: card(name) for name in names}
    for function in (
        lambda s: borda(s, cards),
        lambda s: sensitivity(s, *ERRORS),
        lambda s: rank_correlation(s, cards),
        lambda s: home_away(s, cards["uef"], {}),
    ):
        assert_frame_equal(function(scores), function(shuffled))
        assert function(scores.iloc[:0]).empty


def test_pareto_membership_on_a_leaderboard():
    scores = pd.concat([constant([0.2, 0.8, 0.9], "content_error"),
                        constant([0.8, 0.3, 0.9], "style_error")])  # fmt: skip
    cards = {n: card(n) for n in ("content_error", "style_error")}
    board = build_leaderboard(scores, units_of(scores), cards, {})
    front = pareto_front(board, {"content_error": False, "style_error": False})
    assert set(board.loc[front, "method"]) == {"m00", "m01"}
