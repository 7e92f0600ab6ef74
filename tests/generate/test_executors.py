"""Scheduling, retries and failures of workers, with workers that are not processes."""

from __future__ import annotations

import threading
import time

import pytest
from fake_pool import FakePool, take, unit, units

from nstbench.core.errors import NstbenchError, StoreError
from nstbench.core.records import Status, UnitRecord
from nstbench.generate.executors import schedule as schedule_module
from nstbench.generate.executors.executor import (
    WorkerDiedError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from nstbench.generate.executors.schedule import Schedule
from nstbench.generate.method_timing import TimingRequest
from nstbench.store.leases import Leases
from nstbench.store.store import Store

# --- schedule ----------------------------------------------------------------------------


def test_one_slot_keeps_the_order_of_the_plan():
    planned = units(a=2, b=3)
    schedule = Schedule(planned, 1, {"a": 0.1, "b": 0.9})
    assert take(schedule, 0, 5) == ["a0", "a1", "b0", "b1", "b2"]
    assert schedule.next(0) is None


def test_slots_take_the_longest_group_and_stay_with_it():
    costs = {"quick": 0.1, "slow": 0.9, "middle": 0.2}
    schedule = Schedule(units(quick=4, slow=3, middle=4), 2, costs)
    assert take(schedule, 0) == ["slow0"]
    assert take(schedule, 1) == ["middle0"]
    assert take(schedule, 0, 2) == ["slow1", "slow2"]
    assert take(schedule, 1, 3) == ["middle1", "middle2", "middle3"]


def test_an_idle_slot_helps_the_largest_group_from_its_end():
    schedule = Schedule(units(a=4, b=6), 3, {"a": 1.0, "b": 1.0})
    first, second = schedule.next(0), schedule.next(1)
    assert (first.unit.method, second.unit.method) == ("b", "a")
    helper = schedule.next(2)
    assert helper.unit.key == units(b=6)[-1].key
    schedule.done(first)
    assert take(schedule, 0) == ["b1"], "the first slot goes on from the beginning"


def test_a_unit_whose_worker_died_goes_to_another_slot():
    schedule = Schedule(units(a=1), 2)
    task = schedule.next(0)
    schedule.worker_died(task, 0)
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(schedule.next(0)), daemon=True)
    thread.start()
    assert schedule.next(1) is task
    schedule.worker_died(task, 1)
    thread.join(timeout=20)
    assert waiting == [task], "it failed in every slot, so any slot may take it"
    schedule.done(task)
    assert schedule.exhausted
    assert schedule.next(1) is None


def test_a_unit_whose_worker_died_returns_to_its_slot_if_no_other_takes_it(monkeypatch):
    monkeypatch.setattr(schedule_module, "OTHER_SLOTS_FIRST_SECONDS", 0.2)
    schedule = Schedule(units(a=1), 2)
    task = schedule.next(0)
    schedule.worker_died(task, 0)
    assert schedule.next(0) is task


def test_a_unit_that_ran_out_of_memory_runs_last_and_alone():
    schedule = Schedule(units(a=3), 2)
    big, other = schedule.next(0), schedule.next(1)
    schedule.ran_out_of_memory(big)
    third = schedule.next(0)
    assert third is not big
    got = []
    thread = threading.Thread(target=lambda: got.append(schedule.next(1)), daemon=True)
    schedule.done(third)
    thread.start()
    time.sleep(0.1)
    assert not got, "another unit is still running"
    schedule.done(other)
    thread.join(timeout=20)
    assert got == [big]
    assert big.alone
    schedule.done(big)
    assert schedule.next(0) is None


def test_a_task_that_must_run_alone_stays_so_after_it_was_postponed():
    schedule = Schedule(units(a=2), 2)
    big, other = schedule.next(0), schedule.next(1)
    schedule.ran_out_of_memory(big)
    schedule.done(other)
    assert schedule.next(0) is big
    schedule.postponed(big)
    assert schedule.next(1) is big, "after a pause"
    assert big.alone
    schedule.done(big)
    assert schedule.next(0) is None


def test_a_stopped_schedule_hands_out_nothing():
    schedule = Schedule(units(a=3), 1)
    schedule.done(schedule.next(0))
    schedule.stop()
    assert schedule.next(0) is None


# --- workers -----------------------------------------------------------------------------


def results(pool, planned):
    found = {u.parts["name"]: r for u, r in pool.run(planned, lambda *_: None)}
    pool.close()
    return found


@pytest.mark.parametrize("slots", [1, 3])
def test_every_unit_has_one_result(tmp_path, slots):
    planned = [unit(i, f"v{i % 4}") for i in range(50)]
    pool = FakePool(tmp_path, slots, lambda name, attempt: Status.DONE)
    yielded = [u.key for u, _ in pool.run(planned, lambda *_: None)]
    pool.close()
    assert sorted(yielded) == sorted(u.key for u in planned)
    assert set(pool.attempts.values()) == {1}
    assert {alone for _, alone, _ in pool.requests} == {slots == 1}


def test_slots_work_at_the_same_time(tmp_path):
    meet = threading.Barrier(3, timeout=30)

    def together(name, attempt):
        meet.wait()
        return Status.DONE

    pool = FakePool(tmp_path, 3, together)
    assert len(results(pool, units(a=6))) == 6
    assert pool.most_busy == 3


def test_progress_arrives_in_the_callers_thread(tmp_path):
    seen = []
    pool = FakePool(tmp_path, 2, lambda name, attempt: Status.DONE)
    for _ in pool.run(
        units(a=2), lambda u, *step: seen.append((u.parts["name"], *step, threading.get_ident()))
    ):
        pass
    pool.close()
    here = threading.get_ident()
    assert sorted(seen) == [(n, *s, here) for n in (0, 1) for s in ((0, 0), (1, 2))]


