"""The default executor: worker processes here, killed when they hang, replaced when they die."""

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
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import psutil

import nstbench
from nstbench.core.glibc_malloc import with_large_pages
from nstbench.core.yaml_values import readable_size
from nstbench.generate.executors.executor import (
    WorkerDied,
    WorkerOutOfMemory,
    WorkerSettings,
    WorkerTimeout,
)
from nstbench.generate.executors.pool import PoolExecutor
from nstbench.plugins import registry
from nstbench.store.atomic_files import unwritable

_START_SECONDS = 120.0
# Set for the interpreter of the worker, and for nothing that a method starts.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONSAFEPATH", "GLIBC_TUNABLES")
_MEMORY_LOOK_SECONDS = 0.2
# What a worker may take to end after it closed its channel.
_END_SECONDS = 5.0


class LocalWorker:
    """A worker process and the two pipes to it.

    Raises:
        StoreError: if its log cannot be written.
        WorkerOutOfMemory: if it takes more than it may before it does anything.
        WorkerDied: if it ends before it is ready.
        WorkerTimeout: if it takes too long to become ready.
    """

    # None until it is ready: what it takes by then is better told than guessed
    _memory_limit: int | None = None

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._log = settings.store / "logs" / settings.log
        environment = os.environ | {
            "OMP_NUM_THREADS": str(settings.threads),
            # a plug-in folder on the path could shadow a package of the same name
            "PYTHONSAFEPATH": "1",
        }
        environment = with_large_pages(_with_package_path(environment))
        with _open_log(self._log) as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nstbench.generate.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                env=environment, start_new_session=True, text=True,
            )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        start = {
            "store": str(settings.store.resolve()),
            "device": settings.device,
            "threads": settings.threads,
            "plugins": [str(file) for file in registry.added_files()],
            "programs": [p.model_dump(mode="json") for p in registry.added_programs()],
            "environment": {name: os.environ.get(name) for name in _OWN_VARIABLES},
        }
        try:
            self._send(start)
            self._wait(_START_SECONDS, lambda event: None)
            self._refuse_too_low_a_limit(settings.memory_limit)
            self._memory_limit = settings.memory_limit
        except BaseException:
            # nobody else knows of it yet
            self.kill()
            raise

    def ask(
        self, request: dict[str, Any], on_event: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Send a request and return the event that ends it; the events before go to ``on_event``.

        Raises:
            WorkerTimeout: if no answer came in time; the process group is killed.
            WorkerOutOfMemory: if the process group took too much memory; it is killed.
            WorkerDied: if the process ended.
        """
        self._send(request)
        seconds = self._settings.timeout * len(request.get("units", [""]))
        return self._wait(seconds, on_event)

    def close(self) -> None:
        """Stop the process and everything it started."""
        with contextlib.suppress(WorkerDied):
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
        # ValueError: another thread has killed it, and closed the pipe
        except (OSError, ValueError):
            raise WorkerDied(self._epitaph()) from None

    def _read(self) -> None:
        if self._process.stdout is not None:
            with contextlib.suppress(ValueError, OSError):
                for line in self._process.stdout:
                    self._events.put(json.loads(line))
        self._events.put(None)

    def _wait(self, seconds: float, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        deadline, look = time.monotonic() + seconds, 0.0
        while True:
            now = time.monotonic()
            if now >= deadline:
                self.kill()
                raise WorkerTimeout(f"no answer within {seconds:g} s; the worker was killed")
            if now >= look:
                self._check_memory()
                look = now + _MEMORY_LOOK_SECONDS
            limited = self._memory_limit is not None
            try:
                event = self._events.get(timeout=(look if limited else deadline) - now)
            except queue.Empty:
                continue
            if event is None:
                raise WorkerDied(self._epitaph())
            if event["event"] in ("ready", "result", "timing", "error"):
                return event
            on_event(event)

    def _refuse_too_low_a_limit(self, limit: int | None) -> None:
        if limit is not None and (used := _resident_bytes(self._process.pid)) > limit:
            raise WorkerOutOfMemory(
                f"a worker takes {readable_size(used)} before it does anything, more than the "
                f"limit of {readable_size(limit)}; allow that and what the methods need, for "
                "example 4GiB"
            )

    def _check_memory(self) -> None:
        limit = self._memory_limit
        if limit is None:
            return
        used = _resident_bytes(self._process.pid)
        if used > limit:
            self.kill()
            raise WorkerOutOfMemory(
                f"it took {readable_size(used)} of memory, more than the limit of "
                f"{readable_size(limit)}; the worker was killed"
            )

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"the worker process stopped answering and was killed (see {self._log})"
        if code < 0:
            name = signal.Signals(-code).name
            return f"the worker process was killed by {name} (see {self._log})"
        return f"the worker process ended with exit code {code} (see {self._log})"


class LocalExecutor(PoolExecutor):
    """Runs everything in worker processes on this machine, one per slot."""

    def _start(self, settings: WorkerSettings, needless: Callable[[], bool]) -> LocalWorker:
        return LocalWorker(settings)


def _open_log(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error


def _resident_bytes(worker: int) -> int:
    """Return the resident memory of a worker, its process group and all that it started.

    Programs run in sessions of their own, and what lost its parent only shares the group.
    Shared pages count once per process.
    """
    members = {worker}
    with contextlib.suppress(psutil.Error):
        members |= {child.pid for child in psutil.Process(worker).children(recursive=True)}
    for process in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getpgid(process) == worker:
                members.add(process)
    total = 0
    for process in members:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(process).memory_info().rss
    return total


def _with_package_path(environment: dict[str, str]) -> dict[str, str]:
    """Let the worker find this nstbench even in a checkout that is not installed."""
    package_parent = str(Path(nstbench.__file__).parent.parent)
    inherited = environment.get("PYTHONPATH", "")
    joined = f"{package_parent}{os.pathsep}{inherited}" if inherited else package_parent
    return environment | {"PYTHONPATH": joined}
