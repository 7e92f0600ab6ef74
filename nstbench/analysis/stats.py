"""Statistics of crossed designs: averages, intervals and tests with the style as the sample.

All functions take float64 arrays whose last axis runs over units (content, style, seed),
sorted by style, then content, then seed; NaN means "no score". ``docs/statistics.md`` gives the
reason for each procedure and its results on simulated boards, which
``scripts/simulate_boards.py`` computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LEVEL = 0.95
"""Confidence level of every interval, and one minus the significance level of every test."""

FEWEST_STYLES_TO_RESAMPLE = 6
"""With fewer styles, an interval is Student's instead of a bootstrap's (see :func:`interval`)."""

NEGLIGIBLE = 1e-3
"""Largest relative difference of style means that counts as none (see :func:`paired_t`)."""


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """The nesting of the units of an array: seeds in pairs, pairs in styles.

    Attributes:
        styles: style of each unit, (U,), sorted.
        contents: content of each unit, (U,), sorted within a style.
        pair_starts: index of the first unit of each pair, int (P,).
        style_starts: index of the first pair of each style, int (S,).
    """

    styles: NDArray[Any]
    contents: NDArray[Any]
    pair_starts: Ints
    style_starts: Ints

    @classmethod
    def of(cls, styles: NDArray[Any], contents: NDArray[Any]) -> Layout:
        """Return the layout of units, given their styles and contents.

        Args:
            styles: style of each unit, (U,), sorted.
            contents: content of each unit, (U,), sorted within a style.

        Example:
            >>> layout = Layout.of(np.array(["s1", "s1", "s2"]), np.array(["c1", "c2", "c1"]))
            >>> layout.units, layout.style_starts.tolist()
            (3, [0, 2])
        """
        new_style = np.r_[True, styles[1:] != styles[:-1]]
        new_pair = new_style | np.r_[True, contents[1:] != contents[:-1]]
        pair_starts = np.flatnonzero(new_pair)
        return cls(styles, contents, pair_starts, np.flatnonzero(new_style[pair_starts]))

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.styles)

    def seeds(self) -> Ints:
        """Return the number of units of each pair, (P,)."""
        return np.diff(np.r_[self.pair_starts, self.units])

    def keep(self, mask: NDArray[np.bool_]) -> Layout:
        """Return the layout of the units selected by ``mask`` (U,)."""
        return Layout.of(self.styles[mask], self.contents[mask])

    def weights(self) -> Floats:
        """Return the weight (U,) of each unit in a mean with equal weights of styles; sums to 1."""
        seeds = self.seeds()
        pairs = np.diff(np.r_[self.style_starts, len(self.pair_starts)])
        per_pair = 1.0 / (len(pairs) * np.repeat(pairs, pairs))
        return np.repeat(per_pair / seeds, seeds)


def _group_mean(values: Floats, starts: Ints) -> Floats:
    """Average runs of the last axis over their finite entries; NaN where there is none."""
    finite = np.isfinite(values)
    total = np.add.reduceat(np.where(finite, values, 0.0), starts, axis=-1)
    count = np.add.reduceat(finite.astype(np.float64), starts, axis=-1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def pair_means(values: Floats, layout: Layout) -> Floats:
    """Average the seeds of each pair.

    Args:
        values: scores (..., U).
        layout: the nesting of the units.

    Returns:
        Means (..., P); NaN where a pair has no score.
    """
    return _group_mean(values, layout.pair_starts)


def style_means(values: Floats, layout: Layout) -> Floats:
    """Average the seeds of each pair, then the pairs of each style.

    Args:
        values: scores (..., U).
        layout: the nesting of the units.

    Returns:
        Means (..., S); NaN where a style has no score.

    Example:
        >>> layout = Layout.of(np.array(["s1", "s1", "s2"]), np.array(["c1", "c2", "c1"]))
        >>> style_means(np.array([1.0, 3.0, 5.0]), layout)
        array([2., 5.])
    """
    return _group_mean(pair_means(values, layout), layout.style_starts)


def average_ranks(values: Floats) -> Floats:
    """Rank values (N,) without NaN from 1; equal values share the mean of their ranks.

    Example:
        >>> average_ranks(np.array([3.0, 1.0, 3.0]))
        array([2.5, 1. , 2.5])
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


def mean(values: Floats) -> Floats:
    """Average the last axis over its finite entries; NaN where there is none."""
    return _group_mean(values, np.zeros(1, dtype=np.intp))[..., 0]


