"""One-sided tests of a check: exact where there are few values."""

from __future__ import annotations

import numpy as np
from scipy import stats as tests

from nstbench.analysis.stats import Floats

_EXACT = 60
"""Most values for exact tests; for more, normal approximations are as accurate."""


def signed_rank_p(worse: Floats) -> float:
    """Return the one-sided p-value of Wilcoxon's signed-rank test for values above 0.

    The test is exact for up to 60 values, also with ties. SciPy counts all patterns of signs
    with ties for 13 values at most, and its normal approximation is never as low as 2^-n.

    Args:
        worse: differences (N,), positive where the run is worse; zeros are dropped.

    Returns:
        The p-value; 1 if all differences are 0.

    Example:
        >>> signed_rank_p(np.array([0.1, 0.2, 0.3]))
        0.125
    """
    worse = worse[worse != 0]
    if not len(worse):
        return 1.0
    if len(worse) > _EXACT:
        return float(tests.wilcoxon(worse, alternative="greater", method="asymptotic").pvalue)
    # Twice the rank is a whole number, also for tied values.
    ranks = np.rint(2 * tests.rankdata(np.abs(worse))).astype(np.int64)
    chances = np.zeros(ranks.sum() + 1)
    chances[0] = 1.0
    for rank in ranks:
        positive = np.zeros_like(chances)
        positive[rank:] = chances[:-rank]
        chances = (chances + positive) / 2
    return float(chances[ranks[worse > 0].sum() :].sum())


def rank_sum_p(larger: Floats, smaller: Floats) -> float:
    """Return the one-sided p-value of Mann and Whitney's test that one sample is larger.

    The test is exact for up to 60 values without ties.

    Args:
        larger: the sample that is larger by the alternative, (N,).
        smaller: the other sample, (M,).

    Example:
        >>> rank_sum_p(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]))
        0.05
    """
    both = np.r_[larger, smaller]
    exact = len(both) <= _EXACT and len(np.unique(both)) == len(both)
    method = "exact" if exact else "asymptotic"
    test = tests.mannwhitneyu(larger, smaller, alternative="greater", method=method)
    return float(test.pvalue)
