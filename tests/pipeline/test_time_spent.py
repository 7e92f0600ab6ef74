"""Where the time of a run is said to have gone."""

from __future__ import annotations

import time

import pytest

from nstbench.pipeline.time_spent import Spent


def unit(style, process=1, **more):
    return {"variant": "m", "process": process, "style": style, **more}


def done(style, process=1, seconds=1.0):
    shared = {"load_seconds": 5.0 * process, "prepare_seconds": 2.0 * process}
    return unit(style, process, seconds=seconds, **shared)


def test_loads_and_preparations_count_once_for_all_units_that_share_them():
    spent = Spent(time.perf_counter(), workers=2)
    for record in (done("a"), done("a"), done("b"), done("a", process=2)):
        spent.add(record)
    summary = spent.summary()
    assert summary["stylize_seconds"] == pytest.approx(4.0)
    assert sum(summary["method_seconds"].values()) == pytest.approx(4.0)
    assert summary["setup_seconds"] == pytest.approx(5 + 2 + 2 + 10 + 4)


def test_a_unit_that_failed_takes_no_load_away():
    spent = Spent(time.perf_counter(), workers=1)
    for record in (done("a"), unit("a", status="failed"), unit("b", status="failed")):
        spent.add(record)
    assert spent.summary()["setup_seconds"] == pytest.approx(7.0)


def test_what_another_process_did_costs_nothing_here():
    spent = Spent(time.perf_counter(), workers=1)
    spent.add(done("a") | {"elsewhere": True})
    summary = spent.summary()
    assert summary["stylize_seconds"] == summary["setup_seconds"] == 0.0
    assert summary["method_seconds"] == {}


def test_what_is_left_of_the_workers_time_is_the_harness():
    spent = Spent(time.perf_counter(), workers=2)
    with spent.on("generate"):
        time.sleep(0.2)
    spent.add(unit("a", seconds=0.1, load_seconds=0.05, prepare_seconds=0.05))
    summary = spent.summary()
    generate = summary["stage_seconds"]["generate"]
    assert generate >= 0.2
    assert summary["harness_seconds"] == pytest.approx(2 * generate - 0.2)
