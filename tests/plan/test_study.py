"""Parameter grids: how they are written, which variants they stand for, what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nstbench.core.errors import UsageError
from nstbench.plan.config import RunConfig
from nstbench.plan.config_file import build_config, suites
from nstbench.plan.study import MOST_VARIANTS, Study, parse_grid
from nstbench.plan.variants import resolve_methods

STUDIES = [name for name in suites() if name.startswith("studies/")]


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("a=1,2,3", {"a": (1, 2, 3)}),
        ("a=1e-4,1", {"a": (1e-4, 1)}),
        ("a=true,false", {"a": (True, False)}),
        ("a=no,luminance", {"a": ("no", "luminance")}),
        ("a=0..1:5", {"a": (0, 0.25, 0.5, 0.75, 1)}),
        ("a=1..5:5", {"a": (1, 2, 3, 4, 5)}),
        ("a=10..45:4", {"a": (10, 22, 33, 45)}),
        ("a=10..1000:3", {"a": (10, 100, 1000)}),
        ("a=1e-4..1e-1:4", {"a": (1e-4, 1e-3, 1e-2, 1e-1)}),
        ("a=1e-4..1e-1:6,b=x", {"a": (1e-4, 3.98e-4, 1.58e-3, 6.31e-3, 0.0251, 0.1), "b": ("x",)}),
        ("a=1..9.9:2", {"a": (1, 9.9)}),
        ("a=100..1:3", {"a": (100, 10, 1)}),
        ("a=-1..1:3", {"a": (-1, 0, 1)}),
        ("a=1..4:4,9", {"a": (1, 2, 3, 4, 9)}),
        ("l=[r1_1],[r1_1,r2_1],b=x,y", {"l": (["r1_1"], ["r1_1", "r2_1"]), "b": ("x", "y")}),
    ],
)
def test_grids_read(text, grid):
    found = parse_grid([text])
    assert list(found) == list(grid)
    for name, values in grid.items():
        assert found[name] == pytest.approx(values) if name == "a" else found[name] == values


def test_integers_stay_integers():
    assert all(type(value) is int for value in parse_grid(["a=10..1000:4"])["a"])
    assert all(type(value) is float for value in parse_grid(["a=0..1:4"])["a"])


def test_several_grids_make_one():
    assert parse_grid(["a=1,2", "b=x"]) == {"a": (1, 2), "b": ("x",)}


@given(
    first=st.floats(1e-6, 1e6), factor=st.floats(1.001, 1e6), count=st.integers(2, MOST_VARIANTS)
)
def test_ranges_rise_from_end_to_end_and_are_spaced_as_promised(first, factor, count):
    last = first * factor
    values = parse_grid([f"a={first!r}..{last!r}:{count}"])["a"]
    space = np.geomspace if last >= 10 * first else np.linspace
    assert len(values) == count
    assert values == tuple(sorted(set(values)))
    assert np.allclose(values, space(first, last, count), rtol=5.1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2", "before any parameter"),
        ("a=1,a=2", "named twice"),
        ("a=", "no value"),
        ("a=1..3", "number of values"),
        ("a=1..3:1", "number of values"),
        ("a=2..2:3", "two different ends"),
        ("a=1..x:3", "first..last:count"),
        ("a=1,1.0", "twice"),
        ("a=1..9:9999", "take fewer"),
        ("a=1..20:20,b=1..20:20", "400 variants"),
        ("a={", "cannot be read"),
        ("", "empty"),
    ],
)
def test_bad_grids_say_why(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        build_config({"study": {"method": "m", "grid": [text]}})
    assert "--grid" in str(caught.value)


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"along": "b"}, "'b' is not in the grid"),
        ({"baseline": "x"}, "no series 'x'"),
        ({"params": {"a": 1}}, "given twice"),
        ({"grids": 1}, "Did you mean 'grid'"),
    ],
)
def test_bad_studies_say_why(study, message):
    with pytest.raises(UsageError, match=message):
        build_config({"study": {"method": "m", "grid": {"a": [1, 2]}, **study}})


def test_unknown_methods_parameters_and_values_are_refused_before_anything_runs():
    for method, grid, message in (
        ("pixel_bled", "amount=0..1:3", "pixel_blend"),
        ("pixel_blend", "amout=0..1:3", "Did you mean 'amount'"),
        ("pixel_blend", "amount=0..2:3", "less than or equal to 1"),
    ):
        config = build_config({"study": {"method": method, "grid": [grid]}})
        with pytest.raises(UsageError, match=message):
            resolve_methods(config)


def test_the_first_numeric_parameter_runs_along_the_curves():
    study = Study(method="m", grid=["kind=x,y,a=1,2,3"])
    assert study.traced == "a"
    assert study.series_labels() == ["kind=x", "kind=y"]
    assert [(v.label, v.series, v.value) for v in study.variants()][:4] == [
        ("kind=x, a=1", "kind=x", 1),
        ("kind=x, a=2", "kind=x", 2),
        ("kind=x, a=3", "kind=x", 3),
        ("kind=y, a=1", "kind=y", 1),
    ]
    other = Study(method="m", grid={"a": [1, 2], "b": [3, 4]}, along="b")
    assert other.series_labels() == ["a=1", "a=2"]


def test_without_numbers_every_variant_is_a_series():
    study = Study(method="m", grid=["kind=x,y,flag=true,false"])
    assert study.traced == ""
    assert len({v.series for v in study.variants()}) == len(study.variants()) == 4


def test_series_combine_with_the_grid_and_may_have_their_own_range():
    study = Study(
        method="m",
        params={"size": 7},
        grid={"a": "1..3:3"},
        series={"low": {"k": 1}, "high": {"k": 2, "a": "10..1000:3"}},
        baseline="low",
    )
    assert [(v.series, v.value, dict(v.params)) for v in study.variants()] == [
        *(("low", a, {"size": 7, "k": 1, "a": a}) for a in (1, 2, 3)),
        *(("high", a, {"size": 7, "k": 2, "a": a}) for a in (10, 100, 1000)),
    ]


def test_a_study_survives_run_json():
    study = build_config({}, suite="studies/layers").study
    assert study is not None
    again = Study.model_validate(RunConfig(study=study).model_dump(mode="json")["study"])
    assert again.variants() == study.variants()


def test_methods_are_drawn_beside_a_study_only_if_they_are_named():
    study = {"method": "pixel_blend", "grid": ["amount=0..1:3"]}
    alone = resolve_methods(build_config({"study": study}))
    assert [v.card.params["amount"] for v in alone] == [0, 0.5, 1]
    beside = resolve_methods(build_config({"study": study, "methods": "content_copy"}))
    assert [v.card.plugin for v in beside] == ["pixel_blend"] * 3 + ["content_copy"]


def test_a_sweep_leaves_the_folder_of_its_suite_alone():
    study = {"method": "pixel_blend", "grid": ["amount=0..1:3"]}
    assert build_config({"study": study}).folder.name.startswith("sweep_pixel_blend-")
    assert build_config({}, suite="studies/novak").folder.as_posix() == "runs/studies/novak"


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_studies_resolve_and_keep_to_their_time(name):
    config = build_config({}, suite=name)
    study = config.study
    assert study is not None
    assert study.question
    assert study.baseline in study.series_labels()
    variants = resolve_methods(config)
    settings = [tuple(sorted(v.card.params.items(), key=str)) for v in variants]
    assert len({str(setting) for setting in settings}) == len(variants)
    assert len({v.label for v in study.variants()}) == len(variants)
    # every setting is tried at three content weights or more, as a curve needs them
    for _, points in itertools.groupby(study.variants(), key=lambda v: v.series):
        assert len(list(points)) >= 3
    pairs = (config.limit or math.inf) * (config.contents_per_style or math.inf)
    seconds = sum(v.method.expected_seconds(config.size) for v in variants if v.method)
    assert seconds * pairs * len(config.seeds) < 15 * 60


def test_novak_baseline_has_nothing_switched_on_and_each_change_is_alone():
    study = build_config({}, suite="studies/novak").study
    assert study is not None
    switches = ("geometric_weights", "all_layers", "shift", "cross_layers", "chain")
    on = {name: [s for s in switches if params[s]] for name, params in study.series.items()}
    assert on.pop("baseline") == []
    assert on.pop("recommended") == ["geometric_weights", "all_layers", "shift", "chain"]
    assert sorted(on.values()) == sorted([switch] for switch in switches)


def test_a_study_cannot_be_changed():
    study = Study(method="m", grid=["a=1,2"])
    with pytest.raises(ValidationError, match="frozen"):
        study.method = "n"
