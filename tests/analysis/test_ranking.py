"""The leaderboard on synthetic score tables with known results."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from score_frames import method_card, units_of
from simulate_boards import Design, as_scores, metric_card, simulate

from nstbench.analysis import stats
from nstbench.analysis.ranking import build_leaderboard, compare_methods
from nstbench.core.board import quality_metric
from nstbench.core.records import Scope

QUALITY = {"uef": metric_card()}


def board_of(scores, metrics=QUALITY, units=None, methods=None, **options):
    units = units_of(scores) if units is None else units
    return build_leaderboard(scores, units, metrics, methods or {}, **options)


def row(board, method, size=256):
    found = board[(board["method"] == method) & (board["size"] == size)]
    assert len(found) == 1
    return found.iloc[0]


def boards(design=None, seed=0, shifts=None):
    return as_scores(simulate(design or Design(), np.random.default_rng(seed), shifts))


def single(metric, method, value, part="", size=256):
    """A row of a set or timing metric."""
    return {"method": method, "plugin": method, "content": "", "style": "", "size": size,
            "seed": None, "metric": metric, "part": part, "value": value}  # fmt: skip


# --- averages and coverage ---------------------------------------------------------------


def test_styles_have_equal_weight_for_any_number_of_contents_and_seeds():
    # style a: one pair with two seeds; style b: two pairs with one seed
    cells = [("a", "x", 0, 1.0), ("a", "x", 1, 3.0), ("b", "x", 0, 4.0), ("b", "y", 0, 8.0)]
    scores = pd.DataFrame(
        [
            {"method": "m", "plugin": "m", "content": c, "style": s, "size": 256, "seed": k,
             "metric": "uef", "part": "", "value": v}
            for s, c, k, v in cells
        ]
    )  # fmt: skip
    board = board_of(scores)
    assert row(board, "m")["uef"] == pytest.approx(((1 + 3) / 2 + (4 + 8) / 2) / 2)
    assert row(board, "m")["coverage"] == "4/4"


def test_columns_are_those_of_the_contract():
    cards = {"uef": metric_card(), "latency": replace(metric_card("latency"), scope=Scope.TIMING),
             "fid": replace(metric_card("fid"), scope=Scope.SET)}  # fmt: skip
    scores = boards(Design(methods=2))
    timing = pd.DataFrame([single("latency", "m00", 0.5), single("latency", "m01", 1.5)])
    board = board_of(pd.concat([scores, timing]), cards,
                     methods={"m00": method_card("m00", "plugin_a", "arbitrary")})  # fmt: skip
    assert list(board.columns) == [
        "rank", "rank_low", "rank_high", "method", "plugin", "flexibility", "size", "coverage",
        "done", "planned", "uef", "uef_low", "uef_high", "latency", "fid",
    ]  # fmt: skip
    assert row(board, "m00")[["plugin", "flexibility"]].tolist() == ["plugin_a", "arbitrary"]
    assert row(board, "m01")[["plugin", "flexibility"]].tolist() == ["m01", ""]
    assert row(board, "m01")["latency"] == 1.5
    assert board["fid"].isna().all()
    assert (board["uef_low"] < board["uef"]).all()
    assert (board["uef"] < board["uef_high"]).all()
    assert all(board[c].dtype.kind == "i" for c in ("rank", "rank_low", "rank_high", "done"))


def test_intervals_of_single_values_come_from_their_parts_only():
    card = replace(metric_card("fid"), scope=Scope.SET)
    rows = [single("fid", "m00", 9.0), single("fid", "m00", 8.0, "low"),
            single("fid", "m00", 11.0, "high"), single("fid", "m00", 1.0, "q25")]  # fmt: skip
    scores = pd.concat([boards(Design(methods=1)), pd.DataFrame(rows)])
    board = board_of(scores, {**QUALITY, "fid": card})
    assert row(board, "m00")[["fid", "fid_low", "fid_high"]].tolist() == [9.0, 8.0, 11.0]


def test_failed_units_lower_the_coverage_and_their_stale_scores_are_ignored():
    scores = boards(Design(methods=2))
    scores.loc[(scores["method"] == "m00") & (scores["style"] == "s00"), "value"] = 100.0
    units = units_of(scores)
    units.loc[(units["method"] == "m00") & (units["style"] == "s00"), "status"] = "failed"
    board = board_of(scores, units=units)
    assert row(board, "m00")[["coverage", "done", "planned"]].tolist() == ["49/56", 49, 56]
    assert row(board, "m00")["uef"] < 1
    assert row(board, "m01")["coverage"] == "56/56"


def test_an_incomplete_method_is_ranked_on_shared_pairs():
    # "weak" is worse than "full" everywhere, but only finished the easy styles.
    difficulty = np.array([0.2, 0.2, 0.9, 0.9, 0.9, 0.9])
    full = np.repeat(difficulty[:, None], 3, axis=1)
    values = np.stack([full, full * 1.2])
    scores = as_scores(values)
    units = units_of(scores)
    lost = (units["method"] == "m01") & (units["style"] > "s01")
    units.loc[lost, "status"] = "oom"
    board = board_of(scores, units=units)
    assert row(board, "m01")["uef"] == pytest.approx(0.24)
    assert row(board, "m00")["uef"] == pytest.approx(difficulty.mean())
    assert row(board, "m00")["rank"] == 1
    assert row(board, "m01")["rank"] == 2


def test_values_that_are_not_finite_count_as_missing():
    scores = boards(Design(methods=2))
    scores.loc[scores.index[:3], "value"] = [np.nan, np.inf, -np.inf]
    kept = scores.drop(index=scores.index[:3])
    assert_frame_equal(board_of(scores), board_of(kept, units=units_of(scores)))


def test_methods_without_a_score_come_last():
    scores = boards(Design(methods=3))
    units = units_of(scores)
    units.loc[units["method"] == "m01", "status"] = "failed"
    board = board_of(scores, units=units)
    assert board["method"].tolist()[-1] == "m01"
    last = row(board, "m01")
    assert last[["rank", "rank_low", "rank_high", "coverage"]].tolist() == [3, 3, 3, "0/56"]
    assert np.isnan(last["uef"])
    assert row(board, "m00")["rank_high"] <= 2


def test_no_scores_at_all():
    scores = boards(Design(methods=2))
    board = board_of(scores.iloc[:0], units=units_of(scores, status="failed"))
    assert board[["rank", "rank_low", "rank_high"]].isna().all(axis=None)
    assert board["uef"].isna().all()
    assert compare_methods(scores.iloc[:0], QUALITY).empty


def test_sizes_are_ranked_apart_and_a_size_that_was_only_timed_has_a_row():
    card = replace(metric_card("latency"), scope=Scope.TIMING)
    small = boards(Design(methods=2), shifts={0: -0.3})
    large = as_scores(simulate(Design(methods=2), np.random.default_rng(1), {1: -0.3}), size=512)
    timing = pd.DataFrame([single("latency", "m00", 2.0, size=1024)])
    board = board_of(pd.concat([small, large, timing]), {**QUALITY, "latency": card})
    assert board[["size", "method", "rank"]].fillna(0).to_numpy().tolist() == [
        [256, "m00", 1], [256, "m01", 2], [512, "m01", 1], [512, "m00", 2], [1024, "m00", 0],
    ]  # fmt: skip
    assert board.loc[board["size"] == 1024, ["rank", "rank_low", "rank_high"]].isna().all(axis=None)
    assert row(board, "m00", 1024)["coverage"] == "0/0"


def test_seeds_of_mixed_type_still_match_their_units():
    scores = pd.concat([boards(Design(methods=1)), pd.DataFrame([single("fid", "m00", 1.0)])])
    assert scores["seed"].isna().any()
    units = units_of(scores)
    units["seed"] = units["seed"].astype(int)
    assert np.isfinite(row(board_of(scores, units=units), "m00")["uef"])


def test_two_values_for_one_unit_are_refused():
    scores = boards(Design(methods=1))
    with pytest.raises(ValueError, match="two values"):
        board_of(pd.concat([scores, scores.iloc[:1]]))


# --- order and ties ----------------------------------------------------------------------


def test_order_follows_the_direction_of_the_quality_metric():
    scores = boards(shifts={3: -0.3, 5: 0.3})
    assert board_of(scores)["method"].iloc[[0, -1]].tolist() == ["m03", "m05"]
    upwards = {"uef": replace(metric_card(), higher_is_better=True)}
    assert board_of(scores, upwards)["method"].iloc[[0, -1]].tolist() == ["m05", "m03"]


def test_without_a_quality_metric_the_first_pair_metric_orders():
    cards = {"lpips": replace(metric_card("lpips"), role=""),
             "uef": replace(metric_card(), role="")}  # fmt: skip
    first = as_scores(simulate(Design(), np.random.default_rng(0), {2: -0.5}), "lpips")
    board = board_of(pd.concat([first, boards(shifts={4: -0.5})]), cards)
    assert board["method"].iloc[0] == "m02"


@pytest.mark.parametrize("missing", ["dropped", "not finite"])
def test_a_quality_metric_without_numbers_orders_nothing(missing):
    cards = {"uef": metric_card(), "ssim": replace(metric_card("ssim"), role="", order=20),
             "fid": replace(metric_card("fid"), role="", scope=Scope.SET, order=0)}  # fmt: skip
    second = as_scores(simulate(Design(), np.random.default_rng(0), {2: -0.5}), "ssim")
    first = boards().assign(value=np.nan) if missing == "not finite" else boards().iloc[:0]
    scores = pd.concat([first, second])
    board = board_of(scores, cards)
    assert board["method"].iloc[0] == "m02"
    assert board["rank"].tolist() == list(range(1, 8))
    assert len(compare_methods(scores, cards)) == 21
    assert quality_metric(cards, {"uef", "ssim"}).name == "uef"
    assert quality_metric(cards, {"ssim", "fid"}).name == "ssim"
    assert quality_metric(cards, {"fid"}) is None


def test_the_result_does_not_depend_on_the_order_of_rows():
    design = Design(methods=4, styles=7, contents=3)
    scores = boards(design).drop(index=[3, 20, 41])
    parts = scores.assign(part="vgg16")
    scores = pd.concat([scores, parts, pd.DataFrame([single("fid", "m00", 1.0)])])
    cards = {**QUALITY, "fid": replace(metric_card("fid"), scope=Scope.SET)}
    expected = board_of(scores, cards)
    comparison = compare_methods(scores, cards)
    for seed in range(3):
        shuffled = scores.sample(frac=1, random_state=seed)
        units = units_of(shuffled).sample(frac=1, random_state=seed)
        assert_frame_equal(board_of(shuffled, cards, units=units), expected)
        assert_frame_equal(compare_methods(shuffled, cards), comparison)


def test_the_seed_changes_intervals_only():
    scores = boards()
    first, again, other = (board_of(scores, seed=s) for s in (1, 1, 2))
    assert_frame_equal(first, again)
    limits = ["uef_low", "uef_high"]
    assert not np.array_equal(first[limits], other[limits])
    assert_frame_equal(first.drop(columns=limits), other.drop(columns=limits))


def test_adding_a_method_does_not_change_the_numbers_of_others():
    scores = boards(Design(methods=5))
    fewer = board_of(scores[scores["method"] != "m04"]).set_index("method")
    numbers = ["uef", "uef_low", "uef_high"]
    more = board_of(scores).set_index("method").drop("m04").loc[fewer.index]
    np.testing.assert_allclose(more[numbers], fewer[numbers], rtol=1e-12)


def test_a_single_style_gives_neither_intervals_nor_differences():
    board = board_of(boards(Design(styles=1, contents=30), shifts={0: -0.5}))
    assert "uef_low" not in board
    assert row(board, "m00")["rank"] == 1
    assert (board["rank_low"] == 1).all()
    assert (board["rank_high"] == 7).all()


def test_a_single_method_is_first():
    board = board_of(boards(Design(methods=1)))
    assert board[["rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1, 1]]


def test_tie_groups_count_significant_differences_in_both_directions():
    # Two groups far apart, without differences within a group.
    scores = boards(Design(methods=5, styles=12), shifts={0: -0.4, 1: -0.4})
    board = board_of(scores).set_index("method")
    assert board.loc[["m00", "m01"], ["rank_low", "rank_high"]].to_numpy().tolist() == [[1, 2]] * 2
    rest = board.loc[["m02", "m03", "m04"], ["rank_low", "rank_high"]].to_numpy().tolist()
    assert rest == [[3, 5]] * 3
    assert (board["rank_low"] <= board["rank"]).all()
    assert (board["rank"] <= board["rank_high"]).all()


def test_differences_below_a_thousandth_are_ties():
    values = np.ones((3, 12, 4))
    values[1] -= 0.0005
    values[2] -= 0.005
    board = board_of(as_scores(values)).set_index("method")
    assert board.loc["m02", ["rank_low", "rank_high"]].tolist() == [1, 1]
    assert board.loc[["m00", "m01"], ["rank_low", "rank_high"]].to_numpy().tolist() == [[2, 3]] * 2


def test_intervals_stay_inside_the_range_of_the_metric():
    values = np.zeros((1, 2, 2))
    values[0, 1] = 1.0
    card = {"ssim": replace(metric_card("ssim"), range=(-1.0, 1.0), higher_is_better=True)}
    board = board_of(as_scores(values, "ssim"), card)
    assert row(board, "m00")[["ssim", "ssim_low", "ssim_high"]].tolist() == [0.5, -1.0, 1.0]


# --- comparisons -------------------------------------------------------------------------


def test_comparisons_give_the_better_method_and_the_difference():
    values = simulate(Design(methods=3, styles=20), np.random.default_rng(0), {1: -0.2})
    frame = compare_methods(as_scores(values), QUALITY)
    means = values.mean(axis=(1, 2))
    assert len(frame) == 3
    for _, line in frame.iterrows():
        better, worse = int(line["better"][1:]), int(line["worse"][1:])
        assert line["difference"] == pytest.approx(means[worse] - means[better])
        assert line["low"] < line["difference"] < line["high"]
        assert line["p"] <= line["p_holm"]
    involved = frame[(frame["better"] == "m01") | (frame["worse"] == "m01")]
    assert involved["better"].tolist() == ["m01", "m01"]
    assert (involved["p_holm"] <= 0.05).all()


def test_comparisons_agree_with_the_tie_groups():
    scores = boards(Design(methods=6, styles=10), seed=3, shifts={0: -0.15, 5: 0.2})
    told = compare_methods(scores, QUALITY).query("p_holm <= 0.05")
    assert len(told) > 0
    for _, line in board_of(scores).iterrows():
        assert line["rank_low"] == 1 + (told["worse"] == line["method"]).sum()
        assert line["rank_high"] == 6 - (told["better"] == line["method"]).sum()


def test_methods_without_a_shared_unit_are_not_compared():
    scores = boards(Design(methods=2))
    even = scores["style"].isin(["s00", "s02", "s04", "s06"])
    scores = scores[even == (scores["method"] == "m00")]
    assert compare_methods(scores, QUALITY).empty
    board = board_of(scores)
    assert board["rank"].tolist() == [1, 2]
    assert board["rank_low"].tolist() == [1, 1]
    assert board["rank_high"].tolist() == [2, 2]


def test_groups_without_a_shared_unit_are_not_ranked_against_each_other():
    # m00 beats m01 on some styles, m02 beats m03 by far on others
    scores = boards(Design(methods=4, styles=16), shifts={1: 0.3, 2: 0.6, 3: 0.9})
    early = scores["style"] < "s08"
    scores = scores[early == scores["method"].isin(["m00", "m01"])]
    board = board_of(scores).set_index("method")[["rank_low", "rank_high"]]
    assert board.loc[["m00", "m02"]].to_numpy().tolist() == [[1, 3]] * 2
    assert board.loc[["m01", "m03"]].to_numpy().tolist() == [[2, 4]] * 2


def test_a_planted_difference_of_5_percent_is_found():
    design = Design(methods=2, styles=20, contents=10, style_effect=0.02, noise=0.05)
    found = 0
    for generator in np.random.default_rng(5).spawn(40):
        values = simulate(design, generator)
        values[1] *= 0.95
        frame = compare_methods(as_scores(values), QUALITY, resamples=1)
        found += frame["better"].item() == "m01" and frame["p_holm"].item() <= 0.05
    assert found >= 36


# --- speed -------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0, 50])
def test_forty_methods_and_four_hundred_pairs_take_seconds(lost):
    names = ["uef", *(f"metric{i}" for i in range(14))]
    values = simulate(Design(methods=40, styles=20, contents=20), np.random.default_rng(0))
    scores = pd.concat([as_scores(values, name) for name in names], ignore_index=True)
    scores = scores.drop(index=scores.index[::lost]) if lost else scores
    cards = {n: replace(metric_card(n), role="quality" if n == "uef" else "") for n in names}
    units = units_of(scores)
    start = time.perf_counter()
    board = build_leaderboard(scores, units, cards, {})
    assert time.perf_counter() - start < 15
    assert len(board) == 40
    assert set(itertools.chain(*((n, f"{n}_low", f"{n}_high") for n in names))) <= set(board)


def test_wilcoxon_does_not_change_the_ranks():
    from scipy.stats import wilcoxon

    values = simulate(Design(methods=3, styles=6), np.random.default_rng(5), {0: -0.3})
    frame = compare_methods(as_scores(values), QUALITY, resamples=1).set_index(["better", "worse"])
    for (better, worse), line in frame.iterrows():
        first, second = (values[int(name[1:])].mean(axis=1) for name in (better, worse))
        assert line["p_wilcoxon"] == pytest.approx(wilcoxon(first, second).pvalue)
        assert line["p_wilcoxon"] <= line["p_wilcoxon_holm"] <= 3 * line["p_wilcoxon"] + 1e-12
    # All six styles agree; the smallest p-value that six styles can give is 2 / 2^6.
    best = frame.loc[[pair for pair in frame.index if pair[0] == "m00"]]
    assert best["p_wilcoxon"].tolist() == [pytest.approx(2 / 2**6)] * 2


def test_wilcoxon_drops_negligible_and_missing_differences():
    nan = np.nan
    differences = np.array(
        [[0.1, 0.2, -0.3, 0.4, 0.5], [1e-6, 1e-6, -1e-6, 1e-6, 0.0], [0.1, nan, nan, nan, nan],
         [0.1, nan, 1e-6, 0.3, 0.2]]
    )  # fmt: skip
    p = stats.signed_rank(differences, np.ones(4))
    # Only the third rank is negative: 5 of the 2^5 signs give a sum of negative ranks up to 3.
    assert p[:2].tolist() == [pytest.approx(2 * 5 / 2**5), 1.0]
    assert np.isnan(p[2])
    assert p[3] == pytest.approx(0.25)
