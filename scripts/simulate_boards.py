"""Simulate boards with known truth, and measure the error rates of the leaderboard's statistics.

``python scripts/simulate_boards.py`` prints the tables of ``docs/statistics.md``. The functions
answer the same questions for another design ("how many styles do I need to detect 5 %?").
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as reference

from nstbench.analysis import stats
from nstbench.analysis.ranking import compare_methods
from nstbench.core.cards import MetricCard
from nstbench.core.records import Availability, Scope

LEVEL = 0.6
"""Mean score of every simulated method, in the range of real methods."""

Significant = Callable[[stats.Floats], np.ndarray]
"""Map scores (methods, styles, contents) to one bool per pair of methods, in the order of
``numpy.triu_indices``: True if the two are called different."""


@dataclass(frozen=True, slots=True)
class Design:
    """A simulated board; standard deviations are in units of the score.

    Attributes:
        methods: number of methods, all equally good unless shifted.
        styles: number of styles.
        contents: number of contents per style.
        difficulty: variation of the difficulty of styles, the same for all methods.
        style_effect: variation by which a style suits one method and not another.
        content_effect: variation by which a content suits one method and not another.
        noise: remaining variation, separate for each pair.
        shape: distribution of the effects: ``"normal"``, ``"heavy"`` (Student's t with 3
            degrees of freedom) or ``"skewed"`` (log-normal), all with unit variance.
        spread: largest over smallest style effect among the methods.
    """

    methods: int = 7
    styles: int = 8
    contents: int = 7
    difficulty: float = 0.06
    style_effect: float = 0.06
    content_effect: float = 0.0
    noise: float = 0.03
    shape: str = "normal"
    spread: float = 1.0


def simulate(
    design: Design, generator: np.random.Generator, shifts: Mapping[int, float] | None = None
) -> stats.Floats:
    """Draw the scores of one board, float64 (methods, styles, contents), lower is better.

    Args:
        design: sizes and standard deviations.
        generator: source of random numbers.
        shifts: method index -> true difference of its mean from that of the others.
    """
    shape = (design.methods, design.styles, design.contents)
    scale = np.geomspace(1.0, design.spread, design.methods) / np.sqrt(design.spread)
    values = LEVEL + design.difficulty * generator.standard_normal((1, design.styles, 1))
    values = values + design.noise * _draw(design.shape, shape, generator)
    effect = _draw(design.shape, (design.methods, design.styles, 1), generator)
    values += design.style_effect * scale[:, None, None] * effect
    effect = _draw(design.shape, (design.methods, 1, design.contents), generator)
    values += design.content_effect * effect
    for method, shift in (shifts or {}).items():
        values[method] += shift
    return np.asarray(values)


def _draw(shape: str, size: tuple[int, ...], generator: np.random.Generator) -> stats.Floats:
    """Draw from a distribution with mean 0 and variance 1."""
    if shape == "heavy":
        return np.asarray(generator.standard_t(3, size) / np.sqrt(3))
    if shape == "skewed":
        draws = generator.lognormal(0.0, 1.0, size)
        return np.asarray((draws - np.exp(0.5)) / np.sqrt(np.expm1(1.0) * np.e))
    return generator.standard_normal(size)


def metric_card(name: str = "uef") -> MetricCard:
    """Return the card of a simulated quality metric, lower is better."""
    return MetricCard(
        name=name, title=name, scope=Scope.PAIR, higher_is_better=False,
        range=(-np.inf, np.inf), unit="", citation="", description="", version=1,
        home_for=(), role="quality", order=1, availability=Availability(),
    )  # fmt: skip


def as_scores(values: stats.Floats, metric: str = "uef", size: int = 256) -> pd.DataFrame:
    """Return simulated scores as the tidy table of a run; methods are ``m00``, ``m01``, ..."""
    method, style, content = np.indices(values.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "method": [f"m{i:02d}" for i in method],
            "plugin": [f"m{i:02d}" for i in method],
            "content": [f"c{i:02d}" for i in content],
            "style": [f"s{i:02d}" for i in style],
            "size": size,
            "seed": 0,
            "metric": metric,
            "part": "",
            "value": values.reshape(-1),
        }
    )


# --- tests -------------------------------------------------------------------------------


def by_leaderboard(values: stats.Floats) -> np.ndarray:
    """Test as the leaderboard does, by its public function."""
    frame = compare_methods(as_scores(values), {"uef": metric_card()}, resamples=1)
    different = {frozenset(row[:2]) for row in frame[["better", "worse", "p_holm"]].to_numpy()
                 if row[2] <= 1 - stats.LEVEL}  # fmt: skip
    pairs = zip(*np.triu_indices(len(values), 1), strict=True)
    return np.array([frozenset((f"m{i:02d}", f"m{j:02d}")) in different for i, j in pairs])


def by_pair_wilcoxon(values: stats.Floats) -> np.ndarray:
    """Test by Wilcoxon's signed-rank test over single pairs with Holm, common in the field."""
    return _wilcoxon(values.reshape(len(values), -1))


