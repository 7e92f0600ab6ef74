"""Parts of the report: number formats, ranges, fronts, scales, pictures and costs."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from pathlib import Path

import pandas as pd
import pytest
from fake_board import FakeRun, metric_cards, picture
from html_page import Page
from PIL import Image

from nstbench.core.board import Board
from nstbench.plugins import registry
from nstbench.report.charts import svg
from nstbench.report.charts.scale import Scale
from nstbench.report.parts import convergence, costs, numbers, pictures, templates, trainings
from nstbench.report.parts.rows import (
    Interval,
    Row,
    contenders,
    is_home,
    pareto_rows,
    rank_text,
    shown_range,
)

NAN = math.nan


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("run")).board()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05321, "0.0532"), (12.34, "12.3"), (1.4567e6, "1.46×10⁶"), (-0.5, "−0.500"), (0.0, "0"),
     (2e-7, "2.00×10⁻⁷"), (NAN, "–"), (math.inf, "∞"), (999.6, "1000"), (0.9999, "1.00"),
     (99999.6, "1.00×10⁵")],
)  # fmt: skip
def test_significant(value: float, text: str) -> None:
    assert numbers.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.2e-5, "42 µs"), (0.042, "42 ms"), (1.273, "1.27 s"), (200.0, "3 min 20 s"),
     (180.0, "3 min"), (90000.0, "25.0 h"), (1e6, "11.6 days"), (NAN, "–")],
)  # fmt: skip
def test_seconds(value: float, text: str) -> None:
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [([0.86, 0.94, 1.0, 2.031], ["0.860", "0.940", "1.000", "2.031"]),
     ([68.871, 0.375, 5.285], ["68.87", "0.38", "5.29"]),
     ([4.42, 4.35e-5], ["4.42", "4.35×10⁻⁵"]),
     ([0.5, NAN, -0.0004], ["0.500", "–", "−0.000400"])],
)  # fmt: skip
def test_column_format(values: list[float], texts: list[str]) -> None:
    form = numbers.column_format(values)
    assert [form(v) for v in values] == texts


def test_bounded_columns_have_three_decimals_and_no_negative_zero() -> None:
    form = numbers.column_format([0.5, -0.0001], (-1.0, 1.0))
    assert [form(0.5), form(-0.0001)] == ["0.500", "0.000"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.01, "s", "10 ms"), (60.0, "s", "1 min"), (864e3, "s", "10 d"), (0.25, "", "0.25"),
     (20_000, "", "20\u202f000"), (2.0**21, "bytes", "2.00 MiB")],
)  # fmt: skip
def test_ticks_are_short(value: float, unit: str, text: str) -> None:
    assert numbers.tick(value, unit) == text


def row(name: str, kind: str, quality: Interval, speed: float = 1.0, done: int = 9) -> Row:
    values = {"uef": quality, "latency": Interval(speed)}
    return Row(name, name, name, kind, 64, "1", (1.0, 1.0), f"{done}/9", done, 9, values)


def test_pareto_rows_are_the_methods_that_no_other_beats() -> None:
    cards = metric_cards()
    points = {"a": (1.0, 0.9), "b": (2.0, 0.5), "c": (3.0, 0.6), "d": (4.0, 0.4), "e": (5.0, NAN)}
    rows = [row(n, "arbitrary", Interval(q), s) for n, (s, q) in points.items()]
    rows.append(row("trivial", "baseline", Interval(0.0), 0.0))
    rows.append(row("few pairs", "per-style", Interval(0.1), 0.1, done=8))
    front = pareto_rows(rows, cards["latency"], cards["uef"])
    assert [r.label for r in front] == ["a", "b", "d"]


def test_contenders_omit_methods_with_few_of_their_pairs() -> None:
    uef = metric_cards()["uef"]
    few = [row(n, "domain", Interval(0.1), done=d) for n, d in (("a", 8), ("b", 1))]
    whole = row("c", "domain", Interval(0.5))
    assert contenders([*few, whole], uef) == [whole]
    assert contenders(few, uef) == few
    assert contenders([*few, whole], uef, None) == []


def test_shown_range_omits_baselines_that_would_flatten_the_rest() -> None:
    uef = metric_cards()["uef"]
    methods = [row("a", "arbitrary", Interval(0.8, 0.7, 0.9)), row("b", "domain", Interval(0.5))]
    near = row("copy", "baseline", Interval(1.0, 0.1, 9.0))
    far = row("noise", "baseline", Interval(3.0))
    assert shown_range([*methods, near, far], uef) == (0.5, 1.0)
    assert shown_range(methods, uef) == (0.5, 0.9)
    assert shown_range([near, far], uef) == (1.0, 3.0)
    assert shown_range([methods[1], near], uef) == (0.5, 1.0)
    assert shown_range([], uef) == (0.0, 0.0)


@pytest.mark.parametrize("log", [False, True])
def test_scales_hold_their_values_and_ticks(log: bool) -> None:
    scale = Scale.fit([0.003, 0.2, 48.0, NAN], 50, 450, log=log)
    assert 50 < scale(0.003) < scale(0.2) < scale(48.0) < 450
    ticks = scale.ticks(6)
    assert len(ticks) >= 3
    assert all(scale.holds(tick) for tick in ticks)
    middle = math.sqrt(scale.low * scale.high) if log else (scale.low + scale.high) / 2
    assert scale(middle) == pytest.approx(250)


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0], [-3.0], [NAN]])
def test_scales_with_few_values(values: list[float]) -> None:
    for log in (False, True):
        scale = Scale.fit(values, 0, 100, log=log)
        assert scale.ticks()
        assert 0 <= scale.clip(0.5) <= 100


def test_labels_never_overlap() -> None:
    canvas = svg.Canvas(400, 300, Scale(0, 1, 40, 390), Scale(0, 1, 260, 20), "x", "y", "crowd")
    for i in range(40):
        canvas.label(0.5 + i / 400, 0.5 + i / 300, f"method_{i}")
    boxes = canvas._boxes
    assert 3 < len(boxes) < 40
    for i, (l1, t1, r1, b1) in enumerate(boxes):
        for l2, t2, r2, b2 in boxes[:i]:
            assert l1 >= r2 or r1 <= l2 or t1 >= b2 or b1 <= t2


def test_labels_avoid_intervals() -> None:
    canvas = svg.Canvas(400, 300, Scale(0, 1, 40, 390), Scale(0, 1, 260, 20), "x", "y", "bars")
    canvas.bars(Interval(0.5, 0.1, 0.9), Interval(0.5))
    canvas.label(0.5, 0.5, "name")
    assert not any(svg._touch(canvas._boxes[-1], whisker) for whisker in canvas._whiskers)


@pytest.mark.parametrize(
    ("places", "moved"),
    [([50.0, 80.0], [50, 80]), ([50.0, 50.0, 50.0], [35, 50, 65]), ([2.0, 2.0], [0, 15]),
     ([99.0, 100.0], [85, 100]), ([10.0, 12.0, 90.0], [3.5, 18.5, 90]), ([], [])],
)  # fmt: skip
def test_labels_at_the_edge_move_as_little_as_possible(
    places: list[float], moved: list[float]
) -> None:
    assert svg.spread(places, 15, 0, 100) == pytest.approx(moved)


def test_narrow_logarithmic_scales_have_ticks() -> None:
    scale = Scale(0.62, 0.97, 0, 100, log=True)
    ticks = scale.ticks(6)
    assert len(ticks) > 2
    assert all(scale.holds(tick) for tick in ticks)


def test_breakable_names_stay_escaped() -> None:
    text = templates.breakable("a_b:c=<i>&'")
    assert text == "a_<wbr>b:<wbr>c=<wbr>&lt;i&gt;&amp;&#39;"


def test_rank_text() -> None:
    assert rank_text({"rank": 2, "rank_low": 1, "rank_high": 3}) == "1–3"
    assert rank_text({"rank": 2, "rank_low": 2, "rank_high": 2}) == "2"
    assert rank_text({"rank": NAN, "rank_low": NAN, "rank_high": NAN}) == "–"
    assert rank_text({"rank": pd.NA, "rank_low": pd.NA, "rank_high": pd.NA}) == "–"


def test_home_metrics_are_found_by_their_tags(board: Board) -> None:
    loss, error = board.metrics["style_loss"], board.metrics["style_error"]
    assert is_home(board.methods["gatys_2015"], loss)
    assert not is_home(board.methods["gatys_2015"], error)
    assert not is_home(board.methods["ghiasi_2017"], loss)


def test_embedded_pictures_stay_within_the_budget(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(6)]
    for i, name in enumerate(names):
        picture(i, 600).save(tmp_path / name)
    free = pictures.embedded(names, tmp_path)
    assert list(free.uris) == names
    data = base64.b64decode(free.uris["0.png"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).size == (512, 512)
    tight = pictures.embedded([*names, "absent.png"], tmp_path, budget=9000)
    assert sum(len(uri) * 3 // 4 for uri in tight.uris.values()) < 9000 * 1.05
    assert "up to 512 px" not in tight.note
    assert "Missing from the run folder: 1 file." in tight.note


def test_cheapest_method_by_number_of_pictures(board: Board) -> None:
    methods = costs.costs_of(board)
    ranges = costs.cheapest_ranges(methods)
    assert {c.label for c in methods} == {
        name for name, card in board.methods.items() if card.flexibility != "baseline"
    }
    for n in (1, 2, 17, 1000, 28_000, 29_000, 10**6):
        least = min(c.seconds(n) for c in methods)
        cheapest = [r.cost for r in ranges if r.start <= n][-1]
        assert cheapest.seconds(n) == pytest.approx(least)
    by_name = {c.label: c for c in methods}
    assert by_name["johnson_2016"].training == 5400
    assert by_name["johnson_2016"].trained_on == "Fake GPU"
    assert by_name["ghiasi_2017"].training == 0
    assert by_name["ghiasi_2017"].trained_on == ""


def test_a_method_with_unknown_training_time_is_omitted(board: Board) -> None:
    timings = tuple(
        dataclasses.replace(t, training=None) if t.method in ("johnson_2016", "ghiasi_2017") else t
        for t in board.timings
    )
    foreign = dataclasses.replace(board, timings=timings)
    known = {cost.label for cost in costs.costs_of(board)}
    assert {cost.label for cost in costs.costs_of(foreign)} == known - {"johnson_2016"}
    assert costs.unknown_costs(foreign) == ["johnson_2016"]
    assert costs.unknown_costs(board) == []
    page = registry.load("reports", "amortised")().html(foreign)
    assert "johnson_2016" not in [row[0] for row in Page(page).tables["Cost table"]]
    assert "johnson_2016" in page


def test_loss_curves_are_shares_of_their_first_value(board: Board) -> None:
    (method,) = convergence.method_curves(board)
    assert method.label == "gatys_2015"
    assert all(curve.loss[0] == 1 for curve in method.curves)
    key = board.units.loc[board.units["method"] == "gatys_2015", "key"].iloc[0]
    trace = board.trace(key)
    expected = trace[-1]["total"] / trace[0]["total"]
    assert method.curves[0].loss[-1] == pytest.approx(expected)
    assert convergence.curve([{"step": 0, "seconds": 0.1, "total": NAN}]) is None


def test_training_curves_come_from_the_cards(board: Board) -> None:
    found = {each.label: each for each in trainings.trained(board)}
    assert set(found) == {"ghiasi_2017", "johnson_2016", "dumoulin_2017"}
    johnson = found["johnson_2016"]
    assert [loss.label for loss in johnson.losses] == ["total", "style"]
    assert [card.steps for card in johnson.trainings] == [2000, 4000]
    curve = johnson.trainings[1].loss_curve
    assert johnson.losses[1].curves[1].loss[-1] == curve[-1]["style"] / curve[0]["style"]
    shared = board.methods["johnson_2016"]
    twice = {**board.methods, "other": dataclasses.replace(shared, method="other")}
    both = trainings.trained(dataclasses.replace(board, methods=twice))
    assert [each.label for each in both] == [each.label for each in found.values()]
