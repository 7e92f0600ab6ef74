"""A method that breaks its GPU costs its own units only; the worker is replaced."""

from __future__ import annotations

import logging
import textwrap

import numpy as np
import pytest
import torch
from fake_pool import FakePool, units

from nstbench.core import isolation
from nstbench.core.errors import lost_device
from nstbench.core.records import ImageRecord, Status, Unit
from nstbench.generate.executors.executor import WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.generate.method_timing import TimingRequest
from nstbench.generate.runner import Runner
from nstbench.pictures.picture import write_png
from nstbench.plugins import registry
from nstbench.store.atomic_files import read_json
from nstbench.store.store import Store

PLUGIN = """
import os
import torch
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility, Step

class Lost:
    def __float__(self):
        raise RuntimeError("CUDA error: unspecified launch failure")

class Breaks(Method):
    info = MethodInfo("Breaks", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        pass

    def does_batches(self):
        return True

    def stylize_batch(self, pairs):
        return [self.stylize(p.content, generator=None, on_step=p.on_step) for p in pairs]

    def stylize(self, content, *, generator, on_step):
"""
ILLEGAL = "CUDA error: an illegal memory access was encountered"
LOST = [
    f'raise torch.AcceleratorError("{ILLEGAL}")',
    f'raise RuntimeError("{ILLEGAL}")',
    'raise RuntimeError("CUDA error: uncorrectable ECC error encountered")',
    'raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")',
    f'try:\n    raise RuntimeError("{ILLEGAL}")\nexcept RuntimeError:\n    raise ValueError("bad")',
]
KEPT = [
    'raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")',
    'raise RuntimeError("CUDA error: out of memory")',
    'raise RuntimeError("shape mismatch")',
    'raise ValueError("CUDA error: is only a text here")',
]


