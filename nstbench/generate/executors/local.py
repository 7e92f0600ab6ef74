"""The default executor: worker processes on this machine."""

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

import nstbench
from nstbench.core.glibc_malloc import with_large_pages
from nstbench.core.yaml_values import readable_size
from nstbench.generate.executors.executor import (
    Event,
    WorkerDiedError,
    WorkerMemoryError,
    WorkerSettings,
    WorkerTimeoutError,
)
from nstbench.generate.executors.pool import PoolExecutor
from nstbench.generate.executors.resident_memory import ResidentMemory
from nstbench.plugins import registry
from nstbench.store.atomic_files import unwritable

_START_SECONDS = 120.0
# Set for the interpreter of the worker and undone there, so that a method's processes lack them.
_WORKER_VARIABLES = (
    "PYTHONPATH", "PYTHONSAFEPATH", "GLIBC_TUNABLES", "OMP_WAIT_POLICY", "KMP_BLOCKTIME",
)  # fmt: skip
# Threads that wait for others sleep instead of spinning, so that they take no core from the thread
# they wait for. It matters on a busy machine. A user's own values have priority.
_IDLE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
_MEMORY_CHECK_SECONDS = 0.2
_STOP_SECONDS = 2.0

END_SECONDS = 5.0
"""Seconds that a worker has to end after it closed its channel."""


class LocalWorker:
    """A worker process and the two pipes to it.

    The constructor waits until the worker is ready.

    Args:
        settings: settings of the worker.

    Raises:
        StoreError: if its log cannot be written.
        WorkerMemoryError: if it exceeds its memory limit before the first request.
        WorkerDiedError: if it ends before it is ready.
        WorkerTimeoutError: if it takes too long to become ready.
    """

    # Checked only once the worker is ready, so that the message can name what it takes by then.
    _memory_limit: int | None = None

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._log = settings.store / "logs" / settings.log
        environment = _IDLE_THREADS | os.environ
        environment |= {
            "OMP_NUM_THREADS": str(settings.threads),
            # A plug-in folder on the path could shadow a package of the same name.
            "PYTHONSAFEPATH": "1",
        }
        environment = with_large_pages(_with_package_path(environment))
        with _open_log(self._log) as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nstbench.generate.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
                env=environment, start_new_session=True, text=True,
            )  # fmt: skip
        self._memory = ResidentMemory(self._process.pid)
        threading.Thread(target=self._read, daemon=True).start()
        start = {
            "store": str(settings.store.resolve()),
            "device": settings.device,
            "threads": settings.threads,
            "plugins": [str(file) for file in registry.added_files()],
            "programs": [p.model_dump(mode="json") for p in registry.added_programs()],
            "environment": {name: os.environ.get(name) for name in _WORKER_VARIABLES},
        }
        try:
            self._send(start)
            self._wait(_START_SECONDS, lambda event: None)
            self._check_limit_at_start(settings.memory_limit)
            self._memory_limit = settings.memory_limit
        except BaseException:
            # The caller has no worker to close yet.
            self.kill()
            raise

    def ask(self, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request and return the event that ends it; earlier events go to ``on_event``.

        A batch may take as long as its units one by one.

        Raises:
            WorkerTimeoutError: if no answer came in time; the process group has been killed.
            WorkerMemoryError: if the memory limit was exceeded; the process group has been
                killed.
            WorkerDiedError: if the process ended.
        """
        self._send(request)
        return self._wait(time_limit(request, self._settings.timeout), on_event)

    def close(self) -> None:
        """Stop the process and everything it started."""
        with contextlib.suppress(WorkerDiedError):
            self._send({"do": "stop"})
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_STOP_SECONDS)
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
            raise WorkerDiedError("it was started without an input pipe")
        try:
            self._process.stdin.write(json.dumps(message, default=str) + "\n")
            self._process.stdin.flush()
        # ValueError: another thread has killed the process and closed the pipe.
        except (OSError, ValueError):
            raise WorkerDiedError(self._end_message()) from None

    def _read(self) -> None:
        if self._process.stdout is not None:
            with contextlib.suppress(ValueError, OSError):
                for line in self._process.stdout:
                    self._events.put(json.loads(line))
        self._events.put(None)

    def _wait(self, seconds: float, on_event: Callable[[Event], None]) -> Event:
        deadline, next_check = time.monotonic() + seconds, 0.0
        while True:
            now = time.monotonic()
            if now >= deadline:
                self.kill()
                raise WorkerTimeoutError(f"no answer within {seconds:g} s; the worker was killed")
            if now >= next_check:
                self._check_memory()
                next_check = now + _MEMORY_CHECK_SECONDS
            limited = self._memory_limit is not None
            try:
                event = self._events.get(timeout=(next_check if limited else deadline) - now)
            except queue.Empty:
                continue
            if event is None:
                raise WorkerDiedError(self._end_message())
            if event["event"] in ("ready", "result", "timing", "error"):
                return event
            on_event(event)

    def _check_limit_at_start(self, limit: int | None) -> None:
        if limit is not None and (used := self._memory.read()) > limit:
            raise WorkerMemoryError(
                f"a worker takes {readable_size(used)} before its first unit, more than the "
                f"limit of {readable_size(limit)}; add the memory that the methods need, for "
                "example 4GiB"
            )

    def _check_memory(self) -> None:
        limit = self._memory_limit
        if limit is None:
            return
        used = self._memory.read()
        if used > limit:
            self.kill()
            raise WorkerMemoryError(
                f"it took {readable_size(used)} of memory, more than the limit of "
                f"{readable_size(limit)}; the worker was killed"
            )

    def _end_message(self) -> str:
        """Return how the process ended, with the place of its log."""
        try:
            code = self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"the worker process stopped answering and was killed (see {self._log})"
        if code < 0:
            name = signal.Signals(-code).name
            return f"the worker process was killed by {name} (see {self._log})"
        return f"the worker process ended with exit code {code} (see {self._log})"


class LocalExecutor(PoolExecutor):
    """Runs units in worker processes on this machine, one per slot."""

    def _start(self, settings: WorkerSettings, cancelled: Callable[[], bool]) -> LocalWorker:
        return LocalWorker(settings)

    def goes_on(self) -> bool:
        """Return True if units run during :meth:`paused`: they have a GPU of their own."""
        return not self._shares_cores()

    def _shares_cores(self) -> bool:
        return all(settings.device == "cpu" for settings in self.workers.settings.values())


def time_limit(request: Event, timeout: float) -> float:
    """Return the seconds that a request may take: ``timeout`` for each of its units.

    Example:
        >>> time_limit({"do": "unit", "unit": {}}, 7.0)
        7.0
        >>> time_limit({"do": "batch", "units": [{}] * 5}, 7.0)
        35.0
    """
    return timeout * len(request.get("units", [""]))


def _open_log(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error


def _with_package_path(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a worker imports this nstbench, even from a checkout."""
    package_parent = str(Path(nstbench.__file__).parent.parent)
    inherited = environment.get("PYTHONPATH", "")
    joined = f"{package_parent}{os.pathsep}{inherited}" if inherited else package_parent
    return environment | {"PYTHONPATH": joined}
