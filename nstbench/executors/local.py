"""The default executor: one worker process, killed when it hangs, replaced when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nstbench import registry
from nstbench.errors import NstbenchError, StoreError
from nstbench.executors import OnStep
from nstbench.records import Status, Timing, Unit
from nstbench.runner import TimingRequest
from nstbench.store import Store

_START_SECONDS = 120.0
# Set for the interpreter of the worker, and for nothing that a method starts.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONSAFEPATH")


class WorkerDied(Exception):  # noqa: N818  an event, not a mistake of this program
    """The worker process ended without an answer."""


class WorkerTimeout(Exception):  # noqa: N818  an event, not a mistake of this program
    """The worker did not answer in time."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker process is started with; ``timeout`` is in seconds per request."""

    store: Path
    device: str
    threads: int
    timeout: float


class Worker:
    """A worker process and the two pipes to it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        log = settings.store / "logs" / "worker.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "OMP_NUM_THREADS": str(settings.threads),
            # a plug-in folder on the path could shadow a package of the same name
            "PYTHONSAFEPATH": "1",
        }
        environment = _with_package_path(environment)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nstbench.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                env=environment, start_new_session=True, text=True,
            )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        self._send(
            {
                "store": str(settings.store.resolve()),
                "device": settings.device,
                "threads": settings.threads,
                "plugins": [str(file) for file in registry.added_files()],
                "programs": [p.model_dump(mode="json") for p in registry.added_programs()],
                "environment": {name: os.environ.get(name) for name in _OWN_VARIABLES},
            }
        )
        self._wait(_START_SECONDS, lambda event: None)

    def ask(
        self, request: dict[str, Any], on_event: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Send a request and return the event that ends it; the events before go to ``on_event``.

        Raises:
            WorkerTimeout: if no answer came in time; the process group is killed.
            WorkerDied: if the process ended.
        """
        self._send(request)
        return self._wait(self._settings.timeout, on_event)

    def close(self) -> None:
        """Stop the process and everything it started."""
        with contextlib.suppress(OSError, ValueError):
            self._send({"do": "stop"})
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self.kill()

    def kill(self) -> None:
        """Kill the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._process.stdin is None:
            raise WorkerDied("it was started without an input pipe")
        try:
            self._process.stdin.write(json.dumps(message, default=str) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerDied(self._epitaph()) from None

    def _read(self) -> None:
        if self._process.stdout is not None:
            with contextlib.suppress(ValueError, OSError):
                for line in self._process.stdout:
                    self._events.put(json.loads(line))
        self._events.put(None)

    def _wait(self, seconds: float, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise WorkerTimeout(
                    f"no answer within {seconds:g} s; the worker was killed"
                ) from None
            if event is None:
                raise WorkerDied(self._epitaph())
            if event["event"] in ("ready", "result", "timing", "error"):
                return event
            on_event(event)

    def _epitaph(self) -> str:
        code = self._process.wait()
        log = self._settings.store / "logs" / "worker.log"
        if code < 0:
            name = signal.Signals(-code).name
            return f"the worker process was killed by {name} (see {log})"
        return f"the worker process ended with exit code {code} (see {log})"


class LocalExecutor:
    """Runs everything in one worker process on one device."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._store = Store(settings.store)
        self._worker: Worker | None = None

    def run(self, units: Sequence[Unit], on_step: OnStep) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """Run units in order and yield each with its record."""
        adapter = TypeAdapter(Unit)
        for unit in units:
            request = {"do": "unit", "unit": adapter.dump_python(unit, mode="json")}
            record = self._run_one(unit, request, on_step)
            yield unit, record

    def time(self, request: TimingRequest) -> Timing | str:
        """Time one method; a failure is its message."""
        timing = TypeAdapter(TimingRequest).dump_python(request, mode="json")
        try:
            event = self._get_worker().ask({"do": "time", "timing": timing}, lambda event: None)
        except (WorkerDied, WorkerTimeout) as error:
            self._worker = None
            return str(error)
        if event["event"] == "error":
            return str(event["message"])
        return TypeAdapter(Timing).validate_python(event["timing"])

    def close(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _run_one(self, unit: Unit, request: dict[str, Any], on_step: OnStep) -> dict[str, Any]:
        started = _now()
        try:
            event = self._get_worker().ask(
                request, lambda event: on_step(unit, event["index"], event["total"])
            )
        except WorkerTimeout as error:
            return self._obituary(unit, Status.TIMEOUT, str(error), started)
        except WorkerDied as error:
            return self._obituary(unit, Status.FAILED, str(error), started)
        if event["event"] == "error":
            raise StoreError(str(event["message"]))
        record: dict[str, Any] = event["record"]
        return record

    def _get_worker(self) -> Worker:
        if self._worker is None:
            try:
                self._worker = Worker(self._settings)
            except (WorkerDied, WorkerTimeout) as error:
                raise NstbenchError(f"No worker process can be started: {error}") from None
        return self._worker

    def _obituary(self, unit: Unit, status: Status, message: str, started: str) -> dict[str, Any]:
        """Record the end of a unit whose worker cannot do it itself any more."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
        record = {
            "variant": unit.variant, "method": unit.method, "content": unit.content.name,
            "style": unit.style.name, "size": unit.size, "seed": unit.seed,
            "parts": dict(unit.parts), "status": status, "message": message, "traceback": "",
            "started": started, "finished": _now(),
        }  # fmt: skip
        self._store.write_record(unit.method, unit.key, record)
        return record


def _with_package_path(environment: dict[str, str]) -> dict[str, str]:
    """Let the worker find this nstbench even in a checkout that is not installed."""
    package_parent = str(Path(registry.__file__).parent.parent)
    inherited = environment.get("PYTHONPATH", "")
    joined = f"{package_parent}{os.pathsep}{inherited}" if inherited else package_parent
    return environment | {"PYTHONPATH": joined}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
