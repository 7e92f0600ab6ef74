"""The order of units: quick methods on all pairs, then slow methods pair by pair."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from fake_pool import FakePool, take, units

from nstbench.core.records import Status
from nstbench.generate.executors import schedule as schedule_module
from nstbench.generate.executors.schedule import Schedule

COSTS = {"slow": 3.0, "quick": 0.1, "other": 2.0, "small": 0.2}


def test_quick_methods_do_all_pairs_and_slow_ones_go_pair_by_pair():
    schedule = Schedule(units(slow=3, quick=2, other=3, small=2), 1, COSTS)
    assert take(schedule, 0, 10) == [
        "quick0", "quick1", "small0", "small1",
        "slow0", "other0", "slow1", "other1", "slow2", "other2",
    ]  # fmt: skip


def test_a_slow_method_that_lacks_a_pair_does_not_run_ahead():
    planned = units(slow=4, other=4)
    del planned[4:6]  # the first two pairs of "other" are blocked
    schedule = Schedule(planned, 1, COSTS)
    assert take(schedule, 0, 6) == ["slow0", "slow1", "slow2", "other2", "slow3", "other3"]


def test_several_slots_share_the_slow_methods_of_a_pair():
    schedule = Schedule(units(slow=2, other=2), 2, COSTS)
    first, second = schedule.next(0), schedule.next(1)
    assert {first.unit.method, second.unit.method} == {"slow", "other"}
    assert first.unit.content == second.unit.content
    schedule.done(first)
    third = schedule.next(0)
    assert third.unit.content.name == "c1"


def test_later_turns_are_longer(monkeypatch):
    monkeypatch.setattr(schedule_module, "PAIRS_ONE_BY_ONE", 2)
    names = take(Schedule(units(slow=8, other=8), 1, COSTS), 0, 16)
    turns = [names[0][:-1]]
    for name in names:
        if name[:-1] != turns[-1]:
            turns.append(name[:-1])
    assert names[:4] == ["slow0", "other0", "slow1", "other1"]
    assert names[4:8] == ["slow2", "slow3", "other2", "other3"]
    assert names[8:] == [f"{m}{i}" for m in ("slow", "other") for i in (4, 5, 6, 7)]


def test_a_method_that_is_slower_than_expected_lets_the_quick_ones_pass():
    schedule = Schedule(units(quick=3, small=2, slow=1), 1, COSTS)
    task = schedule.next(0)
    schedule.measured(task.unit, 7.0)
    schedule.done(task)
    assert take(schedule, 0, 5) == ["small0", "small1", "slow0", "quick1", "quick2"]


def test_one_unit_of_each_slow_method_is_observed():
    schedule = Schedule(units(slow=3, quick=2, other=3), 1, COSTS)
    observed = []
    while (task := schedule.next(0)) is not None:
        observed += [f"{task.unit.method}{task.unit.content.name[1:]}"] * task.observed
        schedule.done(task)
    assert observed == ["slow0", "other0"]


@pytest.mark.parametrize(("slots", "shares"), [(1, True), (1, False), (2, False)])
def test_a_pause_waits_for_the_unit_of_a_single_slot(tmp_path, slots, shares):
    running, both = threading.Semaphore(0), threading.Event()

    def work(name, attempt):
        running.release()
        assert both.wait(20)
        return Status.DONE

    pool = FakePool(tmp_path, slots, work)
    pool._shares_cores = lambda: shares
    pool.goes_on = lambda: not shares
    records = pool.run(units(a=4), lambda *_: None)
    consumer = threading.Thread(target=lambda: list(records), daemon=True)
    consumer.start()
    for _ in range(slots):
        assert running.acquire(timeout=20)
    if slots == 1:
        threading.Timer(0.2, both.set).start()
    with pool.paused():
        if shares:
            assert pool.busy == 0
            assert not running.acquire(timeout=0.2), "no unit begins during the pause"
        elif slots == 1:
            assert running.acquire(timeout=20), "units go on"
        else:
            assert pool.busy == 2
    both.set()
    consumer.join(timeout=20)
    assert sum(pool.attempts.values()) == 4
    pool.close()


def test_sizes_of_a_method_are_groups_of_their_own():
    large = [replace(u, size=64, key=u.key.replace("0", "9", 1)) for u in units(slow=2)]
    schedule = Schedule([*units(slow=2), *large], 1, COSTS)
    sizes = []
    while (task := schedule.next(0)) is not None:
        sizes.append(task.unit.size)
        schedule.done(task)
    assert sizes == [32, 64, 32, 64]
