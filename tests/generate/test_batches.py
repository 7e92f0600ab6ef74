"""Units that a worker runs in one batch: records, failures, sizes, and complete runs."""

from __future__ import annotations

import json
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from fake_pool import FakePool, FakeWorker, take, unit, units
from unit_records import unit_record, worker_answer

from nstbench.core.errors import StoreError, UsageError
from nstbench.core.records import ImageRecord, Status, Unit, UnitRecord
from nstbench.generate.batch_timing import time_batch
from nstbench.generate.executors.batches import BatchSizes
from nstbench.generate.executors.choose import make_executor, resolve_workers
from nstbench.generate.executors.executor import (
    WorkerDiedError,
    WorkerMemoryError,
    WorkerSettings,
    WorkerTimeoutError,
)
from nstbench.generate.executors.local import LocalExecutor, time_limit
from nstbench.generate.executors.schedule import Schedule
from nstbench.generate.method_timing import TimingRequest
from nstbench.generate.runner import Runner
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.pipeline.job import execute, plan_run
from nstbench.pipeline.timing_stage import own_samples
from nstbench.plan.config_file import build_config
from nstbench.plugins import registry
from nstbench.store.atomic_files import read_json
from nstbench.store.leases import Leases
from nstbench.store.store import Store

PLUGIN = """
import time
import torch
from nstbench.contracts import Diverged, Method, MethodInfo
from nstbench.core.records import Flexibility, Step

class Mean(Method):
    info = MethodInfo("Mean", "me", 2026, "paper", "test", Flexibility.ARBITRARY)
    prepared = 0

    def prepare(self, style):
        self.style = style.pixels
        self.prepared += 1

    def stylize(self, content, *, generator, on_step):
        on_step(Step(1, 1, {"total": content.pixels.mean()}))
        grain = torch.rand(content.pixels.shape, generator=generator)
        return (content.pixels + self.style.flip(-1) + grain) / 3

    def does_batches(self):
        return True

    def stylize_batch(self, pairs):
"""
GOOD = """
outputs = [
    pair.method.stylize(pair.content, generator=pair.generator, on_step=pair.on_step)
    for pair in pairs
]
"""


# --- in a worker -------------------------------------------------------------------------


@pytest.fixture
def add(tmp_path):
    """Return a function that registers a method by the body of ``stylize_batch``, with units."""
    store = Store(tmp_path / "run")
    draw = np.random.default_rng(0)
    for name in ("c0", "c1", "c2", "s0", "s1"):
        pixels = draw.integers(0, 255, (40, 48, 3), dtype=np.uint8)
        write_png(store.root / f"{name}.png", pixels)
    count = iter(range(100))

    def make(body):
        name = f"mean_{next(count)}"
        file = tmp_path / f"{name}.py"
        file.write_text(PLUGIN + textwrap.indent(textwrap.dedent(body), " " * 8))
        registry.add_file(file)
        return [
            Unit(
                key=f"{name}{place}".rjust(64, "0"), method=name, plugin=name, params={},
                content=ImageRecord(content, f"{content}.png", sha256=content),
                style=ImageRecord(style, f"{style}.png", sha256=style),
                size=48, fit="inside", seed=0, unit_seed=place, parts={"place": place},
            )
            for place, (content, style) in enumerate([("c0", "s0"), ("c1", "s0"), ("c2", "s1")])
        ]  # fmt: skip

    make.store = store
    return make


def run_batch(store, planned):
    steps = []
    runner = Runner(store, "cpu", 1)
    found = runner.run_batch(planned, lambda place, step: steps.append((place, step.index)))
    return found, steps


def traces(store, planned):
    return [read_json(store.trace_path(u.key))["steps"][0]["total"] for u in planned]


