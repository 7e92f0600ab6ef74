"""Methods that misbehave, in the runner and in a worker process."""

from __future__ import annotations

import os
import random
import re
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nstbench.core.errors import StoreError
from nstbench.core.records import ImageRecord, Status, Unit
from nstbench.generate.clock import KERNEL_RUNS
from nstbench.generate.executors import local as local_module
from nstbench.generate.executors import slot_driver
from nstbench.generate.executors.executor import WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.generate.method_timing import TimingRequest
from nstbench.generate.runner import Runner
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.plugins import registry
from nstbench.store.atomic_files import read_json
from nstbench.store.store import Store

HEAD = """
import os, sys, time
import numpy as np
import torch
from nstbench.contracts import Diverged, Method, MethodInfo
from nstbench.core.records import Flexibility, Step

class Plugin(Method):
    info = MethodInfo("Plugin", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style.pixels

    def stylize(self, content, *, generator, on_step):
"""


@pytest.fixture
def setup(tmp_path):
    """Return (store, add) where add(body) registers a method and returns its unit."""
    store = Store(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    for name in ("content", "style"):
        write_png(store.root / f"{name}.png", pixels)
    count = iter(range(100))

    def add(body, members="", **overrides):
        name = f"plugin_{next(count)}"
        file = tmp_path / f"{name}.py"
        code = HEAD + textwrap.indent(textwrap.dedent(body), " " * 8)
        file.write_text(code + "\n" + textwrap.indent(textwrap.dedent(members), " " * 4))
        registry.add_file(file)
        return Unit(
            **{
                "key": name.rjust(64, "0"),
                "method": name,
                "plugin": name,
                "params": {},
                "content": ImageRecord("c", "content.png", sha256="c"),
                "style": ImageRecord("s", "style.png", sha256="s"),
                "size": 48,
                "fit": "inside",
                "seed": 0,
                "unit_seed": 5,
                "parts": {"method": name},
                **overrides,
            }
        )

    return store, add


def run(store, unit):
    return Runner(store, "cpu", 1).run(unit, lambda step: None)


def executor(store, timeout=60.0):
    return LocalExecutor(WorkerSettings(store.root, "cpu", 1, timeout))


def test_a_unit_that_is_done_has_picture_trace_and_record(setup):
    store, add = setup
    unit = add(
        """
        for index in range(3):
            on_step(Step(index + 1, 3, {"total": torch.tensor(1.0 / (index + 1))}))
        return 1 - content.pixels
        """
    )
    record = run(store, unit)
    assert record.status == Status.DONE
    assert record.seconds > 0
    assert store.record(unit.plugin, unit.key).output_sha256 == record.output_sha256
    content = read_image(store.root / "content.png")
    assert np.array_equal(read_image(store.root / record.output), 255 - content)
    trace = read_json(store.trace_path(unit.key))["steps"]
    assert [row["total"] for row in trace] == pytest.approx([1, 1 / 2, 1 / 3])
    assert trace[0]["seconds"] <= trace[2]["seconds"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return content.pixels * float('nan')", "NaN or infinite"),
        ("return content.pixels[..., 1:]", "shape"),
        ("return content.pixels * 3", r"outside \[0, 1\]"),
        ("return -content.pixels - 0.5", r"outside \[0, 1\]"),
        ("return content.pixels / 0", "NaN or infinite"),
        (
            "return torch.full((1, 3, 40, 48), float('inf'))",
            "40 values|5760 values|NaN or infinite",
        ),
        ("return content.pixels.to('meta')", "on meta, not on cpu"),
        ("return content.pixels[0]", "shape"),
        ("return content.pixels.expand(2, -1, -1, -1)", "shape"),
        ("return torch.empty(0)", "shape"),
        ("return content.pixels.half()", "float16"),
        ("return (content.pixels * 255).byte()", "uint8"),
        ("return content.pixels.to(torch.complex64)", "complex64"),
        ("return content.pixels.to_sparse()", "sparse|layout|Sparse"),
        ("return None", "NoneType instead of a tensor"),
        ("return [content.pixels]", "list instead of a tensor"),
        ("content.pixels.zero_(); return content.pixels.clone()", "changed its input"),
        ("content.pixels.resize_(1, 3, 8, 8); return content.pixels", "shape|resize|input"),
        ("return content.pixels.double()", "float64"),
        ("return content.pixels.numpy()", "instead of a tensor"),
        ("return content.pixels.mul_(0.5)", "changed its input"),
        ("raise ValueError('no such layer')", "ValueError: no such layer"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_misbehaviour_is_a_failed_unit_with_its_reason(setup, body, message):
    store, add = setup
    record = run(store, add(body))
    assert record.status == Status.FAILED
    assert re.search(message, record.message)
    assert "Traceback" in record.traceback


def test_exception_without_readable_text_is_named_by_its_class(setup):
    store, add = setup
    unit = add(
        """
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no words")
        raise Mute
        """
    )
    record = run(store, unit)
    assert (record.status, record.message) == (Status.FAILED, "Mute")


def test_full_disk_inside_a_method_is_not_recorded_as_its_failure(setup):
    store, add = setup
    unit = add("raise OSError(28, 'No space left on device')")
    with pytest.raises(StoreError, match=r"no space left.*same command again"):
        run(store, unit)
    assert store.record(unit.plugin, unit.key) is None, "the unit runs again later"
    assert run(store, add("raise OSError(2, 'no such file')")).status == Status.FAILED


def test_a_method_that_changes_its_style_changes_a_copy(setup):
    store, add = setup
    unit = add(
        """
        self.style.zero_()
        return content.pixels.clone()
        """
    )
    runner = Runner(store, "cpu", 1)
    before = read_image(store.root / "style.png")
    other = add("return self.style.clone()[..., :40, :48]")
    for each in (unit, other):
        assert runner.run(each, lambda step: None).status == Status.DONE
    output = read_image(store.output_path(other.plugin, other.key))
    assert np.array_equal(output, before), "the next method gets the unchanged style"


def test_divergence_keeps_the_last_finite_picture(setup):
    store, add = setup
    unit = add("raise Diverged(17, content.pixels)")
    record = run(store, unit)
    assert record.status == Status.FAILED
    assert "step 17" in record.message
    last = store.trace_path(unit.key).with_name(f"{unit.key}_last_finite.png")
    assert np.array_equal(read_image(last), read_image(store.root / "content.png"))


@pytest.mark.parametrize(
    "body", ["raise MemoryError", "torch.empty(2**46)", "raise torch.OutOfMemoryError('x')"]
)
def test_out_of_memory_is_told_apart(setup, body):
    store, add = setup
    assert run(store, add(body)).status == Status.OOM


def test_global_state_is_restored(setup):
    store, add = setup
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.is_grad_enabled()
    unit = add(
        """
        torch.manual_seed(1); np.random.seed(1); torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64); torch.autograd.set_detect_anomaly(True)
        torch.set_num_threads(2)
        return content.pixels.clone()
        """
    )
    assert run(store, unit).status == Status.DONE
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert torch.is_grad_enabled() == before[2]
    assert torch.get_default_dtype() == torch.float32
    assert not torch.is_anomaly_enabled()


STATE = {
    "python random": lambda: random.getstate(),
    "numpy random": lambda: np.random.get_state()[1].tolist(),
    "torch random": lambda: torch.get_rng_state().tolist(),
    "gradients": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "dtype": torch.get_default_dtype,
    "device": lambda: torch.zeros(1).device,
    "deterministic": torch.get_deterministic_debug_mode,
    "anomaly": torch.is_anomaly_enabled,
    "precision": torch.get_float32_matmul_precision,
    "cudnn": lambda: [getattr(torch.backends.cudnn, n) for n in
                      ("enabled", "benchmark", "deterministic", "allow_tf32")],
    "casts": lambda: [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d))
                      for d in ("cpu", "cuda")],
    "numpy errors": np.geterr,
    "filters": lambda: list(warnings.filters),
    "environment": lambda: dict(os.environ),
    "folder": Path.cwd,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("python random", "import random; random.seed(1)"),
        ("numpy random", "np.random.seed(1)"),
        ("torch random", "torch.manual_seed(1)"),
        ("gradients", "torch.set_grad_enabled(False)"),
        ("inference mode", "self.kept = torch.inference_mode(); self.kept.__enter__()"),
        ("dtype", "torch.set_default_dtype(torch.float64)"),
        ("device", "torch.set_default_device('meta')"),
        ("deterministic", "torch.use_deterministic_algorithms(True, warn_only=True)"),
        ("anomaly", "torch.autograd.set_detect_anomaly(True)"),
        ("precision", "torch.set_float32_matmul_precision('medium')"),
        ("cudnn", "torch.backends.cudnn.benchmark = True; torch.backends.cudnn.enabled = False"),
        ("cudnn", "torch.backends.cudnn.deterministic = True"),
        ("cudnn", "torch.backends.cudnn.allow_tf32 = False"),
        ("casts", "torch.set_autocast_enabled('cpu', True)"),
        ("casts", "torch.set_autocast_dtype('cuda', torch.bfloat16)"),
        ("numpy errors", "np.seterr(all='raise')"),
        ("filters", "import warnings; warnings.simplefilter('ignore')"),
        ("environment", "os.environ['OMP_NUM_THREADS'] = '77'; os.environ.pop('PATH')"),
        ("folder", "os.chdir('/')"),
    ],
)
@pytest.mark.parametrize("end", ["return content.pixels.clone()", "raise ValueError('no')"])
def test_each_piece_of_global_state_is_put_back(setup, name, change, end):
    store, add = setup
    torch.set_num_threads(1)
    # Imports during the first unit may draw random numbers or add filters.
    run(store, add("return content.pixels.clone()"))
    before = {what: state() for what, state in STATE.items()}
    run(store, add(f"{change}\n{end}"))
    after = {what: state() for what, state in STATE.items()}
    assert after == before