def by_style_wilcoxon(values: stats.Floats) -> np.ndarray:
    """Test by Wilcoxon's signed-rank test over style means, with Holm."""
    return _wilcoxon(values.mean(axis=2))


def _wilcoxon(values: stats.Floats) -> np.ndarray:
    first, second = np.triu_indices(len(values), 1)
    p = reference.wilcoxon(values[first] - values[second], axis=1).pvalue
    return np.asarray(stats.holm(np.asarray(p)) <= 1 - stats.LEVEL)


def by_sign_flips(values: stats.Floats) -> np.ndarray:
    """Test by step-down max-t over sign flips of styles (Romano and Wolf, Econometrica 73, 2005).

    Up to 12 styles all flips are used, above that 2000 random ones.
    """
    means = values.mean(axis=2)
    first, second = np.triu_indices(len(means), 1)
    differences = means[first] - means[second]
    styles = differences.shape[1]
    if styles <= 12:
        bits = np.arange(2 ** (styles - 1))[:, None] >> np.arange(styles) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (2000, styles))
        bits[0] = 0
    unit = differences / np.sqrt((differences**2).sum(axis=1, keepdims=True))
    t = np.abs((1 - 2 * bits) @ unit.T)
    order = np.argsort(-t[0], kind="stable")
    rest = np.maximum.accumulate(t[:, order[::-1]], axis=1)[:, ::-1]
    p = np.empty(len(order))
    p[order] = np.maximum.accumulate((rest >= t[0, order] - 1e-12).mean(axis=0))
    return np.asarray(p <= 1 - stats.LEVEL)


def family_error(design: Design, test: Significant, *, draws: int = 500, seed: int = 0) -> float:
    """Return the share of boards of equal methods on which any two are called different."""
    generators = np.random.default_rng(seed).spawn(draws)
    return float(np.mean([test(simulate(design, g)).any() for g in generators]))


def power(
    design: Design, test: Significant, shift: float, *, draws: int = 200, seed: int = 0
) -> float:
    """Return the chance that a method better by ``shift`` is distinguished from each other one."""
    involved = np.triu_indices(design.methods, 1)[0] == 0
    generators = np.random.default_rng(seed).spawn(draws)
    shares = [test(simulate(design, g, {0: -shift}))[involved].mean() for g in generators]
    return float(np.mean(shares))


# --- intervals ---------------------------------------------------------------------------


def percentile(means: stats.Floats, seed: int) -> tuple[stats.Floats, stats.Floats]:
    """Return the plain percentile interval of the style bootstrap."""
    resampled = _resample(means, seed)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=1)
    return low, high


def bca(means: stats.Floats, seed: int) -> tuple[stats.Floats, stats.Floats]:
    """Return the bias-corrected and accelerated interval (Efron, JASA 82, 1987)."""
    resampled, centre = _resample(means, seed), means.mean(axis=1, keepdims=True)
    below = ((resampled < centre).mean(axis=1) + (resampled <= centre).mean(axis=1)) / 2
    bias = reference.norm.ppf(np.clip(below, 1e-3, 1 - 1e-3))
    without = (means.sum(axis=1, keepdims=True) - means) / (means.shape[1] - 1)
    skew = without.mean(axis=1, keepdims=True) - without
    acceleration = (skew**3).sum(axis=1) / (6 * (skew**2).sum(axis=1) ** 1.5)
    limits = []
    for tail in (0.025, 0.975):
        z = bias + reference.norm.ppf(tail)
        level = reference.norm.cdf(bias + z / (1 - acceleration * z))
        ordered = np.sort(resampled, axis=1)
        index = np.clip(np.rint(level * (ordered.shape[1] - 1)), 0, ordered.shape[1] - 1)
        limits.append(np.take_along_axis(ordered, index.astype(int)[:, None], axis=1)[:, 0])
    return limits[0], limits[1]


def student(means: stats.Floats, seed: int) -> tuple[stats.Floats, stats.Floats]:
    """Return Student's interval over style means."""
    n = means.shape[1]
    reach = reference.t.ppf(0.975, n - 1) * means.std(axis=1, ddof=1) / np.sqrt(n)
    return means.mean(axis=1) - reach, means.mean(axis=1) + reach