def test_a_unit_in_a_batch_has_the_same_result_as_alone(add):
    planned = add(GOOD + "return outputs")
    alone = [Runner(add.store, "cpu", 1).run(u, lambda step: None) for u in planned]
    totals = traces(add.store, planned)
    found, steps = run_batch(add.store, planned)
    assert steps == [(0, 1), (1, 1), (2, 1)]
    assert [r.output_sha256 for r in found] == [r.output_sha256 for r in alone]
    assert len({r.output_sha256 for r in found}) == 3
    assert traces(add.store, planned) == totals
    for batched, u in zip(found, planned, strict=True):
        assert (batched.status, batched.batch) == (Status.DONE, 3)
        assert add.store.record(u.plugin, u.key).batch == 3
        assert batched.content == u.content.name
    assert len({r.seconds for r in found}) == 1, "an equal share"
    assert found[0].prepare_seconds == found[1].prepare_seconds, "prepared once per style"
    assert found[0].prepare_seconds != found[2].prepare_seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("outputs[1] = outputs[1] * 3", "outside"),
        ("outputs[1] = outputs[1][..., 1:]", "shape"),
        ("outputs[1] = None", "NoneType instead of a tensor"),
        ("outputs[1] = ValueError('no such layer')", "ValueError: no such layer"),
        ("outputs[1] = KeyboardInterrupt()", "KeyboardInterrupt"),
        ("outputs[1] = Diverged(17, pairs[1].content.pixels)", "step 17"),
        ("pairs[1].content.pixels.zero_()", "changed its input"),
    ],
)
def test_a_pair_that_fails_does_not_affect_the_others(add, body, message):
    planned = add(f"{GOOD}\n{body}\nreturn outputs")
    found, _ = run_batch(add.store, planned)
    assert [r.status for r in found] == [Status.DONE, Status.FAILED, Status.DONE]
    assert message in found[1].message
    assert "Traceback" in found[1].traceback
    kept = [add.store.record(u.plugin, u.key) for u in planned]
    assert [record.status for record in kept] == ["done", "failed", "done"]


def test_divergence_in_a_batch_keeps_the_last_finite_picture(add):
    planned = add(f"{GOOD}\noutputs[1] = Diverged(3, pairs[1].content.pixels)\nreturn outputs")
    run_batch(add.store, planned)
    last = add.store.trace_path(planned[1].key).with_name(f"{planned[1].key}_last_finite.png")
    assert np.array_equal(read_image(last), read_image(add.store.root / "c1.png"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise torch.OutOfMemoryError('x')", "OutOfMemoryError"),
        ("outputs[2] = torch.OutOfMemoryError('x')", "OutOfMemoryError"),
        ("outputs[2] = RuntimeError('CUDA error: out of memory')", "out of memory"),
        ("raise ValueError('not for three')", "not for three"),
        ("raise SystemExit(3)", "SystemExit"),
        ("outputs.pop()", "2 pictures for 3 pairs"),
        ("return None", "TypeError"),
    ],
)
def test_a_batch_that_fails_as_a_whole_writes_no_record(add, body, message):
    planned = add(f"{GOOD}\n{body}\nreturn outputs")
    found, _ = run_batch(add.store, planned)
    assert message in found
    assert [add.store.record(u.plugin, u.key) for u in planned] == [None] * 3


def test_a_full_disk_is_not_recorded_as_a_failure_of_the_batch(add):
    for body in (
        "raise OSError(28, 'No space left on device')",
        "return [OSError(28, 'No space left on device')] * 3",
    ):
        planned = add(body)
        with pytest.raises(StoreError, match=r"no space left.*same command again"):
            run_batch(add.store, planned)
        assert [add.store.record(u.plugin, u.key) for u in planned] == [None] * 3