def test_the_unit_seed_determines_the_output(setup):
    store, add = setup
    unit = add("return torch.rand(content.pixels.shape, generator=generator)")
    first = run(store, unit).output_sha256
    assert run(store, unit).output_sha256 == first


def test_method_is_loaded_once_and_style_prepared_once(setup):
    store, add = setup
    unit = add(
        """
        assert self.prepared == 1
        return content.pixels.clone()
        """,
        """
        def load(self, device):
            self.prepared = 0

        def prepare(self, style):
            self.prepared += 1
        """,
    )
    runner = Runner(store, "cpu", 1)
    for _ in range(3):
        assert runner.run(unit, lambda step: None).status == Status.DONE


def test_the_next_unit_runs_after_a_method_ended_its_process(setup, monkeypatch):
    monkeypatch.setattr(slot_driver, "DEATH_RETRIES", 0)
    store, add = setup
    units = [
        add("os._exit(7)"),
        add("import ctypes; ctypes.string_at(0)"),
        add("print('on stdout'); sys.stdout.flush(); return content.pixels.clone()"),
    ]
    local = executor(store)
    records = [record for _, record in local.run(units, lambda *_: None)]
    local.close()
    assert [r.status for r in records] == [Status.FAILED, Status.FAILED, Status.DONE]
    assert "exit code 7" in records[0].message
    assert "SIGSEGV" in records[1].message
    for unit, record in zip(units, records, strict=True):
        assert store.record(unit.plugin, unit.key).status == record.status


