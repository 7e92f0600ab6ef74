"""Machine, device and versions of a run, as plain data."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import nstbench
from nstbench.core.errors import UsageError

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "torchmetrics", "pillow",
             "scikit-image")  # fmt: skip

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def check_device(device: str) -> None:
    """Check how a device is written; do not check that it exists.

    Raises:
        ValueError: unless it is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError("must be auto, cpu, cuda or cuda:N")


def resolve_device(device: str) -> str:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: if it is written otherwise, or if this machine has no such CUDA device.
    """
    try:
        check_device(device)
    except ValueError as error:
        raise UsageError(f"--device {device}: {error}.") from None
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise UsageError(
                f"--device {device}: torch {torch.__version__} sees "
                f"{torch.cuda.device_count()} CUDA devices here. Use --device cpu, or install a "
                "CUDA build of torch."
            )
        return f"cuda:{index}"
    return device


def available_cores() -> int:
    """Return the number of cores that this process may use.

    It is limited by the affinity of the process, which a batch system or ``taskset`` sets,
    and by the quota of its control group (Linux, version 2), which a container sets.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    # without a quota the file is missing or says "max"
    except (OSError, ValueError):
        pass
    return max(1, cores)


def describe_environment(device: str, threads: int | None = None) -> dict[str, Any]:
    """Return machine, device, versions and thread count as plain data."""
    import psutil
    import torch

    return {
        "nstbench": nstbench.__version__,
        "git": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "simd": simd(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": threads or torch.get_num_threads(),
        "device": device,
        "device_name": device_name(device),
        "driver": cuda_driver() if device.startswith("cuda") else "",
        "packages": package_versions(),
    }


def simd() -> str:
    """Return the widest vector instructions that torch uses here, for example ``"AVX2"``.

    ``ATEN_CPU_CAPABILITY`` can narrow them, and they decide about speed and rounding.
    """
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def device_name(device: str) -> str:
    """Return the product name of a torch device."""
    if not device.startswith("cuda"):
        return cpu_name()
    import torch

    return str(torch.cuda.get_device_name(device))


@cache
def cpu_name() -> str:
    """Return the product name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cuda_driver() -> str:
    """Return the version of the NVIDIA driver, or an empty string."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.splitlines()[0].strip()


@cache
def git_commit() -> str:
    """Return the commit of the checkout of this package, with ``+`` if files are changed."""
    root = Path(nstbench.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    return answer.stdout.strip()


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that results depend on."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = ""
    return versions


def utc_now(precision: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """Return the present time in UTC as ISO 8601 text, for example 2026-01-31T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec=precision)
