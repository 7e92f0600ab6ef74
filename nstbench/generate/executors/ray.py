"""The executor for clusters: worker processes under Ray actors, on any node with free CPUs.

An actor starts the same worker process as the local executor on its node, passes requests and
events on, and ends with the driver. Results go to the run folder, which all nodes must reach
under the same path; Ray transfers requests and records only.
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
    WorkerDiedError,
    WorkerMemoryError,
    WorkerSettings,
    WorkerTimeoutError,
)
from nstbench.generate.executors.local import LocalWorker
from nstbench.generate.executors.pool import PoolExecutor
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import Program
from nstbench.store.leases import Leases

_POLL_SECONDS = 0.5
_STEP_SECONDS = 0.5
_CLOSE_SECONDS = 10.0
_ENDS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (WorkerDiedError, WorkerTimeoutError, WorkerMemoryError, StoreError)
}


def connect(address: str | None, cpus: int = 0) -> Any:
    """Connect to a cluster and return the ``ray`` module; start a cluster here without address.

    Args:
        address: ``auto``, ``host:port`` or ``ray://host:port``, as for ``ray.init``; None to
            start a cluster on this machine.
        cpus: least number of CPUs that a cluster started here reports.

    Raises:
        UsageError: if Ray is not installed or the cluster does not answer.
    """
    try:
        # Imported by name, so that type checks do not depend on the extra being installed.
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise UsageError(
            "--executor ray needs the package ray: pip install 'nstbench[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    # Ray counts CPUs and does not bind them: more threads than cores only run slower.
    local_options = {"include_dashboard": False, "num_cpus": max(cpus, available_cores())}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="error",
            **({} if address else local_options),
        )
    # Ray raises plain Exception as well.
    except Exception as error:
        place = f"--ray-address {address}" if address else "--executor ray"
        raise UsageError(f"{place}: {error}") from None
    return ray


def capacity(address: str | None, cpus: int, device: str, threads: int) -> tuple[int, int]:
    """Return how many workers fit into the cluster, and the CPUs of its largest node.

    Args:
        address: address of the cluster; see :func:`connect`.
        cpus: see :func:`connect`.
        device: torch device of the workers; each takes a GPU on ``cuda``.
        threads: CPUs that each worker takes.
    """
    ray = connect(address, cpus)
    total = ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = [int(total.get("CPU", 1)) // threads]
    if device.startswith("cuda"):
        rooms.append(int(total.get("GPU", 0)))
    largest = max((int(node.get("CPU", 1)) for node in nodes), default=1)
    return max(1, min(rooms)), largest


class RayExecutor(PoolExecutor):
    """Runs units in worker processes on the nodes of a Ray cluster.

    Args:
        slots: settings of the worker of each slot; ``cuda`` is the GPU that Ray assigns.
        timing: settings of the worker that times; those of the first slot if None.
        leases: leases of this process in the run folder.
        address: address of the cluster; one is started here if None.
    """

    def __init__(
        self,
        *slots: WorkerSettings,
        timing: WorkerSettings | None = None,
        leases: Leases | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(*slots, timing=timing, leases=leases)
        cpus = max(sum(slot.threads for slot in slots), (timing or slots[0]).threads)
        self._ray = connect(address, cpus)

    def _start(self, settings: WorkerSettings, cancelled: Callable[[], bool]) -> RayWorker:
        worker = RayWorker(self._ray, settings)
        while not worker.is_ready(_POLL_SECONDS):
            if cancelled():
                worker.kill()
                raise WorkerDiedError("no units were left for it")
        return worker


class RayWorker:
    """A worker process on one of the nodes, reached through its actor."""

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
        self._node = "a node that is not known yet"

    def is_ready(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for the worker process; return True once it runs.

        Raises:
            StoreError: if its log cannot be written.
            WorkerDiedError: if it cannot run.
            WorkerTimeoutError: if it takes too long to become ready.
        """
        done, _ = self._ray.wait([self._answer], timeout=seconds)
        if done:
            with self._deaths():
                event = self._ray.get(self._answer)
            self._node = event["node"]
            self._raise_end(event)
        return bool(done)

    def ask(self, request: Event, on_event: Callable[[Event], None]) -> Event:
        """Send a request and return the event that ends it; see :class:`Worker`."""
        event: Event = {}
        with self._deaths():
            for reference in self._actor.ask.options(num_returns="streaming").remote(request):
                event = self._ray.get(reference)
                if event["event"] == "step":
                    on_event(event)
        if not event:
            raise WorkerDiedError(f"the worker on {self._node} gave no answer")
        self._raise_end(event)
        return event

    def close(self) -> None:
        """Stop the worker process, then the actor."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(self._actor.close.remote(), timeout=_CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill the actor; its worker process ends when its input is closed."""
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
            raise WorkerDiedError(f"the worker on {self._node} was lost: {reason}") from None


class Host:
    """The actor on a node, which owns one worker process there.

    Args:
        settings: settings of the worker.
        plugins: absolute paths of plug-in files to register.
        programs: programs to register as methods, as JSON data.
    """

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
        """Start the worker process; return an event with its node or with the error."""
        try:
            self._worker = LocalWorker(self._settings)
        except Exception as error:
            return _end_of(error) | {"node": self._name}
        return {"event": "started", "node": self._name}

    def ask(self, request: Event) -> Iterator[Event]:
        """Yield the events of a request; of the steps, one every half second at most."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        thread = threading.Thread(target=self._ask, args=(request, events), daemon=True)
        thread.start()
        last_step = 0.0
        while (event := events.get())["event"] == "step":
            if time.monotonic() - last_step >= _STEP_SECONDS:
                last_step = time.monotonic()
                yield event
        yield event

    def close(self) -> None:
        """Stop the worker process."""
        if self._worker is not None:
            self._worker.close()

    def _ask(self, request: Event, events: queue.SimpleQueue[Event]) -> None:
        try:
            if self._worker is None:
                raise WorkerDiedError("it was never started")
            events.put(self._worker.ask(request, events.put))
        except Exception as error:
            events.put(_end_of(error))


def _end_of(error: Exception) -> Event:
    """Return the end of a worker as an event of plain data, which Ray can always transfer."""
    how = type(error).__name__ if type(error).__name__ in _ENDS else "WorkerDiedError"
    return {"event": "ended", "how": how, "message": str(error)}