def comparable_means(values: Floats, layout: Layout) -> Floats:
    """Return means of methods as if all of them had been scored on the same units.

    The model score = method + unit is fitted by least squares, with equal weights of styles.
    Two methods are thus compared on the units they share, directly or through other methods.
    For methods that were scored on every unit the result is their plain mean; the mean of an
    incomplete method is corrected for the difficulty of its units. (The "least-squares means"
    of an unbalanced two-way layout, Searle, Speed and Milliken, The American Statistician 34,
    1980.)

    Args:
        values: scores of one metric (M, U).
        layout: the nesting of the units.

    Returns:
        Means (M,); NaN for methods without a score.
    """
    plain = mean(style_means(values, layout))
    used = np.asarray(np.isfinite(values).any(axis=0))
    values, finite = values[:, used], np.isfinite(values[:, used])
    if finite.all():
        return plain
    weights = layout.keep(used).weights()
    result = np.full(len(values), np.nan)
    for group in _comparable_groups(finite):
        result[group] = _fit_methods(values[group], finite[group], weights, plain[group])
    return result


def _comparable_groups(finite: NDArray[np.bool_]) -> list[Ints]:
    """Split methods into groups connected by shared units."""
    shares = (finite.astype(np.float64) @ finite.T) > 0
    left = set(np.flatnonzero(finite.any(axis=1)).tolist())
    groups = []
    while left:
        group = shares[min(left)]
        while (grown := np.asarray(shares[group].any(axis=0))).sum() > group.sum():
            group = grown
        groups.append(np.flatnonzero(group))
        left -= set(groups[-1].tolist())
    return groups


def _fit_methods(
    values: Floats, finite: NDArray[np.bool_], weights: Floats, plain: Floats
) -> Floats:
    """Solve the normal equations of score = method + unit after eliminating the units."""
    present = finite.astype(np.float64)
    count = present.sum(axis=0)
    share = np.divide(weights, count, out=np.zeros_like(weights), where=count > 0)
    filled = np.where(finite, values, 0.0)
    laplacian = np.diag(present @ weights) - (present * share) @ present.T
    right = filled @ weights - present @ (share * filled.sum(axis=0))
    effects = np.linalg.lstsq(laplacian, right, rcond=None)[0]
    # The fit does not determine the common level; take it from the methods with most units.
    covered = present @ weights
    anchors = covered >= covered.max() - 1e-12
    level = float(np.mean(plain[anchors] - effects[anchors]))
    return np.asarray(effects + level, dtype=np.float64)


def seed_spread(values: Floats, layout: Layout, seeds: Floats) -> Floats:
    """Return the standard deviation over seeds of the mean over styles.

    A pair counts for a method only if the method has a score of it for every seed.

    Args:
        values: scores (M, U).
        layout: the nesting of the units.
        seeds: seed of each unit, (U,).

    Returns:
        Standard deviations (M,), with one seed fewer as the divisor; NaN with fewer than two
        seeds, or without a complete pair.
    """
    names = np.unique(seeds)
    if len(names) < 2:
        return np.full(len(values), np.nan)
    finite = np.isfinite(values).astype(np.intp)
    complete = np.add.reduceat(finite, layout.pair_starts, axis=-1) == len(names)
    kept = np.where(np.repeat(complete, layout.seeds(), axis=-1), values, np.nan)
    means = [
        mean(style_means(kept[:, seeds == seed], layout.keep(seeds == seed))) for seed in names
    ]
    return np.asarray(np.std(means, axis=0, ddof=1), dtype=np.float64)


# --- intervals ---------------------------------------------------------------------------


def interval(means: Floats, *, seed: int, resamples: int) -> tuple[Floats, Floats]:
    """Return 95 % intervals of the mean over styles, by a bootstrap that resamples styles.

    Percentiles of the resampled means are widened so that, for few styles, they reach as
    far as Student's t would: the level a = 0.025 becomes Phi(-sqrt(n/(n-1)) t_{n-1,a})
    (the "expanded percentile interval" of Hesterberg, The American Statistician 69,
    2015, section 5.3). No resample of n styles reaches beyond the least and greatest of
    them, which limits the coverage to 1 - 2^(1-n); with fewer than six styles the result is
    Student's interval. All rows use the same resamples, so adding a method does not change the
    other intervals.

    Args:
        means: style means (R, S); NaN where a method has no score in a style.
        seed: seed of the resampling; the same seed gives the same intervals.
        resamples: number of bootstrap resamples.

    Returns:
        Lower and upper limits, both (R,); NaN for rows with fewer than two styles.
    """
    low = np.full(len(means), np.nan)
    high = np.full(len(means), np.nan)
    if not means.size:
        return low, high
    patterns, row_pattern = np.unique(np.isfinite(means), axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        rows = np.flatnonzero(row_pattern.reshape(-1) == index)
        if pattern.sum() >= 2:
            low[rows], high[rows] = _interval(means[np.ix_(rows, pattern)], seed, resamples)
    return low, high


def _interval(means: Floats, seed: int, resamples: int) -> tuple[Floats, Floats]:
    """Return the interval of complete rows (R, n), n >= 2."""
    # it takes a tenth of a second to import, and a board of one style does not need it
    from scipy import special

    n = means.shape[1]
    quantile = float(special.stdtrit(n - 1, (1 + LEVEL) / 2))
    if n < FEWEST_STYLES_TO_RESAMPLE:
        centre = means.mean(axis=1)
        reach = quantile * means.std(axis=1, ddof=1) / np.sqrt(n)
        return centre - reach, centre + reach
    level = float(special.ndtr(-np.sqrt(n / (n - 1)) * quantile))
    draws = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), size=resamples)
    low, high = np.quantile(means @ (draws.T / n), [level, 1 - level], axis=1)
    return low, high


