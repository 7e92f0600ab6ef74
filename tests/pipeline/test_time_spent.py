"""The seconds of a run, by stage and by method."""

from __future__ import annotations

import time

import pytest
from unit_records import unit_record

from nstbench.pipeline.time_spent import Spent


def unit(style, process=1, status="done", **facts):
    return unit_record("0f", status, style=style, process=process, **facts)


def done(style, process=1, **facts):
    shared = {"load_seconds": 5.0 * process, "prepare_seconds": 2.0 * process}
    return unit(style, process, seconds=1.0, **shared, **facts)


def test_loads_and_preparations_count_once_for_all_units_that_share_them():
    spent = Spent(time.perf_counter(), workers=2)
    for record in (done("a"), done("a"), done("b"), done("a", process=2)):
        spent.add(record)
    summary = spent.summary()
    assert summary["stylize_seconds"] == pytest.approx(4.0)
    assert sum(summary["method_seconds"].values()) == pytest.approx(4.0)
    assert summary["setup_seconds"] == pytest.approx(5 + 2 + 2 + 10 + 4)


def test_a_failed_unit_keeps_the_load_of_the_others():
    spent = Spent(time.perf_counter(), workers=1)
    for record in (done("a"), unit("a", status="failed"), unit("b", status="failed")):
        spent.add(record)
    assert spent.summary()["setup_seconds"] == pytest.approx(7.0)


def test_units_of_another_process_do_not_count():
    spent = Spent(time.perf_counter(), workers=1)
    spent.add(done("a", from_other_process=True))
    summary = spent.summary()
    assert summary["stylize_seconds"] == summary["setup_seconds"] == 0.0
    assert summary["method_seconds"] == {}


def test_the_harness_is_the_rest_of_the_workers_time():
    spent = Spent(time.perf_counter(), workers=2)
    with spent.on("generate"):
        time.sleep(0.2)
    spent.add(unit("a", seconds=0.1, load_seconds=0.05, prepare_seconds=0.05))
    summary = spent.summary()
    generate = summary["stage_seconds"]["generate"]
    assert generate >= 0.2
    assert summary["harness_seconds"] == pytest.approx(2 * generate - 0.2)
