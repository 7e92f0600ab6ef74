"""Keep what a plug-in does to global state from reaching the next one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def isolated(threads: int | None = None) -> Iterator[None]:
    """Restore random generators, gradient mode, threads, dtype and cudnn flags afterwards.

    Args:
        threads: thread count to begin with; unchanged if None.
    """
    python, numpy_state, torch_state = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
    )
    gradients, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    cudnn = torch.backends.cudnn
    flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
    deterministic = torch.are_deterministic_algorithms_enabled()
    anomaly = torch.is_anomaly_enabled()
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = flags
        torch.use_deterministic_algorithms(deterministic)
        torch.autograd.set_detect_anomaly(anomaly)
        torch.set_num_threads(threads or before)
