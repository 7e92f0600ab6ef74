"""Units, and workers without a process, for tests of executors."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from unit_records import worker_answer

from nstbench.core.records import ImageRecord, Unit
from nstbench.generate.executors.executor import WorkerSettings
from nstbench.generate.executors.pool import PoolExecutor


def unit(name, variant="m", style="s"):
    return Unit(
        key=f"{variant}{name}".rjust(64, "0"), method=variant, plugin=variant, params={},
        content=ImageRecord(f"c{name}", Path("c.png"), sha256="c"),
        style=ImageRecord(style, Path("s.png"), sha256=style),
        size=32, fit="crop", seed=0, unit_seed=1, parts={"name": name},
    )  # fmt: skip


def units(**counts):
    return [unit(index, variant) for variant, count in counts.items() for index in range(count)]


def take(schedule, slot, count=1):
    """Take and finish some units; return the names of their variants and contents."""
    names = []
    for _ in range(count):
        task = schedule.next(slot)
        names.append(f"{task.unit.method}{task.unit.content.name[1:]}")
        schedule.done(task)
    return names


class FakeWorker:
    """Answers with the result of ``script(unit name, try)``: a status, or an exception to raise."""

    def __init__(self, pool):
        self.pool = pool

    def ask(self, request, on_event):
        if request["do"] == "time":
            return {"event": "error", "message": "no clock"}
        name = request["unit"]["parts"]["name"]
        with self.pool.lock:
            self.pool.attempts[name] += 1
            self.pool.requests.append((name, request["alone"], request["last"]))
            self.pool.busy += 1
            self.pool.most_busy = max(self.pool.most_busy, self.pool.busy)
        on_event({"event": "step", "index": 1, "total": 2})
        try:
            answer = self.pool.script(name, self.pool.attempts[name])
        finally:
            with self.pool.lock:
                self.pool.busy -= 1
        if isinstance(answer, Exception):
            raise answer
        if answer == "error":
            return {"event": "error", "message": "StoreError: full"}
        return {"event": "result", "record": worker_answer(request["unit"], answer, finished="now")}

    def close(self):
        self.pool.closed += 1

    kill = close


class FakePool(PoolExecutor):
    """Starts fake workers and counts their requests."""

    def __init__(self, root, slots, script, leases=None):
        settings = [WorkerSettings(root, "cpu", 1, 5.0) for _ in range(slots)]
        super().__init__(*settings, leases=leases)
        self.script = script
        self.lock = threading.Lock()
        self.attempts = Counter()
        self.requests = []
        self.busy = self.most_busy = self.closed = self.started = 0

    def _start(self, settings, cancelled):
        with self.lock:
            self.started += 1
        return FakeWorker(self)
