"""The executor for clusters: worker processes under Ray actors, on whatever node has room.

An actor is a thin host: it starts the same worker process as the local executor on its node,
passes requests and events on, and dies with the driver. Results go to the run folder, which
all nodes must reach under the same path; nothing but requests and records travels by Ray.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nstbench.core.environment import available_cores
from nstbench.core.errors import StoreError, UsageError
from nstbench.generate.executors.executor import (
    Event,
    WorkerDied,
    WorkerOutOfMemory,
    WorkerSettings,
    WorkerTimeout,
)
from nstbench.generate.executors.local import LocalWorker
from nstbench.generate.executors.pool import PoolExecutor
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import Program
from nstbench.store.leases import Claims

_LOOK_SECONDS = 0.5
_STEP_SECONDS = 0.5
_CLOSE_SECONDS = 10.0
_ENDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (WorkerDied, WorkerTimeout, WorkerOutOfMemory, StoreError)
}


def connect(address: str | None, cpus: int = 0) -> Any:
    """Return the ``ray`` module, connected to a cluster, or to one started here without address.

    Args:
        address: ``auto``, ``host:port`` or ``ray://host:port``; as ``ray.init`` takes it.
        cpus: CPUs that a cluster started here should say it has, if that is more than it has.

    Raises:
        UsageError: if Ray is not installed or the cluster does not answer.
    """
    try:
        # by name, so that types do not depend on whether the extra is installed
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise UsageError(
            "--executor ray needs the package ray: pip install 'nstbench[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    # Ray counts CPUs, it does not bind them: threads beyond the cores only get slower
    own = {"include_dashboard": False, "num_cpus": max(cpus, available_cores())}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="error",
            **({} if address else own),
        )
    # Ray raises plain Exception, too
    except Exception as error:
        place = f"--ray-address {address}" if address else "--executor ray"
        raise UsageError(f"{place}: {error}") from None
    return ray


def capacity(address: str | None, cpus: int, device: str, threads: int) -> tuple[int, int]:
    """Return how many workers the cluster has room for, and the CPUs of its largest node."""
    ray = connect(address, cpus)
    total = ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = [int(total.get("CPU", 1)) // threads]
    if device.startswith("cuda"):
        rooms.append(int(total.get("GPU", 0)))
    largest = max((int(node.get("CPU", 1)) for node in nodes), default=1)
    return max(1, min(rooms)), largest


class RayExecutor(PoolExecutor):
    """Runs everything in worker processes on the nodes of a Ray cluster.

    Args:
        slots: what the worker of each slot is started with; ``cuda`` is the GPU that Ray gives.
        timing: the same for the worker that times.
        claims: claims of this process in the run folder.
        address: the cluster; one is started here if None.
    """

    def __init__(
        self,
        *slots: WorkerSettings,
        timing: WorkerSettings | None = None,
        claims: Claims | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(*slots, timing=timing, claims=claims)
        cpus = max(sum(slot.threads for slot in slots), (timing or slots[0]).threads)
        self._ray = connect(address, cpus)

    def _start(self, settings: WorkerSettings, needless: Callable[[], bool]) -> RayWorker:
        worker = RayWorker(self._ray, settings)
        while not worker.is_ready(_LOOK_SECONDS):
            if needless():
                worker.kill()
                raise WorkerDied("there was nothing to do for it any more")
        return worker


class RayWorker:
    """A worker process on some node, behind its actor."""

    def __init__(self, ray: Any, settings: WorkerSettings) -> None:
        self._ray = ray
        gpus = 1 if settings.device.startswith("cuda") else 0
        host = ray.remote(num_cpus=settings.threads, num_gpus=gpus, max_restarts=0)(Host)
        self._actor = host.remote(
            replace(settings, store=settings.store.resolve()),
            [str(file.resolve()) for file in registry.added_files()],
            [program.model_dump(mode="json") for program in registry.added_programs()],
        )
        self._answer = self._actor.start.remote()
        self._node = "a node that had no room yet"

    def is_ready(self, seconds: float) -> bool:
        """Wait until the worker process runs; return False if it does not so soon.

        Raises:
            StoreError: if its log cannot be written.
            WorkerDied: if it will never run.
            WorkerTimeout: if it takes too long to become ready.
        """
        done, _ = self._ray.wait([self._answer], timeout=seconds)
        if done:
            with self._deaths():
                event = self._ray.get(self._answer)
            self._node = event["node"]
            self._raise_end(event)
        return bool(done)

    def ask(self, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request and return the event that ends it; see the protocol."""
        event: Event = {}
        with self._deaths():
            for reference in self._actor.ask.options(num_returns="streaming").remote(request):
                event = self._ray.get(reference)
                if event["event"] == "step":
                    on_event(event)
        if not event:
            raise WorkerDied(f"the worker on {self._node} gave no answer")
        self._raise_end(event)
        return event

    def close(self) -> None:
        """Stop the worker process, then the actor."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._actor.close.remote(), timeout=_CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the actor; its worker process ends because nobody speaks to it any more."""
        self._ray.kill(self._actor, no_restart=True)

    def _raise_end(self, event: Event) -> None:
        if event["event"] == "ended":
            self.kill()
            raise _ENDS[event["how"]](f"{event['message']} (on {self._node})")

    @contextlib.contextmanager
    def _deaths(self) -> Iterator[None]:
        try:
            yield
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise WorkerDied(f"the worker on {self._node} was lost: {reason}") from None


class Host:
    """The actor: owns a worker process on its node."""

    def __init__(
        self, settings: WorkerSettings, plugins: list[str], programs: list[dict[str, Any]]
    ) -> None:
        for file in plugins:
            registry.add_file(Path(file))
        for program in programs:
            registry.add_program(Program.model_validate(program))
        self._name = socket.gethostname()
        device = "cuda:0" if settings.device.startswith("cuda") else settings.device
        log = f"ray_{self._name}_{os.getpid()}.log"
        self._settings = replace(settings, device=device, log=log)
        self._worker: LocalWorker | None = None

    def start(self) -> Event:
        """Start the worker process and say on which node it is, or why it is not."""
        try:
            self._worker = LocalWorker(self._settings)
        except Exception as error:
            return _end_of(error) | {"node": self._name}
        return {"event": "started", "node": self._name}

    def ask(self, request: Event) -> Iterator[Event]:
        """Yield the events of a request, steps not more often than anyone can read."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        thread = threading.Thread(target=self._ask, args=(request, events), daemon=True)
        thread.start()
        shown = 0.0
        while (event := events.get())["event"] == "step":
            if time.monotonic() - shown >= _STEP_SECONDS:
                shown = time.monotonic()
                yield event
        yield event

    def close(self) -> None:
        """Stop the worker process."""
        if self._worker is not None:
            self._worker.close()

    def _ask(self, request: Event, events: queue.SimpleQueue[Event]) -> None:
        try:
            if self._worker is None:
                raise WorkerDied("it was never started")
            events.put(self._worker.ask(request, events.put))
        except Exception as error:
            events.put(_end_of(error))


def _end_of(error: Exception) -> Event:
    """Return an end as plain data, so that nothing but data travels."""
    how = type(error).__name__ if type(error).__name__ in _ENDS else "WorkerDied"
    return {"event": "ended", "how": how, "message": str(error)}
