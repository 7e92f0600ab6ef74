"""Validation of metrics: scores on sweeps, expected orders, ratings and verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from simulate_boards import metric_card
from sweep_pictures import SIZE, save_sweep, source

from nstbench.analysis.validation.picture_series import controlled_sweeps
from nstbench.analysis.validation.ratings import expected_sign, measured, rate, summarise
from nstbench.analysis.validation.validate import image_costs, score_sweeps, validate
from nstbench.core.errors import UsageError
from nstbench.core.records import Availability, Scope
from nstbench.plan import variants as catalog
from nstbench.plan.listener import Listener
from nstbench.plugins import registry

KINDS = [("blend", ""), ("folder", "")]
KINDS += [(kind, base) for kind in ("blur", "jpeg", "noise") for base in ("content", "style")]

TOYS = '''
"""Toy metrics."""
import torch
from nstbench.contracts import MetricInfo, PairMetric, SetMetric
from nstbench.core.records import Scope

def info(scope, higher=False, low=0.0, high=float("inf")):
    return MetricInfo(title="toy", scope=scope, higher_is_better=higher, range=(low, high),
                      citation="", description="", order=1)

def gap(x, y):
    return (x.pixels - y.pixels).double().square().mean(dim=(1, 2, 3))

'''

CONTENT_TOY = (
    TOYS
    + '''
class Toy(PairMetric):
    """Similarity to the content, higher is better."""
    info = info(Scope.PAIR, True, 0.0, 1.0)
    def compute(self, pair):
        value = 1 / (1 + gap(pair.output, pair.content))
        return {"": value, "half": value}
'''
)

WRONG_TOY = CONTENT_TOY.replace("Scope.PAIR, True", "Scope.PAIR, False")

STYLE_TOY = (
    TOYS
    + '''
class Toy(PairMetric):
    """Distance to the style."""
    info = info(Scope.PAIR)
    def compute(self, pair):
        return {"": gap(pair.output, pair.style)}
'''
)

SUM_TOY = (
    TOYS
    + '''
class Toy(PairMetric):
    """Distance to both."""
    info = info(Scope.PAIR)
    def compute(self, pair):
        return {"": gap(pair.output, pair.content) + gap(pair.output, pair.style)}
'''
)

SET_TOY = (
    TOYS
    + '''
class Toy(SetMetric):
    """Mean distance of all outputs to their styles."""
    info = info(Scope.SET)
    def __init__(self):
        self.values = []
    def update(self, pair):
        self.values += gap(pair.output, pair.style).tolist()
    def merge(self, other):
        self.values += other.values
    def compute(self):
        return {"": sum(self.values) / len(self.values), "n": float(len(self.values))}
'''
)

BROKEN_TOY = (
    TOYS
    + '''
class Toy(PairMetric):
    """Never has a value."""
    info = info(Scope.PAIR)
    def compute(self, pair):
        raise ValueError("no such luck")
'''
)


@pytest.fixture
def toy(tmp_path):
    """Register toy metrics by name and return their cards."""

    def register(**sources):
        (tmp_path / "metrics").mkdir(exist_ok=True)
        for name, text in sources.items():
            path = tmp_path / "metrics" / f"{name}.py"
            path.write_text(text)
            registry.add_file(path)
        return {name: catalog.metric_card(name) for name in sources}

    return register


SOURCES = [source(c, s) for s in (3, 4) for c in (0, 1)]


# --- ratings -----------------------------------------------------------------------------


def series(values, kind="blend", base="", metric="uef", **where):
    """Scores of one sweep."""
    place = {"kind": kind, "base": base, "content": "c", "style": "s", "seed": 0, **where}
    place["steps"] = len(values)
    return pd.DataFrame(
        [
            {**place, "level": i, "metric": metric, "part": "", "value": v}
            for i, v in enumerate(values)
        ]
    )


CARD = replace(metric_card(), range=(0.0, np.inf))


@pytest.mark.parametrize(
    ("ends", "higher", "expected"),
    [
        ((0.0, 0.7), False, "content"),
        ((0.7, 0.0), False, "style"),
        ((0.7, 0.01), False, "style"),
        ((1.0, 1.0), False, "both"),
        ((0.4, 0.9), False, "both"),
        ((0.0, 0.0), False, "nothing"),
        ((1.0, 0.3), True, "content"),
        ((0.0, 1.0), True, "style"),
    ],
)
def test_a_metric_measures_the_copy_that_is_perfect_for_it(ends, higher, expected):
    card = replace(CARD, range=(0.0, 1.0), higher_is_better=higher)
    assert measured(series([ends[0], 0.5, ends[1]]), card) == expected


def test_metrics_without_an_attainable_best_value_or_without_scores():
    assert measured(series([9.0, 5.0, 3.0]), replace(CARD, higher_is_better=True)) == "both"
    assert measured(series([9.0, 5.0], metric="other"), CARD) == "nothing"


def test_which_sweeps_have_an_order_for_which_metrics():
    signs = {m: [expected_sign(m, *kind) for kind in KINDS] for m in ("content", "style", "both")}
    assert signs == {
        "content": [1, 1, 1, 0, 1, 0, 1, 0],
        "style": [-1, -1, 0, 1, 0, 1, 0, 1],
        "both": [0, 0, 1, 1, 1, 1, 1, 1],
    }


def test_ratings_by_hand():
    # Levels 0..3. Two styles: one ordered perfectly, one with one swapped neighbour.
    scores = pd.concat(
        [
            series([0, 1, 2, 3], style="s", content="a"),
            series([0, 2, 1, 3], style="t", content="a"),
            *(series([0, 1 + e, 2 + e, 4], "noise", "content", seed=i, style="s", content="a")
              for i, e in enumerate((-0.2, 0.0, 0.2))),
        ]
    )  # fmt: skip
    table = rate(scores, {"uef": CARD}).set_index(["kind", "base"])
    assert table.index.tolist() == [("blend", ""), ("noise", "content")]
    blend, noise = table.loc[("blend", "")], table.loc[("noise", "content")]
    assert blend["tau"] == pytest.approx((1 + 4 / 6) / 2)
    assert blend["sweeps"] == 2
    assert -1 <= blend["low"] < blend["tau"] < blend["high"] <= 1
    # steps of the two pairs: (1, 1, 1) and (2, -1, 2)
    spread = np.std([1, 2], ddof=1), np.std([1, -1], ddof=1), np.std([1, 2], ddof=1)
    assert blend["sensitivity"] == pytest.approx(np.median([1.5 / spread[0], 0, 1.5 / spread[2]]))
    assert np.isnan(blend["seed_spread"])
    assert noise["tau"] == 1
    assert np.isnan(noise["sensitivity"])
    # standard deviations over seeds (0.2, 0.2, 0) at levels 1..3, range 4
    assert noise["seed_spread"] == pytest.approx((0.2 + 0.2 + 0.0) / 3 / 4)
    summary = summarise(rate(scores, {"uef": CARD}), {"uef": CARD}, {"uef": 12.5}).iloc[0]
    assert summary["tau"] == pytest.approx((blend["tau"] + 1) / 2)
    assert (summary["worst"], summary["worst_tau"]) == ("blend", blend["tau"])
    assert summary["ms"] == 12.5
    assert summary["trusted"]


def test_tau_is_zero_for_a_constant_metric_and_minus_one_for_a_reversed_one():
    scores = pd.concat([series([0, 1, 2, 3]), series([5, 5, 5, 5], "blur", "content"),
                        series([3, 2, 1, 0], "jpeg", "content")])  # fmt: skip
    table = rate(scores, {"uef": CARD})
    assert table.set_index("kind")["tau"].to_dict() == {"blend": 1, "blur": 0, "jpeg": -1}
    summary = summarise(table, {"uef": CARD}, {}).iloc[0]
    assert summary["worst"] == "jpeg content"
    assert not summary["trusted"]
    assert np.isnan(summary["ms"])


def test_no_verdict_on_metrics_that_measure_both():
    scores = pd.concat([series([1, 0.9, 1]), series([1, 1.1, 1.2], "blur", "content")])
    summary = summarise(rate(scores, {"uef": CARD}), {"uef": CARD}, {}).iloc[0]
    assert summary["measures"] == "both"
    assert summary["tau"] == 1
    assert pd.isna(summary["trusted"])


# --- complete validations ----------------------------------------------------------------------


def test_validation_trusts_good_metrics_only(toy, tmp_path):
    cards = toy(likeness=CONTENT_TOY, wrong=WRONG_TOY, distance=STYLE_TOY, total=SUM_TOY,
                average=SET_TOY, broken=BROKEN_TOY)  # fmt: skip
    missing = replace(CARD, name="gone", availability=Availability(False, "no weights"))
    timing = replace(CARD, name="latency", scope=Scope.TIMING)
    folder = save_sweep(tmp_path / "mine")
    result = validate({**cards, "gone": missing, "latency": timing}, SOURCES, [folder],
                      size=SIZE, seeds=2)  # fmt: skip
    summary = result.summary.set_index(["metric", "part"])
    assert summary["measures"].to_dict() == {
        ("likeness", ""): "content", ("likeness", "half"): "content", ("wrong", ""): "both",
        ("wrong", "half"): "both", ("distance", ""): "style", ("total", ""): "both",
        ("average", ""): "style",
    }  # fmt: skip
    assert summary.loc[("likeness", ""), "tau"] > 0.97
    assert summary.loc[("distance", ""), "tau"] > 0.97
    assert summary.loc[("wrong", ""), "worst_tau"] < -0.9
    assert summary["trusted"].isin([True]).sum() == 4
    assert (summary["ms"] > 0).all()
    assert result.unavailable == {"broken": "ValueError: no such luck", "gone": "no weights"}
    kinds = result.by_kind.query("metric == 'likeness' and part == ''")
    assert kinds["kind"].tolist() == ["blend", "blur", "folder", "jpeg", "noise"]
    assert kinds.set_index("kind")["sweeps"].to_dict() == {
        "blend": 5, "blur": 5, "folder": 1, "jpeg": 5, "noise": 10,
    }  # fmt: skip
    average = result.by_kind.query("metric == 'average'").set_index("kind")
    assert average.loc["noise", "sweeps"] == 2
    assert average.loc["blend", "tau"] == 1
    assert np.isnan(average.loc["blend", "low"])
    json.loads(json.dumps(result.to_dict(), allow_nan=False))


def test_folders_of_several_lengths_and_equal_names_are_rated(toy, tmp_path):
    folders = [save_sweep(tmp_path / f"{i}" / "sweep", 4 + i // 2) for i in range(4)]
    result = validate(toy(distance=STYLE_TOY, average=SET_TOY), SOURCES[:1], folders, size=SIZE)
    rated = result.by_kind.query("kind == 'folder'").set_index("metric")
    assert rated["sweeps"].to_dict() == {"distance": 4, "average": 2}
    assert rated["tau"].to_dict() == {"distance": 1, "average": 1}
    assert np.isnan(rated.loc["average", "seed_spread"]), "groups of folders are not seeds"


def test_pairs_of_equal_names_are_refused_before_scoring(toy):
    def never(*args):
        raise AssertionError

    ear = Listener()
    ear.stage = never
    with pytest.raises(UsageError, match="'c0' and 's3'"):
        validate(toy(distance=STYLE_TOY), [SOURCES[0], SOURCES[0]], size=SIZE, listener=ear)


def test_scores_are_the_metrics_own_values(toy):
    cards = toy(distance=STYLE_TOY, average=SET_TOY)
    metrics = {name: registry.load("metrics", name)() for name in cards}
    sweeps = [s for origin in SOURCES[:2] for s in controlled_sweeps(origin, seeds=1)]
    scores, problems = score_sweeps(metrics, sweeps, torch.device("cpu"), Listener())
    assert problems == {}
    blend = sweeps[0]
    rows = scores.query("metric == 'distance' and kind == 'blend' and content == 'c0'")
    style = blend.source.style / 255.0
    expected = [np.mean((output / 255.0 - style) ** 2) for output in blend.outputs]
    np.testing.assert_allclose(rows.sort_values("level")["value"], expected, rtol=1e-5, atol=1e-9)
    pooled = scores.query("metric == 'average' and part == '' and kind == 'blend'")
    means = (
        scores.query("metric == 'distance' and kind == 'blend'").groupby("level")["value"].mean()
    )
    np.testing.assert_allclose(pooled.sort_values("level")["value"], means)
    assert (scores.query("metric == 'average'")["content"] == "").all()


def test_progress_and_missing_values_are_reported_once(toy):
    cards = toy(broken=BROKEN_TOY, likeness=CONTENT_TOY)
    told = []

    class Ear(Listener):
        def stage(self, name, total, seconds=None):
            told.append((name, total))

        def advanced(self):
            told.append("step")

        def note(self, message):
            told.append(message)

    validate(cards, SOURCES[:1], seeds=1, size=SIZE, listener=Ear())
    assert told[0] == ("validate", 42)
    assert told.count("step") == 42
    notes = [t for t in told if isinstance(t, str) and t != "step"]
    assert notes == ["broken has no value on some sweeps: ValueError: no such luck"]


def test_nothing_to_validate_gives_empty_tables(toy):
    result = validate(toy(likeness=CONTENT_TOY), [])
    assert result.summary.empty
    assert result.by_kind.empty
    assert result.unavailable == {"likeness": "no sweep to score"}


def test_costs_are_measured_alone(toy):
    slow = CONTENT_TOY.replace("value = 1", "__import__('time').sleep(0.02); value = 1")
    cards = toy(slow=slow, quick=STYLE_TOY)
    metrics = {name: registry.load("metrics", name)() for name in cards}
    costs = image_costs(metrics, SOURCES[0], torch.device("cpu"))
    assert 20 <= costs["slow"] < 200
    assert costs["quick"] < costs["slow"]


def test_the_default_metrics_order_blends(network_weights):
    cards = catalog.metric_cards(
        ["style_error", "content_error", "gram_distance", "lpips_alex", "ssim"]
    )
    metrics = {name: registry.load("metrics", name)() for name in cards}
    blend = [next(controlled_sweeps(SOURCES[0]))]
    scores, _ = score_sweeps(metrics, blend, torch.device("cpu"), Listener())
    table = rate(scores, cards).query("part == ''").set_index("metric")
    assert table["tau"].to_dict() == dict.fromkeys(cards, 1.0)
    assert table["measures"].to_dict() == {
        "style_error": "style", "content_error": "content", "gram_distance": "style",
        "lpips_alex": "content", "ssim": "content",
    }  # fmt: skip