@pytest.fixture
def add(tmp_path):
    """Return a function that registers a method by its body and returns units of it."""
    store = Store(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    write_png(store.root / "c.png", pixels)
    count = iter(range(100))

    def make(body, number=1):
        name = f"breaks_{next(count)}"
        file = tmp_path / f"{name}.py"
        file.write_text(PLUGIN + textwrap.indent(textwrap.dedent(body), " " * 8))
        registry.add_file(file)
        picture = ImageRecord("c", "c.png", sha256="c")
        return [
            Unit(
                key=f"{name}{place}".rjust(64, "0"), method=name, plugin=name, params={},
                content=picture, style=picture, size=48, fit="inside", seed=0, unit_seed=place,
                parts={"place": place},
            )
            for place in range(number)
        ]  # fmt: skip

    make.store = store
    return make


def executor(store, device="cpu", pairs=1):
    return LocalExecutor(WorkerSettings(store.root, device, 1, 120.0, pairs_per_batch=pairs))


def results(local, planned, batched=()):
    found = {u.key: r for u, r in local.run(planned, lambda *_: None, batched=batched)}
    local.close()
    return [found[u.key] for u in planned]


@pytest.mark.parametrize(("body", "lost"), [(b, True) for b in LOST] + [(b, False) for b in KEPT])
def test_the_runner_knows_which_errors_lose_the_device(add, body, lost):
    (unit,) = add(body)
    runner = Runner(add.store, "cpu", 1)
    record = runner.run(unit, lambda step: None)
    assert record.status == (Status.OOM if "out of memory" in body else Status.FAILED)
    assert runner.lost == lost
    if lost and "try" not in body:
        assert "CUDA error" in record.message or "CUDNN" in record.message


def test_a_lost_device_costs_its_own_unit_and_the_worker_is_replaced(add):
    good = "return content.pixels.clone()"
    planned = [*add(good), *add(LOST[0], 2), *add(good), *add(LOST[1]), *add(good)]
    records = results(executor(add.store), planned)
    statuses = [record.status for record in records]
    done, failed = Status.DONE, Status.FAILED
    assert statuses == [done, failed, failed, done, failed, done]
    for place in (1, 2, 4):
        assert "an illegal memory access" in records[place].message
        stored = add.store.record(planned[place].plugin, planned[place].key)
        assert stored.status == failed
    processes = [record.process for record in records]
    assert processes[0] == processes[1], "a failed unit has the worker of the unit before it"
    assert len(set(processes)) == 4, "each lost device ends its worker"


def test_pairs_of_a_batch_that_lost_the_device_run_in_a_new_worker(add, caplog):
    body = 'raise torch.AcceleratorError("CUDA error: misaligned address")'
    planned = add("return content.pixels.clone()") + add(body, 3)
    batched = {planned[1].method}
    with caplog.at_level(logging.WARNING):
        records = results(executor(add.store, pairs=4), planned, batched)
    # each of them breaks a worker of its own
    assert [record.status for record in records] == [Status.DONE] + [Status.FAILED] * 3
    assert len({record.process for record in records}) == 4
    assert "3 pairs failed (AcceleratorError: CUDA error: misaligned address" in caplog.text
    assert "later batches have at most 1" in caplog.text


def test_losses_on_a_lost_device_do_not_end_the_run(add):
    body = f'on_step(Step(1, 2, {{"total": Lost()}}))\nraise RuntimeError("{ILLEGAL}")'
    (unit,) = add(body)
    record = Runner(add.store, "cpu", 1).run(unit, lambda step: None)
    assert record.status == Status.FAILED
    (row,) = read_json(add.store.trace_path(unit.key))["steps"]
    assert row["step"] == 1
    assert "total" not in row


def test_timing_on_a_lost_device_is_a_message_and_the_next_timing_works(add):
    local = executor(add.store)
    answers = []
    for body in (LOST[0], "return content.pixels.clone()"):
        (unit,) = add(body)
        request = TimingRequest(
            "k", unit.method, unit.plugin, {}, unit.content, unit.style, size=48, repeats=1
        )
        answers.append(local.time(request))
        assert (0 in local.workers) == (body != LOST[0])
    local.close()
    assert "illegal memory access" in answers[0]
    assert len(answers[1].latency) == 1


def test_only_answers_that_say_so_end_a_worker(tmp_path):
    def script(name, attempt):
        return Status.FAILED

    pool = FakePool(tmp_path, 1, script)
    start = pool._start

    def starting(settings, cancelled):
        worker = start(settings, cancelled)
        ask = worker.ask
        worker.ask = lambda request, on_event: (
            ask(request, on_event) | {"lost": request["unit"]["parts"]["name"] == 1}
        )
        return worker

    pool.workers._start = starting
    found = {u.parts["name"]: r.status for u, r in pool.run(units(a=4), lambda *_: None)}
    pool.close()
    assert set(found.values()) == {Status.FAILED}
    assert set(pool.attempts.values()) == {1}, "a lost device is not tried again"
    assert pool.started == 2


@pytest.mark.parametrize("when", ["get_rng_state_all", "set_rng_state_all"])
def test_isolation_hides_a_lost_device_and_no_other_error(monkeypatch, when):
    def lost(*_):
        raise torch.AcceleratorError(ILLEGAL)

    def other(*_):
        raise RuntimeError("wrong shape")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", list)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", lambda states: None)
    monkeypatch.setattr(torch.cuda, when, lost)
    before = torch.get_default_dtype()
    with isolation.isolated():
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() == before
    # the error of the block goes through
    with pytest.raises(KeyError, match="own"), isolation.isolated():
        raise KeyError("own")
    monkeypatch.setattr(torch.cuda, when, other)
    with pytest.raises(RuntimeError, match="wrong shape"), isolation.isolated():
        pass


def test_a_cause_several_levels_deep_counts():
    error = ValueError("outer")
    error.__cause__ = KeyError("middle")
    error.__cause__.__context__ = torch.AcceleratorError("CUDA error: device-side assert triggered")
    assert lost_device(error)
    assert not lost_device(ValueError("outer"))
    assert not lost_device(None)


ASSERTS = {
    "index": """
        table = torch.nn.Embedding(4, 3, device=content.pixels.device)
        table(torch.tensor([7], device=content.pixels.device))
        return content.pixels.clone()
    """,
    "assertion": """
        torch._assert_async(torch.zeros((), dtype=torch.bool, device=content.pixels.device))
        return content.pixels.clone()
    """,
}


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ASSERTS)
@pytest.mark.parametrize("pairs", [1, 4])
def test_a_kernel_that_asserts_costs_its_own_units(add, pairs, kind):
    # it computes, so it fails in a process whose GPU is lost
    good = "return (content.pixels * 0.5).exp().clamp(0, 1)"
    planned = [*add(good, 2), *add(ASSERTS[kind], 2), *add(good, 2)]
    batched = {unit.method for unit in planned}
    records = results(executor(add.store, "cuda", pairs), planned, batched)
    done, failed = [Status.DONE] * 2, [Status.FAILED] * 2
    assert [record.status for record in records] == done + failed + done
    assert all("device-side assert" in record.message for record in records[2:4])
    stored = [add.store.record(unit.plugin, unit.key).status for unit in planned]
    assert stored == done + failed + done
    first, second = (record.process for record in records[2:4])
    assert first != second, "a worker was used after an error"
    assert records[4].process not in {first, second}