@pytest.mark.parametrize("slots", [1, 2])
def test_a_worker_that_dies_fails_only_its_own_unit_after_four_tries(tmp_path, slots):
    def script(name, attempt):
        return (
            WorkerDiedError("killed") if name == 1 or (name == 2 and attempt < 4) else Status.DONE
        )

    pool = FakePool(tmp_path, slots, script)
    found = results(pool, units(a=4))
    assert {name: r.status for name, r in found.items()} == {
        0: Status.DONE, 1: Status.FAILED, 2: Status.DONE, 3: Status.DONE,
    }  # fmt: skip
    assert pool.attempts == {0: 1, 1: 4, 2: 4, 3: 1}
    assert "4 times" in found[1].message
    kept = Store(tmp_path).record("a", unit(1, "a").key)
    assert (kept.status, kept.parts) == ("failed", {"name": 1})


def test_timeouts_and_errors_are_not_tried_again(tmp_path):
    answers = {0: WorkerTimeoutError("no answer"), 1: Status.FAILED, 2: Status.DONE}
    pool = FakePool(tmp_path, 2, lambda name, attempt: answers[name])
    found = results(pool, units(a=3))
    assert [found[n].status for n in range(3)] == ["timeout", "failed", "done"]
    assert set(pool.attempts.values()) == {1}


@pytest.mark.parametrize("answer", [WorkerMemoryError("8 GiB"), Status.OOM])
def test_out_of_memory_is_tried_once_more_alone_in_a_fresh_worker(tmp_path, answer):
    pool = FakePool(
        tmp_path,
        3,
        lambda name, attempt: answer if name in (0, 1) and attempt < 3 - name else "done",
    )
    found = results(pool, units(a=6))
    assert found[0].status == Status.OOM
    assert found[1].status == "done"
    again = [request for request in pool.requests if request[2]]
    assert sorted(again) == [(0, False, True), (1, False, True)]
    assert pool.requests[-2:] == again, "the retries come last"
    assert pool.attempts == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}


def test_a_store_that_cannot_be_written_ends_the_run(tmp_path):
    pool = FakePool(tmp_path, 2, lambda name, attempt: "error")
    with pytest.raises(StoreError, match="full"):
        results(pool, units(a=4))
    pool.close()


def test_workers_that_cannot_be_started_end_the_run(tmp_path, monkeypatch):
    pool = FakePool(tmp_path, 1, None)
    monkeypatch.setattr(pool, "_start", lambda *_: (_ for _ in ()).throw(WorkerDiedError("no")))
    with pytest.raises(NstbenchError, match="No worker process can be started: no"):
        results(pool, units(a=2))
    pool.close()


def test_finish_completes_running_units_and_begins_none(tmp_path):
    begun, go = threading.Semaphore(0), threading.Event()

    def script(name, attempt):
        begun.release()
        assert go.wait(30)
        return Status.DONE

    pool = FakePool(tmp_path, 2, script)
    running = pool.run(units(a=9), lambda *_: None)
    found = []
    thread = threading.Thread(target=lambda: found.extend(running), daemon=True)
    thread.start()
    for _ in range(2):
        assert begun.acquire(timeout=30)
    pool.finish()
    go.set()
    thread.join(timeout=30)
    pool.close()
    assert len(found) == 2


def test_timing_stops_the_workers_of_generation_first(tmp_path):
    pool = FakePool(tmp_path, 3, lambda name, attempt: Status.DONE)
    list(pool.run(units(a=9), lambda *_: None))
    before = pool.closed
    one = unit(0)
    request = TimingRequest("k", "m", "m", {}, one.content, one.style, size=32, repeats=1)
    assert pool.time(request) == "no clock"
    assert pool.closed - before == pool.started - 1


# --- two executors on one run folder -----------------------------------------------------


def test_two_processes_share_the_units(tmp_path):
    planned = [unit(i, f"v{i % 3}") for i in range(40)]

    def script_of(pool_number):
        def script(name, attempt):
            time.sleep(0.005)
            one = planned[name]
            failed = UnitRecord.of(one, Status.FAILED, finished=f"by {pool_number}")
            Store(tmp_path).write_record(failed)
            return "failed"

        return script

    leases = [Leases(tmp_path) for _ in range(2)]
    pools = [FakePool(tmp_path, 2, script_of(n), leases[n]) for n in range(2)]
    found = [{}, {}]

    def work(n):
        found[n] = {u.key: r for u, r in pools[n].run(planned, lambda *_: None)}
        pools[n].close()
        leases[n].close()

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert [len(each) for each in found] == [40, 40]
    attempts = pools[0].attempts + pools[1].attempts
    assert set(attempts.values()) == {1}, "no unit ran twice"
    assert min(len(pool.attempts) for pool in pools) > 0, "both processes ran units"
    assert not (tmp_path / "leases").exists()


def test_an_outdated_record_does_not_count_as_a_result(tmp_path):
    old = unit(0)
    Store(tmp_path).write_record(UnitRecord.of(old, Status.FAILED, finished="before"))
    leases = Leases(tmp_path)
    pool = FakePool(tmp_path, 1, lambda name, attempt: Status.DONE, leases)
    ((_, record),) = pool.run([old], lambda *_: None, None, {old.key: "before"})
    assert record.status == Status.DONE
    ((_, record),) = pool.run([old], lambda *_: None, None, {})
    assert record.from_other_process
    pool.close()
    leases.close()
