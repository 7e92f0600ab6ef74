"""Resolves devices, workers and threads of a configuration, and makes its executor."""

from __future__ import annotations

from typing import Literal

from nstbench.core.environment import available_cores, resolve_device
from nstbench.generate.executors.executor import Executor, WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.generate.executors.ray import RayExecutor, capacity
from nstbench.plan.config import RunConfig
from nstbench.store.leases import Claims
from nstbench.store.store import Store


def resolve_workers(config: RunConfig) -> RunConfig:
    """Return the configuration with devices, workers and threads resolved.

    ``device`` is the device on which this process scores, ``devices`` those of the workers.
    ``threads`` is the number of threads of timing, ``worker_threads`` that of each worker.

    Raises:
        UsageError: if a device does not exist, or the cluster cannot be reached.
    """
    cores = available_cores()
    wanted = config.devices or (config.device,)
    if config.executor == "ray":
        # The devices of this machine say nothing about the nodes; Ray counts GPUs itself.
        devices = tuple("cpu" if device == "auto" else device for device in wanted)
        each = config.worker_threads or config.threads or 1
        room, largest = capacity(config.ray_address, (config.workers or 1) * each, devices[0], each)
        resolved = {
            "device": resolve_device("auto"),
            "devices": devices,
            "workers": config.workers or room,
            "threads": config.threads or (largest if config.ray_address else cores),
            "worker_threads": each,
        }
    else:
        devices = tuple(resolve_device(device) for device in wanted)
        workers = config.workers or len(devices)
        resolved = {
            "device": devices[0],
            "devices": devices,
            "workers": workers,
            "threads": config.threads or cores,
            "worker_threads": config.worker_threads or config.threads or max(1, cores // workers),
        }
    return config.model_copy(update=resolved)


def pairs_per_batch(config: RunConfig, device: str) -> int | Literal["auto"]:
    """Return the number of pairs per batch on a device; ``auto`` is 1 on CPUs.

    One pair keeps a CPU as busy as a batch does.
    """
    given = config.pairs_per_batch
    return given if device.startswith("cuda") or given != "auto" else 1


def make_executor(config: RunConfig, store: Store, claims: Claims) -> Executor:
    """Return the executor of a resolved configuration; no worker is started yet."""
    slots = [
        WorkerSettings(
            store=store.root,
            device=config.devices[index % len(config.devices)],
            threads=config.worker_threads or 1,
            timeout=config.timeout,
            memory_limit=config.memory_limit,
            pairs_per_batch=pairs_per_batch(config, config.devices[index % len(config.devices)]),
            log=f"worker_{index}.log" if index else "worker.log",
        )
        for index in range(config.workers or 1)
    ]
    timing = WorkerSettings(
        store.root, config.devices[0], config.threads or 1, config.timeout, config.memory_limit
    )
    if config.executor == "ray":
        return RayExecutor(*slots, timing=timing, claims=claims, address=config.ray_address)
    return LocalExecutor(*slots, timing=timing, claims=claims)