@pytest.mark.parametrize(
    "body", ["raise torch.OutOfMemoryError('x')", "import os; os._exit(7)", "raise SystemExit"]
)
def test_units_of_a_batch_that_fails_in_a_real_worker_are_done_one_by_one(add, body):
    planned = add(body)
    settings = WorkerSettings(add.store.root, "cpu", 1, 60.0, pairs_per_batch=3)
    local = LocalExecutor(settings)
    seen = []
    found = local.run(
        planned, lambda u, *step: seen.append((u.key, *step)), batched={planned[0].method}
    )
    records = {u.key: record for u, record in found}
    local.close()
    assert {record.status for record in records.values()} == {"done"}
    assert {record.batch for record in records.values()} == {1}
    assert [seen.count((u.key, 0, 0)) for u in planned] == [2] * 3, "once together, once alone"
    assert [seen.count((u.key, 1, 1)) for u in planned] == [1] * 3


def test_a_batch_in_a_real_worker_reports_steps_of_each_pair(add):
    planned = add(GOOD + "return outputs")
    local = LocalExecutor(WorkerSettings(add.store.root, "cpu", 1, 60.0, pairs_per_batch=2))
    seen = []
    found = local.run(
        planned, lambda u, *step: seen.append((u.key, *step)), batched={planned[0].method}
    )
    records = [record.batch for _, record in found]
    local.close()
    assert records == [2, 2, 1]
    assert sorted(seen) == sorted((u.key, *s) for u in planned for s in ((0, 0), (1, 1)))


def test_a_batch_may_take_as_long_as_its_units_one_by_one():
    assert time_limit({"do": "unit", "unit": {}}, 7.0) == 7.0
    assert time_limit({"do": "batch", "units": [{}] * 5}, 7.0) == 35.0


# --- how many at once --------------------------------------------------------------------


def test_sizes_double_while_they_fit_and_are_halved_where_they_do_not():
    sizes, one, other = BatchSizes({"a"}), unit(0, "a"), unit(0, "b")
    assert sizes.of(other, "auto") == sizes.of(other, 8) == 1, "its method does not process batches"
    tried = []
    for _ in range(5):
        tried.append(sizes.of(one, "auto"))
        sizes.fitted(one, tried[-1])
    assert tried == [4, 8, 16, 16, 16]
    sizes.failed(one, 16)
    sizes.fitted(one, 8)
    assert sizes.of(one, "auto") == 8
    for left in (4, 2, 1, 1):
        sizes.failed(one, sizes.of(one, "auto"))
        assert sizes.of(one, "auto") == left


def test_a_small_last_batch_does_not_change_the_size():
    sizes, one = BatchSizes({"a"}), unit(0, "a")
    sizes.fitted(one, 2)
    assert sizes.of(one, "auto") == 4


def test_a_wanted_size_is_kept_until_it_fails():
    sizes, one = BatchSizes({"a"}), unit(0, "a")
    assert [sizes.of(one, wanted) for wanted in (1, 3, 40)] == [1, 3, 40]
    sizes.fitted(one, 40)
    assert sizes.of(one, 40) == 40
    sizes.failed(one, 40)
    assert [sizes.of(one, wanted) for wanted in (3, 40)] == [3, 20]


# --- the schedule ------------------------------------------------------------------------


def names(tasks):
    return [f"{task.unit.method}{task.unit.content.name[1:]}" for task in tasks]


def test_a_batch_is_of_one_variant_and_in_the_order_of_the_plan():
    schedule = Schedule(units(a=3, b=2), 1)
    first = schedule.next(0)
    rest = schedule.more_for_batch(0, first, 7)
    assert names([first, *rest]) == ["a0", "a1", "a2"]
    for task in (first, *rest):
        schedule.done(task)
    assert take(schedule, 0, 2) == ["b0", "b1"]
    assert schedule.next(0) is None


def test_a_helper_takes_its_batch_from_the_other_end():
    schedule = Schedule(units(a=9), 3)
    first, last = schedule.next(0), schedule.next(1)
    assert names([first, *schedule.more_for_batch(0, first, 1)]) == ["a0", "a1"]
    assert names([last, *schedule.more_for_batch(1, last, 1)]) == ["a8", "a7"]