def test_threads_that_a_method_leaves_behind_do_not_block_a_worker(setup, monkeypatch):
    monkeypatch.setattr(slot_driver, "DEATH_RETRIES", 0)
    store, add = setup
    units = [
        add(
            """
            import threading
            for daemon in (True, False):
                threading.Thread(target=time.sleep, args=(300,), daemon=daemon).start()
            return content.pixels.clone()
            """
        ),
        add("raise KeyboardInterrupt"),
        add("sys.stdout.write('{' * 100_000 + '}\\n'); return content.pixels.clone()"),
        add("os.close(0); os.close(1); sys.stdin.close(); return content.pixels.clone()"),
        add("return content.pixels.clone()"),
    ]
    local = executor(store)
    records = [record for _, record in local.run(units, lambda *_: None)]
    started = time.monotonic()
    local.close()
    assert time.monotonic() - started < 60
    statuses = [record.status for record in records]
    assert statuses[:3] + statuses[4:] == [Status.DONE, Status.FAILED, Status.DONE, Status.DONE]
    assert statuses[3] in (Status.DONE, Status.FAILED)


def test_a_hanging_unit_is_killed_and_the_next_one_runs(setup):
    store, add = setup
    units = [add("time.sleep(600)"), add("return content.pixels.clone()")]
    local = executor(store, timeout=12)
    records = [record for _, record in local.run(units, lambda *_: None)]
    local.close()
    assert [r.status for r in records] == [Status.TIMEOUT, Status.DONE]
    assert "12 s" in records[0].message


@pytest.mark.slow
def test_a_method_that_closes_the_channel_fails_only_its_own_unit(setup, monkeypatch):
    monkeypatch.setattr(local_module, "END_SECONDS", 0.5)
    store, add = setup
    units = [
        add("os.closerange(3, 200); time.sleep(600)"),
        add("return content.pixels.clone()"),
    ]
    local = executor(store)
    records = [record for _, record in local.run(units, lambda *_: None)]
    local.close()
    assert {r.status for r in records} == {Status.FAILED, Status.DONE}
    (failed,) = (r for r in records if r.status == Status.FAILED)
    assert "stopped answering and was killed" in failed.message


