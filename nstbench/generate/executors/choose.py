"""Resolves devices, workers and threads of a configuration, and makes its executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nstbench.core.environment import available_cores, resolve_device
from nstbench.generate.executors.executor import Executor, WorkerSettings
from nstbench.generate.executors.local import LocalExecutor
from nstbench.generate.executors.ray import RayExecutor, capacity
from nstbench.generate.kernel_rate import Split, rates
from nstbench.plan.config import RunConfig
from nstbench.store.leases import Leases
from nstbench.store.store import Store

MOST_WORKERS = 8
"""Largest number of workers that is measured; each takes about a GiB."""

CLEARLY_FASTER = 1.5
"""More workers are chosen if they are faster by this factor.

One worker needs less memory, and its units are samples of speed: with several workers, slow methods
are called again for their timing.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Workers and the threads of each, chosen by a measurement.

    Attributes:
        workers: number of worker processes.
        threads: CPU threads of each.
        kernels_per_second: split, for example ``"2 x 1"`` -> runs of the calibration kernel per
            second of all its processes together.
    """

    workers: int
    threads: int
    kernels_per_second: Mapping[str, float]


def choose_workers(
    cores: int, measure: Callable[[Sequence[Split]], Mapping[Split, float]] = rates
) -> Choice:
    """Choose between one worker with all cores and several workers with a share of them.

    On a busy machine, threads of one worker wait for each other, and several workers with one
    thread each are faster.

    Args:
        cores: cores of this process.
        measure: returns the speed of each split.
    """
    counts = [2**power for power in range(MOST_WORKERS.bit_length()) if 2**power <= cores]
    splits = [(count, cores // count) for count in counts if count <= MOST_WORKERS]
    found = measure(splits) if len(splits) > 1 else {}
    best = splits[0]
    for split in splits[1:]:
        if found.get(split, 0.0) > CLEARLY_FASTER * found.get(best, 0.0) > 0:
            best = split
    return Choice(*best, {f"{count} x {threads}": rate for (count, threads), rate in found.items()})


def is_open(config: RunConfig) -> bool:
    """Return True if workers and threads of a configuration are free to be chosen here."""
    devices = config.devices or (config.device,)
    return (
        config.executor == "local"
        and config.workers is None
        and config.threads is None
        and len(devices) == 1
        and resolve_device(devices[0]) == "cpu"
    )


def earlier_choice(info: Mapping[str, Any]) -> Choice | None:
    """Return the choice that ``run.json`` records, or None.

    A run that goes on keeps it: with another number of threads, a method that optimises can
    take another path.
    """
    found = info.get("workers_choice")
    try:
        return Choice(**found) if isinstance(found, dict) else None
    except TypeError:
        return None


def resolve_workers(config: RunConfig) -> RunConfig:
    """Return the configuration with devices, workers and threads resolved.

    ``device`` is where this process scores, ``devices`` where workers run, ``threads`` the CPU
    threads of timing. :func:`threads_per_worker` has those of generation.

    Raises:
        UsageError: if a device does not exist, or the cluster cannot be reached.
    """
    cores = available_cores()
    wanted = config.devices or (config.device,)
    if config.executor == "ray":
        # The devices of this machine say nothing about the nodes; Ray counts GPUs itself.
        devices = tuple("cpu" if device == "auto" else device for device in wanted)
        each = threads_per_worker(config)
        room, largest = capacity(config.ray_address, (config.workers or 1) * each, devices[0], each)
        resolved = {
            "device": resolve_device("auto"),
            "devices": devices,
            "workers": config.workers or room,
            "threads": config.threads or (largest if config.ray_address else cores),
        }
    else:
        devices = tuple(resolve_device(device) for device in wanted)
        resolved = {
            "device": devices[0],
            "devices": devices,
            "workers": config.workers or len(devices),
            "threads": config.threads or cores,
        }
    return config.model_copy(update=resolved)


def threads_per_worker(config: RunConfig) -> int:
    """Return the CPU threads of each worker for a configuration that is not resolved yet.

    They are ``threads`` if given. Otherwise local workers share the cores of this process, and a
    worker of a Ray cluster takes one.

    Example:
        >>> threads_per_worker(RunConfig(threads=3, workers=2))
        3
    """
    if config.threads:
        return config.threads
    if config.executor == "ray":
        return 1
    return max(1, available_cores() // (config.workers or len(config.devices) or 1))


def pairs_per_batch(config: RunConfig, device: str) -> int | Literal["auto"]:
    """Return the number of pairs per batch on a device; ``auto`` is 1 on CPUs.

    One pair keeps a CPU as busy as a batch does.
    """
    given = config.pairs_per_batch
    return given if device.startswith("cuda") or given != "auto" else 1


def make_executor(config: RunConfig, store: Store, leases: Leases, threads: int) -> Executor:
    """Return the executor that a resolved configuration asks for; no worker is started yet.

    Args:
        config: a configuration from :func:`resolve_workers`.
        store: the run folder.
        leases: the leases of this process.
        threads: CPU threads of each worker.
    """
    slots = [
        WorkerSettings(
            store=store.root,
            device=config.devices[index % len(config.devices)],
            threads=threads,
            timeout=config.timeout,
            memory_limit=config.memory_limit,
            pairs_per_batch=pairs_per_batch(config, config.devices[index % len(config.devices)]),
            log=f"worker_{index}.log" if index else "worker.log",
        )
        for index in range(config.workers or 1)
    ]
    # equal settings let the worker of a single slot go on, instead of starting another
    timing = replace(slots[0], device=config.devices[0], threads=config.threads or 1)
    if config.executor == "ray":
        return RayExecutor(*slots, timing=timing, leases=leases, address=config.ray_address)
    return LocalExecutor(*slots, timing=timing, leases=leases)
