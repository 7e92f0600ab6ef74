"""Where a method loses, and how many pairs are better than the trivial answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from score_frames import method_card, units_of
from simulate_boards import metric_card

from nstbench.analysis.ranking import build_leaderboard
from nstbench.analysis.weaknesses import COLUMNS, weaknesses
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard

CARDS = {
    "uef": metric_card("uef"),
    "ce": replace(metric_card("ce"), role="content", range=(0.0, np.inf)),
    "se": replace(metric_card("se"), role="style", range=(0.0, np.inf)),
    "bar": replace(metric_card("bar"), role="bar", higher_is_better=True, range=(0.0, 1.0)),
}
FLEXIBILITY = {"a": "arbitrary", "b": "arbitrary", "d": "per-style", "copy": "baseline"}


def board(values: dict[str, np.ndarray], cards: dict[str, MetricCard] = CARDS) -> Board:
    """A board of values (methods, styles, contents, seeds) per metric; methods a, b, d, copy."""
    rows = [
        {"method": m, "plugin": m, "content": f"c{c}", "style": f"s{s}", "size": 64, "seed": k,
         "metric": metric, "part": "", "value": float(numbers[i, s, c, k])}
        for metric, numbers in values.items()
        for i, m in enumerate(["a", "b", "d", "copy"][: len(numbers)])
        for s in range(numbers.shape[1])
        for c in range(numbers.shape[2])
        for k in range(numbers.shape[3])
    ]  # fmt: skip
    scores = pd.DataFrame(rows)
    units, methods = units_of(scores), {m: method_card(m, m, f) for m, f in FLEXIBILITY.items()}
    return Board(
        root=Path(), info={}, units=units, scores=scores, timings=(), methods=methods,
        leaderboard=build_leaderboard(scores, units, cards, methods), metrics=cards, pictures=(),
    )  # fmt: skip


def random_board(seed: int = 0, styles: int = 7) -> tuple[Board, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shape = (4, styles, 2, 2)
    values = {"ce": rng.uniform(0, 0.3, shape), "se": rng.uniform(0.4, 0.9, shape)}
    values["uef"] = (values["ce"] + values["se"]) / rng.uniform(0.7, 1.0, (1, *shape[1:]))
    values["bar"] = (values["uef"] < 0.999).astype(float)
    return board(values), values


def row_of(made: Board, method: str) -> dict:
    table = weaknesses(made)
    return table[table["method"] == method].iloc[0].to_dict()


def test_numbers_are_means_over_styles() -> None:
    made, values = random_board()
    for place, method in enumerate(["a", "b", "d"]):
        found = row_of(made, method)
        means = {name: v[place].mean(axis=(1, 2)) for name, v in values.items()}
        assert (found["styles"], found["pairs"], found["baseline"]) == (7, 14, False)
        assert found["content"] == pytest.approx(means["ce"].mean())
        assert found["style"] == pytest.approx(means["se"].mean())
        difference = means["se"] - means["ce"]
        assert found["difference"] == pytest.approx(difference.mean())
        # the bootstrap over styles is near Student's interval
        reach = 2.447 * difference.std(ddof=1) / np.sqrt(7)
        assert found["low"] == pytest.approx(difference.mean() - reach, abs=0.5 * reach)
        assert found["loses"] == "style"
        rest = np.mean([values["ce"][i] for i in range(3) if i != place], axis=0)
        gap = (values["ce"][place] - rest).mean()
        assert found["content_gap"] == pytest.approx(gap)
        worst = np.argsort(-means["uef"])[:2]
        assert [found["worst_style"], found["second_style"]] == [f"s{i}" for i in worst]
        assert found["worst_style_value"] == pytest.approx(means["uef"][worst[0]])
        rest = np.mean([values["uef"][i] for i in range(3) if i != place], axis=0)
        assert found["worst_style_others"] == pytest.approx(rest[worst[0]].mean())
        pairs = values["uef"][place].mean(axis=2)
        s, c = np.unravel_index(pairs.argmax(), pairs.shape)
        assert (found["worst_pair_style"], found["worst_pair_content"]) == (f"s{s}", f"c{c}")
        assert found["worst_pair_value"] == pytest.approx(pairs.max())
        assert found["best_pair_value"] == pytest.approx(pairs.min())


def test_a_half_is_named_only_if_the_interval_separates() -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(0.5, 0.2, (4, 6, 1, 1))
    noise = rng.normal(0, 0.2, errors.shape)
    noise -= noise.mean(axis=1, keepdims=True)
    made = board({"uef": errors, "ce": errors, "se": errors + noise})
    assert row_of(made, "a")["loses"] == ""
    assert row_of(made, "a")["low"] < 0 < row_of(made, "a")["high"]
    turned = board({"uef": errors, "ce": errors + 1, "se": errors})
    assert row_of(turned, "a")["loses"] == "content"


def test_baselines_are_no_other_methods_and_one_style_gives_no_claim() -> None:
    values = np.array([0.2, 0.4, 0.6, 9.0]).reshape(4, 1, 1, 1)
    made = board({"uef": values, "ce": values, "se": values + 1})
    found = row_of(made, "a")
    assert found["content_gap"] == pytest.approx(0.2 - 0.5)
    assert np.isnan(found["low"])
    assert (found["loses"], found["worst_style"]) == ("", "")
    assert row_of(made, "copy")["baseline"]
    alone = board(dict.fromkeys(("uef", "ce", "se"), values[:1]))
    assert np.isnan(row_of(alone, "a")["content_gap"])


def test_outputs_without_a_number_do_not_count() -> None:
    made, values = random_board(1)
    values["se"][0, 2] = np.nan
    found = row_of(board(values), "a")
    kept = [0, 1, 3, 4, 5, 6]
    assert (found["styles"], found["pairs"]) == (6, 12)
    assert found["content"] == pytest.approx(values["ce"][0, kept].mean())
    assert made.leaderboard["method"].nunique() == 4


def test_a_quality_that_is_better_when_higher_is_turned() -> None:
    _, values = random_board(2)
    cards = {**CARDS, "uef": replace(CARDS["uef"], higher_is_better=True)}
    found = row_of(board(values, cards), "a")
    means = values["uef"][0].mean(axis=(1, 2))
    assert found["worst_style"] == f"s{means.argmin()}"
    assert found["best_pair_value"] == pytest.approx(values["uef"][0].mean(axis=2).max())


def test_boards_without_both_errors_have_no_row() -> None:
    _, values = random_board()
    only = {name: card for name, card in CARDS.items() if name != "se"}
    made = board({name: values[name] for name in only}, only)
    assert weaknesses(made).empty
    assert list(weaknesses(made).columns) == COLUMNS


# --- pairs that are better than the trivial answers --------------------------------------


def test_pairs_count_if_every_seed_is_better() -> None:
    made, values = random_board(4)
    table = made.leaderboard.set_index("method")
    for place, method in enumerate(["a", "b", "d", "copy"]):
        beaten = values["bar"][place].all(axis=-1).sum()
        assert table.loc[method, "bar_beaten"] == beaten
        assert table.loc[method, "bar_pairs"] == 14
        assert table.loc[method, "bar"] == pytest.approx(values["bar"][place].mean())
    assert 0 < table["bar_beaten"].min() < table["bar_beaten"].max() < 14
    assert "uef_beaten" not in table


def test_pairs_without_a_value_do_not_count() -> None:
    _, values = random_board(5)
    values["bar"][0, 0, 0] = np.nan
    table = board(values).leaderboard.set_index("method")
    assert table.loc["a", "bar_pairs"] == 13
    assert table.loc["b", "bar_pairs"] == 14
    assert table.loc["a", "bar_beaten"] == np.nansum(values["bar"][0].min(axis=-1))


@pytest.mark.parametrize("styles", [1, 3, 7])
def test_a_share_of_all_or_none_has_an_exact_interval(styles: int) -> None:
    from scipy.stats import binomtest

    bar = np.stack([np.ones((styles, 2, 1)), np.zeros((styles, 2, 1))])
    errors = np.full(bar.shape, 0.5)
    table = board({"uef": errors, "ce": errors, "se": errors, "bar": bar}).leaderboard
    table = table.set_index("method")
    for method, hits in (("a", styles), ("b", 0)):
        expected = binomtest(hits, styles).proportion_ci(0.95, method="exact")
        assert table.loc[method, "bar_low"] == pytest.approx(expected.low)
        assert table.loc[method, "bar_high"] == pytest.approx(expected.high)