def test_slots_without_a_group_keep_their_share_of_the_units():
    schedule = Schedule(units(a=8), 2)
    assert names(schedule.more_for_batch(0, schedule.next(0), 7)) == ["a1", "a2", "a3"]
    schedule = Schedule(units(a=8, b=2), 2)
    assert len(schedule.more_for_batch(0, schedule.next(0), 7)) == 7, "the other slot has b"


def test_retried_tasks_and_tasks_after_the_stop_are_in_no_batch():
    schedule = Schedule(units(a=6), 1)
    first = schedule.next(0)
    schedule.worker_died(first, 0)
    first = schedule.next(0)
    assert schedule.more_for_batch(0, first, 5) == []
    schedule.batch_failed(first)
    assert schedule.next(0) is first, "before anything else"
    assert schedule.more_for_batch(0, first, 5) == []
    schedule.done(first)
    second = schedule.next(0)
    schedule.stop()
    assert schedule.more_for_batch(0, second, 5) == []


# --- executors ---------------------------------------------------------------------------


class BatchWorker(FakeWorker):
    """Answers a batch with the result of ``together(names)``: a problem, or None for records."""

    def ask(self, request, on_event):
        if request["do"] != "batch":
            return super().ask(request, on_event)
        names = [one["parts"]["name"] for one in request["units"]]
        with self.pool.lock:
            self.pool.asked.append(names)
        for place in range(len(names)):
            on_event({"event": "step", "place": place, "index": 1, "total": 2})
        problem = self.pool.together(names)
        if isinstance(problem, Exception):
            raise problem
        if problem == "error":
            return {"event": "error", "message": "StoreError: full"}
        if isinstance(problem, dict):
            return {"event": "result", "message": "out of memory", **problem}
        if problem is not None:
            return {"event": "result", "message": problem}
        records = [worker_answer(one, Status.DONE, batch=len(names)) for one in request["units"]]
        return {"event": "result", "records": records}


class BatchPool(FakePool):
    """A pool whose workers do batches."""

    def __init__(self, root, slots, wanted, together=lambda names: None, leases=None):
        super().__init__(root, slots, lambda name, attempt: Status.DONE, leases)
        for slot in range(slots):
            self.workers.settings[slot] = WorkerSettings(
                root, "cpu", 1, 5.0, pairs_per_batch=wanted
            )
        self.together, self.asked = together, []

    def _start(self, settings, cancelled):
        super()._start(settings, cancelled)
        return BatchWorker(self)


def results(pool, planned, seen=None):
    def report(one, *step):
        if seen is not None:
            seen.append((one.parts["name"], *step))

    batched = {u.method for u in planned}
    found = [(u.parts["name"], r) for u, r in pool.run(planned, report, batched=batched)]
    pool.close()
    return found


def test_units_go_out_in_batches_and_each_has_one_result(tmp_path):
    seen = []
    pool = BatchPool(tmp_path, 1, 3)
    found = results(pool, units(a=8), seen)
    assert pool.asked == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [name for name, _ in found] == list(range(8))
    assert all(record.parts == {"name": name} for name, record in found)
    assert sorted(seen) == sorted((n, *s) for n in range(8) for s in ((0, 0), (1, 2)))


def test_variants_that_do_no_batches_go_out_one_by_one(tmp_path):
    pool = BatchPool(tmp_path, 1, 3)
    found = list(pool.run(units(a=2, b=2), lambda *_: None, batched={"b"}))
    pool.close()
    assert len(found) == 4
    assert pool.asked == [[0, 1]]
    assert pool.attempts == {0: 1, 1: 1}


def test_batches_grow_while_they_fit(tmp_path):
    pool = BatchPool(tmp_path, 1, "auto")
    results(pool, units(a=50))
    assert [len(names) for names in pool.asked] == [4, 8, 16, 16, 6]


