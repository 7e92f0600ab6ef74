"""Iterations to match: the count is read off the reference's own course."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nstbench.core.errors import UsageError
from nstbench.training.iterations_to_match import Matching, iterations_to_match, summary


@pytest.fixture
def order(picture_folders, network_weights):
    contents, styles = map(str, picture_folders)

    def make(methods, reference="gatys_2015:iterations=12"):
        return Matching(methods, reference, contents, styles, limit=1, size=64, device="cpu")

    return make


def test_a_shorter_optimisation_matches_itself_and_a_bad_picture_matches_at_once(order):
    """The reference stopped after k evaluations is reached at the k-th, or just before."""
    table = iterations_to_match(order("gatys_2015:iterations=6,noise")).set_index("method")
    own = table.loc["gatys_2015:iterations=6"]
    assert 3 <= own["iterations"] <= 7
    assert own["last"] < own["loss"] < own["first"]
    # noise of its own is about as good as the noise that the reference begins with
    assert table.loc["noise"]["iterations"] <= 2


def test_what_the_reference_never_reaches_is_said(order):
    table = iterations_to_match(order("gatys_2015:iterations=24", "gatys_2015:iterations=3"))
    assert table["iterations"].isna().all()
    row = summary(table).iloc[0]
    assert (row["pairs"], row["reached"]) == (1, 0)
    assert np.isinf(row["median"])


def test_summary_counts_unreached_pairs_as_most():
    table = pd.DataFrame({"method": ["a", "a", "a", "b"], "iterations": [3, None, 9, 5]})
    result = summary(table)
    assert list(result.index) == ["b", "a"]
    assert result.loc["a", "median"] == 9
    assert result.loc["a", "low"] == 3
    assert np.isinf(result.loc["a", "high"])


@pytest.mark.parametrize(
    "reference", ["content_copy", "gatys_2015:coarse_scales=[0.5],coarse_iterations=[2]"]
)
def test_references_that_cannot_be_one(order, reference):
    with pytest.raises(UsageError, match="--reference"):
        iterations_to_match(order("noise", reference))
