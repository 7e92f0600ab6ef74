"""The statistics against independent implementations, and on boards simulated with known truth."""

from __future__ import annotations

import numpy as np
import pytest
import simulate_boards as calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference
from simulate_boards import Design

from nstbench.analysis import stats

GRID = [(style, content) for style in range(6) for content in range(4)]


def layout_of(cells):
    styles, contents = np.array(cells).T
    return stats.Layout.of(styles, contents)


def holey(seed, methods=5, missing=0.3, complete=1):
    """Random scores (methods, 24) of which all but ``complete`` methods miss some."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(methods, len(GRID))) + 3 * rng.normal(size=(1, len(GRID)))
    values[complete:][rng.random((methods - complete, len(GRID))) < missing] = np.nan
    return values


# --- averages ----------------------------------------------------------------------------


def test_style_means_of_an_unbalanced_layout_with_holes():
    cells = [(0, 0), (0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    values = np.array([[1.0, 3.0, 5.0, np.nan, np.nan, 7.0]])
    means = stats.style_means(values, layout_of(cells))
    np.testing.assert_array_equal(means, [[(2.0 + 5.0) / 2, np.nan, 7.0]])
    assert stats.mean(means) == pytest.approx((3.5 + 7) / 2)


def test_weights_reproduce_the_nested_mean():
    layout = layout_of([(0, 0), (0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)])
    values = np.random.default_rng(0).normal(size=(3, 7))
    nested = stats.mean(stats.style_means(values, layout))
    assert layout.weights().sum() == pytest.approx(1)
    np.testing.assert_allclose(values @ layout.weights(), nested, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_comparable_means_solve_the_two_way_regression(seed):
    values = holey(seed, complete=0)
    layout = layout_of(GRID)
    used = np.isfinite(values).any(axis=0)
    method, unit = np.nonzero(np.isfinite(values))
    design = np.zeros((len(method), values.shape[0] + values.shape[1]))
    design[np.arange(len(method)), method] = 1
    design[np.arange(len(method)), values.shape[0] + unit] = 1
    root = np.sqrt(layout.keep(used).weights()[np.cumsum(used)[unit] - 1])
    effects = np.linalg.lstsq(design * root[:, None], values[method, unit] * root, rcond=None)[0]
    expected = effects[: len(values)]
    found = stats.comparable_means(values, layout)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), missing=st.floats(0, 0.95))
def test_comparable_means_of_complete_methods_are_their_plain_means(seed, missing):
    values = holey(seed, missing=missing, complete=3)
    layout = layout_of(GRID)
    plain = stats.mean(stats.style_means(values, layout))
    np.testing.assert_allclose(stats.comparable_means(values, layout)[:3], plain[:3], atol=1e-9)


def test_comparable_means_of_methods_without_a_common_unit_are_their_own():
    values = np.full((3, len(GRID)), np.nan)
    values[0, :12], values[1, 12:] = 1.0, 5.0
    np.testing.assert_allclose(
        stats.comparable_means(values, layout_of(GRID)), [1.0, 5.0, np.nan], atol=1e-12
    )


# --- intervals ---------------------------------------------------------------------------


def test_few_styles_get_students_interval():
    means = np.random.default_rng(0).normal(size=(3, 5))
    low, high = stats.interval(means, seed=0, resamples=10)
    for index, sample in enumerate(means):
        expected = reference.t.interval(0.95, 4, sample.mean(), reference.sem(sample))
        np.testing.assert_allclose([low[index], high[index]], expected, rtol=1e-12)


def test_many_styles_get_the_expanded_percentile_bootstrap():
    sample = np.random.default_rng(0).exponential(size=12)
    low, high = stats.interval(sample[None], seed=0, resamples=20_000)
    rng = np.random.default_rng(99)
    resampled = [rng.choice(sample, size=12).mean() for _ in range(20_000)]
    level = reference.norm.cdf(np.sqrt(12 / 11) * reference.t.ppf(0.025, 11))
    assert level < 0.025
    expected = np.quantile(resampled, [level, 1 - level])
    np.testing.assert_allclose([low[0], high[0]], expected, atol=0.02)


def test_styles_without_a_score_are_left_out_of_an_interval():
    means = np.random.default_rng(0).normal(size=(4, 9))
    means[1, :2], means[2, 1:], means[3] = np.nan, np.nan, np.nan
    low, high = stats.interval(means, seed=3, resamples=500)
    alone = stats.interval(means[1:2, 2:], seed=3, resamples=500)
    assert (low[1], high[1]) == (alone[0][0], alone[1][0])
    assert np.isnan(low[2:]).all()
    assert np.isnan(high[2:]).all()
    assert np.isfinite(low[:2]).all()


# --- tests -------------------------------------------------------------------------------


def test_paired_t_is_scipys_on_style_means():
    rng = np.random.default_rng(0)
    first, second = rng.normal(5, 1, size=(2, 9))
    second[4] = np.nan
    p = stats.paired_t((first - second)[None], np.array([5.0]))
    kept = np.isfinite(second)
    assert p[0] == pytest.approx(reference.ttest_rel(first[kept], second[kept]).pvalue)


def test_paired_t_of_special_rows():
    nan = np.nan
    rows = np.array(
        [[0, 0, 0, 0], [1e-4, -9e-4, 9e-4, 0], [1, 1, 1, 1], [1, nan, nan, nan], [nan] * 4]
    )
    p = stats.paired_t(rows, np.ones(5))
    np.testing.assert_array_equal(p, [1.0, 1.0, 0.0, nan, nan])


def test_holm_by_hand():
    p = np.array([0.04, 0.01, np.nan, 0.03, 0.02])
    # sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, then made monotone
    np.testing.assert_allclose(stats.holm(p), [0.06, 0.04, np.nan, 0.06, 0.06])
    np.testing.assert_array_equal(stats.holm(np.array([0.6, 0.9])), [1.0, 1.0])
    assert stats.holm(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_differences_are_taken_on_shared_units(seed):
    values = holey(seed, complete=0)
    layout = layout_of(GRID)
    first, second, differences = stats.style_differences(values, layout)
    assert len(first) == 10
    for i, j, row in zip(first, second, differences, strict=True):
        np.testing.assert_array_equal(row, stats.style_means(values[i] - values[j], layout))


# --- simulations -------------------------------------------------------------------------


def within(share, nominal, draws, deviations=3.0):
    """Return whether a simulated share is its nominal value up to Monte-Carlo error."""
    return abs(share - nominal) <= deviations * np.sqrt(nominal * (1 - nominal) / draws)


def below(share, nominal, draws, deviations=3.0):
    return share <= nominal + deviations * np.sqrt(nominal * (1 - nominal) / draws)


@pytest.mark.parametrize("styles", [2, 8])
def test_two_equal_methods_differ_at_the_nominal_rate(styles):
    design = Design(methods=2, styles=styles)
    assert within(
        calibration.family_error(design, calibration.by_leaderboard, draws=200), 0.05, 200
    )


def test_family_error_with_style_effects_on_100_draws():
    found = calibration.family_error(Design(), calibration.by_leaderboard, draws=100)
    assert below(found, 0.05, 100)


def test_the_simulated_style_effects_do_break_a_test_that_ignores_them():
    draws = 60
    assert calibration.family_error(Design(), calibration.by_pair_wilcoxon, draws=draws) > 0.5
    plain = Design(style_effect=0.0)
    assert below(
        calibration.family_error(plain, calibration.by_pair_wilcoxon, draws=draws), 0.05, draws
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        Design(),
        Design(styles=3),
        Design(style_effect=0.0),
        Design(shape="heavy"),
        Design(shape="skewed"),
        Design(spread=10.0),
        Design(styles=20),
        Design(methods=25),
    ],
    ids=str,
)
def test_family_error_on_500_ties(design):
    found = calibration.family_error(design, calibration.by_leaderboard, draws=500)
    assert found <= 0.05


def test_large_differences_are_found_where_rank_tests_cannot_find_any():
    design = Design(styles=8)
    shift = 0.3
    assert calibration.power(design, calibration.by_leaderboard, shift, draws=20) > 0.9
    assert calibration.power(design, calibration.by_style_wilcoxon, shift, draws=20) == 0


@pytest.mark.parametrize(("styles", "nominal"), [(2, 0.95), (5, 0.95), (8, 0.94), (20, 0.95)])
def test_intervals_cover_the_true_mean(styles, nominal):
    design = Design(styles=styles, difficulty=0.0)
    found = calibration.coverage(calibration.leaderboard, design, draws=2000)
    assert within(found, nominal, 2000, deviations=4)


def test_the_plain_percentile_interval_does_not_cover_on_few_styles():
    design = Design(styles=5, difficulty=0.0)
    assert calibration.coverage(calibration.percentile, design, draws=1000) < 0.87
    assert calibration.coverage(calibration.bca, design, draws=1000) < 0.87


def test_markdown_table():
    frame = calibration.error_table(draws=1).iloc[:1]
    lines = calibration.markdown(frame).splitlines()
    assert lines[0].startswith("| design | leaderboard |")
    assert lines[1] == "| --- | --: | --: | --: | --: |"
    assert "%" in lines[2]
