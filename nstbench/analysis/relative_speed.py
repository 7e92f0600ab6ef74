"""Speed without a unit: latency divided by the latency of the calibration kernel.

Wall-clock seconds depend on the method, on the machine and on other programs. The division
removes the machine. Other programs are removed by subtracting the time in which a sample was
ready to run and another program had the processor, where the system counts that time. The
subtraction is exact for methods that compute on one thread; of several threads, only the
waiting of the first one is known. Sleeping and waiting for a disk count as time of the method.
"""

from __future__ import annotations

import numpy as np

from nstbench.analysis.stats import Floats
from nstbench.core.records import Timing


def own_seconds(seconds: tuple[float, ...], waits: tuple[float, ...]) -> Floats:
    """Return wall-clock seconds minus the waits for a processor, float64 (N,).

    Args:
        seconds: wall-clock seconds of each sample.
        waits: seconds that each sample waited; ignored unless there is one per sample.

    Example:
        >>> own_seconds((1.0, 2.0), (0.25, 0.5))
        array([0.75, 1.5 ])
    """
    clock = np.asarray(seconds, dtype=np.float64)
    return np.maximum(clock - np.asarray(waits), 1e-9) if len(waits) == len(seconds) else clock


def relative_latency(timing: Timing) -> Floats:
    """Return each latency in units of the calibration kernel, float64 (N,).

    A sample that was measured in turns with the kernel is divided by the mean of the kernel
    before and the kernel after it. Other samples are divided by the median of all kernels.

    Returns:
        One value per latency; empty if there is no latency or no calibration.
    """
    latency = own_seconds(timing.latency, timing.latency_waits)
    kernel = own_seconds(timing.calibration, timing.calibration_waits)
    if not len(latency) or not len(kernel):
        return np.empty(0)
    if timing.samples_from == "repeats" and len(kernel) == len(latency) + 1:
        return np.asarray(latency / ((kernel[1:] + kernel[:-1]) / 2))
    return np.asarray(latency / np.median(kernel))
