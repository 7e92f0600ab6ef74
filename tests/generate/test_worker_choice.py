"""The choice of workers and threads by a measurement at the start of a run."""

from __future__ import annotations

import pytest

from nstbench.generate.executors.choose import Choice, choose_workers, earlier_choice, is_open
from nstbench.generate.kernel_rate import rates
from nstbench.pipeline import job
from nstbench.plan.config_file import build_config
from nstbench.store.atomic_files import read_json


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        ({(1, 2): 10.0, (2, 1): 14.0}, (1, 2)),
        ({(1, 2): 10.0, (2, 1): 16.0}, (2, 1)),
        ({(1, 2): 10.0}, (1, 2)),
        ({}, (1, 2)),
    ],
)
def test_two_workers_are_chosen_only_if_they_are_clearly_faster(measured, chosen):
    choice = choose_workers(2, lambda splits: {s: measured[s] for s in splits if s in measured})
    assert (choice.workers, choice.threads) == chosen
    assert choice.kernels_per_second == {f"{w} x {t}": v for (w, t), v in measured.items()}


def test_one_core_needs_no_measurement():
    def never(splits):
        raise AssertionError

    assert choose_workers(1, never) == Choice(1, 1, {})


def test_each_split_of_many_cores_is_measured_up_to_eight_workers():
    asked = []
    choose_workers(32, lambda splits: asked.extend(splits) or {})
    assert asked == [(1, 32), (2, 16), (4, 8), (8, 4)]


def test_the_measurement_gives_a_rate_for_each_split():
    found = rates([(1, 1), (2, 1)])
    assert found.keys() == {(1, 1), (2, 1)}
    assert min(found.values()) > 0


@pytest.mark.parametrize(
    ("given", "free"),
    [({}, True), ({"workers": 1}, False), ({"threads": 2}, False), ({"devices": "cpu,cpu"}, False)],
)
def test_an_explicit_number_has_priority(given, free):
    assert is_open(build_config({"device": "cpu", **given})) is free


def test_a_run_records_its_choice_and_keeps_it(settings, monkeypatch):
    asked = []

    def choose(cores):
        asked.append(cores)
        return Choice(2, 1, {"1 x 2": 1.0, "2 x 1": 2.0})

    monkeypatch.setattr(job, "choose_workers", choose)
    monkeypatch.setattr(job, "LEAST_FOR_CHOICE", 0.0)
    job.execute(build_config(settings))
    info = read_json(settings["out"] / "run.json")
    assert info["config"]["workers"] == 2
    assert info["workers_choice"]["workers"] == 2
    assert earlier_choice(info) == Choice(2, 1, {"1 x 2": 1.0, "2 x 1": 2.0})
    job.execute(build_config(settings | {"resume": "never"}))
    assert len(asked) == 1
    job.execute(build_config(settings | {"resume": "never", "workers": 1}))
    assert read_json(settings["out"] / "run.json")["config"]["workers"] == 1
    assert len(asked) == 1


def test_a_short_run_measures_nothing(settings, monkeypatch):
    monkeypatch.setattr(job, "choose_workers", lambda cores: pytest.fail("measured"))
    job.execute(build_config(settings))
    info = read_json(settings["out"] / "run.json")
    assert "workers_choice" not in info
    assert info["config"]["workers"] == 1


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = picture_folders
    return {
        "methods": "content_copy,pixel_blend", "metrics": ("ssim",), "timing_repeats": 0,
        "contents": str(contents), "styles": str(styles), "size": 32, "limit": 2,
        "device": "cpu", "out": tmp_path / "run", "formats": ("csv",),
    }  # fmt: skip
