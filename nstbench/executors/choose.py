"""From a configuration to its executor."""

from __future__ import annotations

import os

from nstbench.claims import Claims
from nstbench.config import RunConfig
from nstbench.executors import Executor, WorkerSettings
from nstbench.store import Store


def make_executor(config: RunConfig, store: Store, threads: int | None, claims: Claims) -> Executor:
    """Return the executor that a configuration asks for; nothing is started yet.

    Args:
        config: with devices, workers and the threads of timing resolved.
        store: run folder.
        threads: threads of each worker; if None, workers share the cores of this machine.
        claims: claims of this process in the run folder.
    """
    workers = config.workers or 1
    each = threads or max(1, (os.cpu_count() or 1) // workers)
    slots = [
        WorkerSettings(
            store=store.root,
            device=config.devices[index % len(config.devices)],
            threads=each,
            timeout=config.timeout,
            memory_limit=config.memory_limit,
            log=f"worker_{index}.log" if index else "worker.log",
        )
        for index in range(workers)
    ]
    timing = WorkerSettings(
        store.root, config.device, config.threads or each, config.timeout, config.memory_limit
    )
    from nstbench.executors.local import LocalExecutor

    return LocalExecutor(*slots, timing=timing, claims=claims)
