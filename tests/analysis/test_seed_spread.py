"""The spread of a board's value over the seeds of a run."""

from __future__ import annotations

import numpy as np
import pytest

from nstbench.analysis.stats import Layout, average_ranks, seed_spread

STYLES = np.array(["s", "s", "s", "s", "t", "t"])
CONTENTS = np.array(["a", "a", "b", "b", "a", "a"])
SEEDS = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
LAYOUT = Layout.of(STYLES, CONTENTS)


def test_the_spread_is_that_of_the_means_over_styles():
    values = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 8.0]])
    by_seed = [((1 + 3) / 2 + 5) / 2, ((2 + 4) / 2 + 8) / 2]
    (spread,) = seed_spread(values, LAYOUT, SEEDS)
    assert spread == pytest.approx(np.std(by_seed, ddof=1))


def test_pairs_that_lack_a_seed_do_not_count():
    values = np.array([[1.0, np.nan, 3.0, 4.0, 5.0, 8.0]])
    (spread,) = seed_spread(values, LAYOUT, SEEDS)
    assert spread == pytest.approx(np.std([(3 + 5) / 2, (4 + 8) / 2], ddof=1))


def test_one_seed_has_no_spread():
    layout = Layout.of(STYLES[::2], CONTENTS[::2])
    assert np.isnan(seed_spread(np.ones((2, 3)), layout, np.zeros(3))).all()


def test_ranks_are_those_of_scipy():
    from scipy.stats import rankdata

    values = np.random.default_rng(0).integers(0, 9, 40).astype(float)
    values[3] = np.inf
    assert average_ranks(values).tolist() == rankdata(values).tolist()