@pytest.mark.parametrize(
    "problem",
    [
        "a reason",
        WorkerDiedError("killed"),
        WorkerTimeoutError("late"),
    ],
)
def test_units_of_a_batch_that_fails_are_done_one_by_one(tmp_path, problem):
    pool = BatchPool(tmp_path, 1, 4, lambda names: problem if len(names) > 2 else None)
    found = results(pool, units(a=9))
    assert sorted(name for name, _ in found) == list(range(9))
    assert {record.status for _, record in found} == {Status.DONE}
    assert pool.asked == [[0, 1, 2, 3], [4, 5], [6, 7]], "later ones are half as large"
    assert pool.attempts == {0: 1, 1: 1, 2: 1, 3: 1, 8: 1}
    assert pool.started == (1 if isinstance(problem, str) else 2)


@pytest.mark.parametrize("problem", [{"memory": True}, WorkerMemoryError("8 GiB")])
@pytest.mark.parametrize(("fits", "asked"), [(2, [4, 2, 2, 2, 2]), (1, [4, 2, 2])])
def test_a_batch_that_needs_too_much_memory_is_halved(tmp_path, caplog, problem, fits, asked):
    pool = BatchPool(tmp_path, 1, 4, lambda names: problem if len(names) > fits else None)
    found = results(pool, units(a=9))
    assert sorted(name for name, _ in found) == list(range(9))
    assert {record.status for _, record in found} == {Status.DONE}
    assert [len(names) for names in pool.asked] == asked
    assert len(pool.attempts) == (1 if fits == 2 else 9)
    assert "a batch of 4 pairs failed" in caplog.text
    assert "in halves" in caplog.text


def test_a_worker_says_that_memory_did_not_suffice_for_a_batch(add):
    planned = add(
        "if len(pairs) > 2: raise torch.OutOfMemoryError('x')\n" + GOOD + "return outputs"
    )
    local = LocalExecutor(WorkerSettings(add.store.root, "cpu", 1, 60.0, pairs_per_batch=4))
    found = local.run([*planned, *planned[:1]], lambda *_: None, batched={planned[0].method})
    batches = sorted(record.batch for _, record in found)
    local.close()
    assert batches == [2, 2, 2, 2]


def test_a_store_that_a_batch_cannot_write_ends_the_run(tmp_path):
    pool = BatchPool(tmp_path, 2, 3, lambda names: "error")
    with pytest.raises(StoreError, match="full"):
        results(pool, units(a=9))
    pool.close()


def test_several_slots_do_batches_at_the_same_time(tmp_path):
    meet = threading.Barrier(3, timeout=30)
    pool = BatchPool(tmp_path, 3, 2, lambda names: (meet.wait(), None)[1])
    assert sorted(name for name, _ in results(pool, units(a=6))) == list(range(6))
    assert sorted(map(sorted, pool.asked)) == [[0, 1], [2, 3], [4, 5]]


def test_finish_completes_the_running_batch_and_begins_no_other(tmp_path):
    begun, go = threading.Event(), threading.Event()

    def slow(names):
        begun.set()
        assert go.wait(30)

    pool = BatchPool(tmp_path, 1, 3, slow)
    found = []
    thread = threading.Thread(target=lambda: found.extend(results(pool, units(a=9))), daemon=True)
    thread.start()
    assert begun.wait(30)
    pool.finish()
    go.set()
    thread.join(timeout=30)
    assert [name for name, _ in found] == [0, 1, 2]


def test_after_a_failed_batch_finish_begins_none_of_its_units(tmp_path):
    pool = BatchPool(tmp_path, 1, 3, lambda names: pool.finish() or "out of memory")
    assert results(pool, units(a=9)) == []
    assert not pool.attempts


