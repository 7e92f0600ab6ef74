"""Restore global state after a plug-in, so that it does not affect the next one."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from nstbench.core.errors import lost_device


@contextlib.contextmanager
def isolated(threads: int | None = None) -> Iterator[None]:
    """Restore the state of the process at the end of a block.

    It covers the random generators of Python, NumPy and PyTorch (of GPUs in use, too);
    gradient, inference and deterministic modes, automatic casts, anomaly detection, default
    dtype and device, precision of matrix products, cuDNN's flags, threads; NumPy's handling
    of floating-point errors, warning filters, environment variables, working folder.

    Args:
        threads: number of threads in the block; unchanged if None.
    """
    restore = [*_generators(), *_modes(), *_process()]
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        # leaving this mode also ends an inner mode that a plug-in entered and did not leave
        with warnings.catch_warnings(), _same_inference_mode():
            yield
    finally:
        for undo in restore:
            undo()
        torch.set_num_threads(threads or before)


@contextlib.contextmanager
def _same_inference_mode() -> Iterator[None]:
    gradients = torch.is_grad_enabled()
    with torch.inference_mode(torch.is_inference_mode_enabled()):
        # entering the mode switched them
        torch.set_grad_enabled(gradients)
        yield


def _generators() -> Iterator[Callable[[], object]]:
    """Yield functions that restore the random generators."""
    python, numpy_state, torch_state = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
    )
    yield lambda: random.setstate(python)
    yield lambda: np.random.set_state(numpy_state)
    yield lambda: torch.set_rng_state(torch_state)
    # reading the state of an unused GPU would allocate some hundred MiB on it
    if torch.cuda.is_initialized():
        with _lost_device_ignored():
            states = torch.cuda.get_rng_state_all()
            yield lambda: _restore_gpu_generators(states)


def _restore_gpu_generators(states: list[torch.Tensor]) -> None:
    with _lost_device_ignored():
        torch.cuda.set_rng_state_all(states)


@contextlib.contextmanager
def _lost_device_ignored() -> Iterator[None]:
    """Suppress errors of a lost GPU: the process ends soon, and the cause is raised elsewhere."""
    try:
        yield
    except RuntimeError as error:
        if not lost_device(error):
            raise


def _modes() -> Iterator[Callable[[], object]]:
    """Yield functions that restore the modes of PyTorch."""
    gradients, dtype, device = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
    )
    deterministic = torch.get_deterministic_debug_mode()
    anomaly = torch.is_anomaly_enabled()
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)

    def restore_device() -> None:
        # setting the default, even to the same device, slows down every later new tensor
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)

    def restore_flags() -> None:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = flags

    # first: the other functions may make tensors on the default device
    yield restore_device
    yield lambda: torch.set_grad_enabled(gradients)
    yield lambda: torch.set_default_dtype(dtype)
    yield lambda: torch.set_deterministic_debug_mode(deterministic)
    yield lambda: torch.autograd.set_detect_anomaly(anomaly)
    yield lambda: torch.set_float32_matmul_precision(precision)
    yield restore_flags
    for kind in ("cpu", "cuda"):
        yield _restore_cast(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))


def _restore_cast(kind: str, enabled: bool, dtype: torch.dtype) -> Callable[[], object]:
    def undo() -> None:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)

    return undo


def _process() -> Iterator[Callable[[], object]]:
    """Yield functions that restore the rest of the process."""
    errors, environment, folder = np.geterr(), dict(os.environ), Path.cwd()

    def restore_environment() -> None:
        if environment != dict(os.environ):
            os.environ.clear()
            os.environ.update(environment)

    yield lambda: np.seterr(**errors)
    yield restore_environment
    yield lambda: os.chdir(folder)