def test_a_method_that_takes_all_memory_is_stopped_and_the_next_one_runs(setup):
    store, add = setup
    hungry = """
    kept = []
    while True:
        kept.append(np.ones(2**21))
        on_step(Step(len(kept), 10**6))
        time.sleep(0.02)
    """
    units = [add(hungry), add("return content.pixels.clone()")]
    settings = WorkerSettings(store.root, "cpu", 1, 240, memory_limit=2**30)
    local = LocalExecutor(settings)
    records = {unit.key: record for unit, record in local.run(units, lambda *_: None)}
    local.close()
    assert [records[u.key].status for u in units] == [Status.OOM, Status.DONE]
    assert "more than the limit of 1.0 GiB" in records[units[0].key].message


def test_timing_keeps_every_sample_apart_from_load_and_prepare(setup):
    store, add = setup
    unit = add(
        """
        time.sleep(0.02)
        return content.pixels.clone()
        """,
        """
        def load(self, device):
            time.sleep(0.05)

        def prepare(self, style):
            time.sleep(0.03)
        """,
    )
    request = TimingRequest(
        "k", unit.method, unit.plugin, {}, unit.content, unit.style, size=32, repeats=5
    )
    local = executor(store)
    timing = local.time(request)
    local.close()
    assert len(timing.latency) == 5
    assert 0.02 <= min(timing.latency) < 0.05, "prepare is not part of it"
    assert timing.load >= 0.05
    assert len(timing.prepare) == 3
    assert min(timing.prepare) >= 0.03
    assert timing.calibration
    assert timing.environment["threads"] == 1
    assert timing.samples_from == "repeats"


def test_timing_of_a_broken_method_is_a_message(setup):
    store, add = setup
    unit = add("raise ValueError('no')")
    request = TimingRequest(
        "k", unit.method, unit.plugin, {}, unit.content, unit.style, size=32, repeats=5
    )
    local = executor(store)
    answer = local.time(request)
    local.close()
    assert answer == "ValueError: no"


def test_the_kernel_is_timed_only_for_units_that_may_be_samples(setup):
    store, add = setup
    quick = run(store, add("return content.pixels.clone()"))
    assert quick.calibration == ()
    slow = run(store, add("import time; time.sleep(0.6)\nreturn content.pixels.clone()"))
    assert len(slow.calibration) == KERNEL_RUNS
    assert min(slow.calibration) > 0


def test_an_observed_unit_counts_operations_and_has_the_same_output(setup):
    store, add = setup
    body = """
    on_step(Step(0, 1, {}))
    weights = torch.full((3, 3, 1, 1), 1 / 3)
    noise = torch.rand(content.pixels.shape, generator=generator)
    return torch.nn.functional.conv2d(0.5 * content.pixels + 0.5 * noise, weights)
    """
    unit = add(body)
    runner = Runner(store, "cpu", 1)
    plain = runner.run(unit, lambda step: None)
    observed = runner.run(unit, lambda step: None, observe=True)
    runner.close()
    assert observed.output_sha256 == plain.output_sha256
    assert (plain.observed, plain.flops, plain.peak_memory) == (False, None, None)
    assert observed.observed
    assert observed.flops == 2 * 3 * 3 * 40 * 48
    assert len(read_json(store.trace_path(unit.key))["steps"]) == 1


def test_a_call_that_cannot_be_counted_is_made_again(setup):
    store, add = setup
    body = """
    from torch.utils._python_dispatch import _get_current_dispatch_mode
    on_step(Step(0, 1, {}))
    if _get_current_dispatch_mode() is not None:
        raise RuntimeError("not under a counter")
    return content.pixels.clone()
    """
    unit = add(body)
    runner = Runner(store, "cpu", 1)
    record = runner.run(unit, lambda step: None, observe=True)
    runner.close()
    assert record.status == Status.DONE
    assert record.flops is None
    assert len(read_json(store.trace_path(unit.key))["steps"]) == 1


def test_a_divergence_of_an_observed_unit_is_not_tried_again(setup):
    store, add = setup
    log = store.root / "calls"
    unit = add(f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\nraise Diverged(3)")
    runner = Runner(store, "cpu", 1)
    record = runner.run(unit, lambda step: None, observe=True)
    runner.close()
    assert record.status == Status.FAILED
    assert log.read_text() == "x"