def test_units_that_another_process_has_are_left_out_of_a_batch(tmp_path):
    planned = units(a=4)
    other, ours = Leases(tmp_path), Leases(tmp_path)
    other.take(planned[1].key)
    Store(tmp_path).write_record(UnitRecord.of(planned[2], Status.FAILED, finished="by it"))
    pool = BatchPool(tmp_path, 1, 4, leases=ours)

    def finish_in_the_other_process():
        Store(tmp_path).write_record(UnitRecord.of(planned[1], Status.FAILED, finished="it"))
        other.release(planned[1].key)

    timer = threading.Timer(1.0, finish_in_the_other_process)
    timer.start()
    found = dict(results(pool, planned))
    timer.join()
    assert pool.asked == [[0, 3]]
    assert not pool.attempts
    assert {name: record.from_other_process for name, record in found.items()} == {
        0: False, 1: True, 2: True, 3: False,
    }  # fmt: skip
    for leases in (ours, other):
        leases.close()
    assert not (tmp_path / "leases").exists()


def test_two_processes_share_units_in_batches(tmp_path):
    planned = [unit(i, f"v{i % 2}") for i in range(40)]

    def finished(names):
        time.sleep(0.01)
        for name in names:
            failed = UnitRecord.of(planned[name], Status.FAILED, finished="x")
            Store(tmp_path).write_record(failed)

    leases = [Leases(tmp_path) for _ in range(2)]
    pools = [BatchPool(tmp_path, 2, 3, finished, leases[n]) for n in range(2)]
    for pool in pools:
        pool.script = lambda name, attempt: finished([name]) or Status.DONE
    found = [[], []]

    def work(n):
        found[n] = results(pools[n], planned)
        leases[n].close()

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert [sorted(name for name, _ in each) for each in found] == [list(range(40))] * 2
    done = [name for pool in pools for names in pool.asked for name in names]
    done += [name for pool in pools for name in pool.attempts.elements()]
    assert sorted(done) == list(range(40)), "no unit ran twice"


# --- throughput --------------------------------------------------------------------------


def time_of(add, body, **given):
    one = add(body)[0]
    request = TimingRequest(
        "k", one.method, one.plugin, {}, one.content, one.style, size=48, repeats=2, **given
    )
    return Runner(add.store, "cpu", 1).time(request)


def test_batches_are_timed_on_request(add):
    timing = time_of(add, "time.sleep(0.05)\n" + GOOD + "return outputs", pairs_per_batch=5)
    assert (timing.batch, len(timing.batch_seconds)) == (5, 3)
    assert min(timing.batch_seconds) > 0.05
    found = registry.load("metrics", "throughput")().compute(timing)
    assert found["batch"] == pytest.approx(5 / sorted(timing.batch_seconds)[1])
    assert found["batch_size"] == 5
    timing = time_of(add, "raise ValueError('it is not called')")
    assert (timing.batch, timing.batch_seconds) == (1, ())
    assert registry.load("metrics", "throughput")().compute(timing).keys() == {""}


@pytest.mark.parametrize(
    ("body", "batch"),
    [
        ("if len(pairs) > 4: raise torch.OutOfMemoryError('x')", 4),
        ("if len(pairs) > 1: raise MemoryError", 1),
        ("return [ValueError('no')] * len(pairs)", 1),
    ],
)
def test_the_largest_batch_that_fits_is_timed(add, body, batch):
    timing = time_of(add, f"{body}\n{GOOD}\nreturn outputs", pairs_per_batch="auto")
    assert timing.batch == batch
    assert len(timing.batch_seconds) == (3 if batch > 1 else 0)


def test_batches_of_slow_methods_are_not_timed():
    class Slow:
        def does_batches(self):
            return True

        def stylize_batch(self, pairs):
            raise AssertionError("it is called")

    assert time_batch(Slow(), None, torch.device("cpu"), 16, latency=6.0) == (1, (), False)


# --- configuration and complete runs -----------------------------------------------------