def leaderboard(means: stats.Floats, seed: int) -> tuple[stats.Floats, stats.Floats]:
    """Return the interval of the leaderboard."""
    return stats.interval(means, seed=seed, resamples=2000)


def _resample(means: stats.Floats, seed: int) -> stats.Floats:
    n = means.shape[1]
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=2000)
    return np.asarray(means @ (draws.T / n))


def coverage(
    interval: Callable[[stats.Floats, int], tuple[stats.Floats, stats.Floats]],
    design: Design,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> float:
    """Return the share of simulated methods whose interval contains their true mean.

    Methods of one board share the difficulty of its styles, so every draw is a board of
    one method. Each tenth of the draws has its own resamples.
    """
    hits = []
    for part, generator in enumerate(np.random.default_rng(seed).spawn(10)):
        boards = [simulate(replace(design, methods=1), generator) for _ in range(draws // 10)]
        low, high = interval(stats.mean(np.concatenate(boards)), part)
        hits.append(((low <= LEVEL) & (high >= LEVEL)).mean())
    return float(np.mean(hits))


# --- the tables of the documentation -----------------------------------------------------

TESTS: Mapping[str, Significant] = {
    "leaderboard": by_leaderboard,
    "sign flips, max-t": by_sign_flips,
    "Wilcoxon, styles": by_style_wilcoxon,
    "Wilcoxon, pairs": by_pair_wilcoxon,
}

INTERVALS = {
    "leaderboard": leaderboard,
    "percentile": percentile,
    "BCa": bca,
    "Student": student,
}


def error_table(draws: int = 500) -> pd.DataFrame:
    """Return the family-wise error of each test for equal methods, for several designs."""
    designs = {
        "7 methods, 2 styles": Design(styles=2),
        "7 methods, 3 styles": Design(styles=3),
        "7 methods, 8 styles": Design(),
        "... no style effect": Design(style_effect=0.0),
        "... heavy tails": Design(shape="heavy"),
        "... skewed": Design(shape="skewed"),
        "... spread 10:1": Design(spread=10.0),
        "... skewed, spread 10:1": Design(shape="skewed", spread=10.0),
        "... content effect 0.03": Design(content_effect=0.03),
        "... content effect 0.06": Design(content_effect=0.06),
        "7 methods, 20 styles": Design(styles=20),
        "25 methods, 8 styles": Design(methods=25),
        "25 methods, 20 styles": Design(methods=25, styles=20),
    }
    return _table("design", designs, TESTS, lambda d, test: family_error(d, test, draws=draws))


def power_table(draws: int = 100) -> pd.DataFrame:
    """Return the chance to find a given difference, for several designs and differences."""
    designs = {
        f"{methods} methods, {styles} styles, {part:.0%}": (Design(methods, styles), part * LEVEL)
        for methods, styles in ((7, 5), (7, 8), (25, 8), (25, 20), (25, 50))
        for part in (0.05, 0.1, 0.2)
    }

    def cell(row: tuple[Design, float], test: Significant) -> float:
        return power(row[0], test, row[1], draws=draws)

    return _table("design, difference", designs, TESTS, cell)


def coverage_table(draws: int = 4000) -> pd.DataFrame:
    """Return the coverage of each nominal 95 % interval by number of styles and shape."""
    rows = {
        f"{styles} styles, {shape}": Design(styles=styles, shape=shape, difficulty=0.0)
        for shape in ("normal", "heavy", "skewed")
        for styles in (2, 3, 5, 6, 8, 20, 50)
    }
    return _table("styles", rows, INTERVALS, lambda d, f: coverage(f, d, draws=draws))


def _table(
    head: str,
    rows: Mapping[str, Any],
    tools: Mapping[str, Any],
    cell: Callable[[Any, Any], float],
) -> pd.DataFrame:
    """Return a frame with one cell per row and tool."""
    records = [
        {head: label, **{name: cell(row, tool) for name, tool in tools.items()}}
        for label, row in rows.items()
    ]
    return pd.DataFrame(records)


def markdown(frame: pd.DataFrame) -> str:
    """Return a frame as a Markdown table, with numbers as percentages."""
    lines: Iterable[Iterable[str]] = [
        [f"{100 * v:.1f} %" if isinstance(v, float) else str(v) for v in row]
        for row in frame.itertuples(index=False)
    ]
    head = [list(frame.columns), ["---"] + ["--:"] * (len(frame.columns) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [*head, *lines])


def main() -> None:
    """Print all tables; takes a few minutes."""
    for table in (error_table, power_table, coverage_table):
        sys.stdout.write(f"\n{(table.__doc__ or '').strip()}\n\n{markdown(table())}\n")


if __name__ == "__main__":
    main()