# --- tests -------------------------------------------------------------------------------


def paired_t(differences: Floats, scale: Floats) -> Floats:
    """Return two-sided p-values of "no difference on average over styles".

    This is a paired t-test with the style as the unit of replication. Scores of pairs that
    share a style are correlated, so they are averaged first. Differences of at most
    ``NEGLIGIBLE`` of the scores count as zero, because rounding to 8 bits, another device or
    another build of a library can cause them. Without this rule, two methods that agree to five
    digits everywhere would be "significantly" different.

    Args:
        differences: style means of one method minus another's (R, S); NaN where the
            two share no unit of a style.
        scale: size of the scores (R,), to which differences are relative.

    Returns:
        p-values (R,); NaN for rows with fewer than two styles, 1 where all differences
        are negligible.
    """
    from scipy import special

    n = np.isfinite(differences).sum(axis=1)
    negligible = np.abs(differences) <= NEGLIGIBLE * scale[:, None]
    kept = np.where(negligible, 0.0, differences)
    centre = mean(kept)
    squares = np.where(np.isfinite(kept), (kept - centre[:, None]) ** 2, 0.0).sum(axis=1)
    testable = n >= 2
    error = np.sqrt(squares / np.maximum(n * (n - 1), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(centre == 0, 0.0, np.abs(centre) / error)
    p = 2 * special.stdtr(np.maximum(n - 1, 1), -t)
    return np.where(testable, p, np.nan)


def signed_rank(differences: Floats, scale: Floats) -> Floats:
    """Return two-sided p-values of Wilcoxon's signed-rank test over styles.

    Negligible differences are dropped, as zeros are in the original test (Biometrics 1, 1945).
    With n styles no p-value is below 2 / 2^n, so ranks do not depend on this test. It is
    reported together with the t-test because it assumes only that differences are symmetric.

    Args:
        differences: see :func:`paired_t`.
        scale: see :func:`paired_t`.

    Returns:
        p-values (R,); NaN for rows with fewer than two styles, 1 where all differences
        are negligible.
    """
    finite = np.isfinite(differences)
    kept = finite & (np.abs(differences) > NEGLIGIBLE * scale[:, None])
    p = np.where(finite.sum(axis=1) >= 2, 1.0, np.nan)
    counts = kept.sum(axis=1)
    # Rows with equally many values are tested in one call.
    for count in np.unique(counts[(counts > 0) & np.isfinite(p)]):
        from scipy.stats import wilcoxon  # takes a second to import, and few boards need it

        rows = np.flatnonzero((counts == count) & np.isfinite(p))
        values = differences[rows][kept[rows]].reshape(len(rows), count)
        p[rows] = wilcoxon(values, axis=1).pvalue
    return p


def holm(p: Floats) -> Floats:
    """Return p-values (R,) adjusted for the number of tests; NaN entries do not count as tests.

    This is the step-down method of Holm, Scandinavian Journal of Statistics 6, 1979. It bounds
    the probability of any false positive under every dependence between the tests.

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan]))
        array([0.02, 0.04,  nan])
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def style_differences(values: Floats, layout: Layout) -> tuple[Ints, Ints, Floats]:
    """Return style means of the differences of all pairs of methods, on their shared units.

    Args:
        values: scores of one metric (M, U).
        layout: the nesting of the units.

    Returns:
        ``(first, second, differences)``: row indices of the two methods, int (R,), and
        style means of first minus second, float64 (R, S), with R = M (M - 1) / 2.
    """
    first, second = (np.asarray(index) for index in np.triu_indices(len(values), 1))
    if np.isfinite(values).all():
        means = style_means(values, layout)
        return first, second, means[first] - means[second]
    # One method against all later ones at a time: memory grows linearly with their number.
    differences = np.empty((len(first), len(layout.style_starts)))
    for i in range(len(values) - 1):
        differences[first == i] = style_means(values[i] - values[i + 1 :], layout)
    return first, second, differences