@pytest.mark.parametrize(("given", "read"), [("auto", "auto"), ("3", 3), (3, 3), (1, 1)])
def test_the_number_of_pairs_is_auto_or_a_number(given, read):
    assert build_config({"pairs_per_batch": given}).pairs_per_batch == read


@pytest.mark.parametrize("given", ["many", "0", 0, -1, 2.5, True, 10**6])
def test_other_numbers_of_pairs_are_refused(given):
    with pytest.raises(UsageError, match=r"--pairs-per-batch: must be auto or a number from 1"):
        build_config({"pairs_per_batch": given})


@pytest.mark.parametrize(("given", "cpu", "cuda"), [("auto", 1, "auto"), (3, 3, 3)])
def test_auto_means_one_pair_on_cpus(tmp_path, given, cpu, cuda):
    config = build_config({"pairs_per_batch": given, "out": tmp_path, "device": "cpu"})
    config = resolve_workers(config).model_copy(update={"devices": ("cpu", "cuda:0"), "workers": 3})
    executor = make_executor(config, Store(tmp_path), Leases(tmp_path), 1)
    slots = [executor.workers.settings[slot].pairs_per_batch for slot in range(3)]
    assert slots == [cpu, cuda, cpu]


def test_units_of_a_batch_are_not_timing_samples(tmp_path):
    config = resolve_workers(
        build_config({"size": 64, "timing_repeats": 2, "device": "cpu", "threads": 1})
    )
    for batch, samples in ((1, 3), (2, 0)):
        facts = {"size": 64, "device_name": "d", "threads": 1, "seconds": 5.0, "batch": batch}
        record = unit_record("0f", "done", **facts)
        found = own_samples(config, [record] * 3, 64, {"device_name": "d"})
        assert (len(found.latency.seconds) if found else 0) == samples


@pytest.fixture
def settings(picture_folders, network_weights, tmp_path):
    contents, styles = picture_folders
    return {
        # With so few steps, rounding errors stay below about one grey level.
        "methods": "content_copy,adain_2017,gatys_2015:optimizer=adam,iterations=3,"
        "coarse_scales=[],coarse_iterations=[],precision=float32",
        "contents": str(contents), "styles": str(styles), "size": 64, "timing_repeats": 1,
        "metrics": ("uef", "ssim", "latency"), "formats": ("csv",), "device": "cpu",
        "threads": 1, "out": tmp_path / "run",
    }  # fmt: skip


def test_a_run_in_batches_makes_the_same_table_as_one_without(settings, tmp_path):
    execute(build_config(settings))
    both = settings | {"out": tmp_path / "batches", "pairs_per_batch": 3}
    board = execute(build_config(both))
    tables = [
        pd.read_csv(root / "report" / "leaderboard.csv") for root in (settings["out"], both["out"])
    ]
    timed = [name for name in tables[0] if "latency" in name or "speed" in name]
    assert timed
    one, other = (table.drop(columns=timed) for table in tables)
    pd.testing.assert_frame_equal(one, other, rtol=2e-3, atol=2e-3)
    written = {
        path.stem: json.loads(path.read_text())
        for path in (both["out"] / "outputs").rglob("*.json")
    }
    sizes = {}
    for record in written.values():
        sizes.setdefault(record["plugin"], []).append(record["batch"])
    assert {name: sorted(found) for name, found in sizes.items()} == {
        "content_copy": [1] * 4, "gatys_2015": [1] * 4, "adain_2017": [1, 3, 3, 3],
    }  # fmt: skip
    timings = {timing.plugin: timing for timing in board.timings}
    assert {timing.samples_from for timing in timings.values()} == {"repeats"}
    assert timings["adain_2017"].batch == 3
    assert timings["content_copy"].batch_seconds == ()
    _, _, plan = plan_run(build_config(settings))
    assert {unit.key for unit in plan.units} == written.keys(), "keys do not depend on batches"
    assert not plan.pending
