"""Speed as a plain number: latency divided by that of the calibration kernel beside it.

Wall-clock seconds measure the method, the machine and what else the machine does. The
machine goes with the division. What else it does goes with the subtraction of the time in
which a sample was ready to run and another program had the processor, where the system
tells it. That is exact for methods that compute on one thread; of several threads only the
first one's waiting is known. Sleeping and waiting for a disk are the method's own time.
"""

from __future__ import annotations

import numpy as np

from nstbench.analysis.stats import Floats
from nstbench.core.records import Timing


def own_seconds(seconds: tuple[float, ...], waits: tuple[float, ...]) -> Floats:
    """Return the seconds less what was waited for a processor, float64 (N,)."""
    found = np.asarray(seconds, dtype=np.float64)
    return np.maximum(found - np.asarray(waits), 1e-9) if len(waits) == len(seconds) else found


def relative_latency(timing: Timing) -> Floats:
    """Return each latency in units of the calibration kernel, float64 (N,).

    A sample that was measured in turns with the kernel is divided by the mean of the two
    kernels around it, another one by the median of all.

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
