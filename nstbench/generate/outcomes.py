"""What came of a unit: is it a picture, and if not, what kind of failure."""

from __future__ import annotations

import errno
from typing import Any

import pandas as pd
import torch

from nstbench.contracts import OutOfTime
from nstbench.core.errors import ImageError, StoreError, WeightsError, ran_out_of_memory
from nstbench.core.records import Status
from nstbench.plugins.registry import PluginError

# Values this far outside [0, 1] are rounding; anything farther is the method's mistake.
_RANGE_SLACK = 1e-3


class BadOutput(Exception):  # noqa: N818  it is the method's error, not this program's
    """What a method returned is not a picture of the contract."""


def check_output(output: Any, content: torch.Tensor) -> None:
    """Check what a method returned against the contract.

    Raises:
        BadOutput: if it is not a finite float32 tensor of the content's shape and
            device with values in [0, 1].
    """
    if not isinstance(output, torch.Tensor):
        raise BadOutput(f"stylize returned {type(output).__name__} instead of a tensor")
    if output.shape != content.shape:
        raise BadOutput(
            f"stylize returned shape {tuple(output.shape)} for a content of {tuple(content.shape)}"
        )
    if output.dtype != torch.float32:
        raise BadOutput(f"stylize returned {output.dtype} instead of torch.float32")
    if output.device != content.device:
        raise BadOutput(f"stylize returned a tensor on {output.device}, not on {content.device}")
    if not bool(torch.isfinite(output).all()):
        bad = int((~torch.isfinite(output)).sum())
        raise BadOutput(f"stylize returned {bad} values that are NaN or infinite")
    low, high = float(output.min()), float(output.max())
    if low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK:
        raise BadOutput(f"stylize returned values from {low:.3g} to {high:.3g}, outside [0, 1]")


def status_of(error: BaseException) -> Status:
    """Return what a unit that ended with an error has come to."""
    if ran_out_of_memory(error):
        return Status.OOM
    if isinstance(error, OutOfTime):
        return Status.TIMEOUT
    if isinstance(error, WeightsError | PluginError | ImageError):
        return Status.UNAVAILABLE
    return Status.FAILED


def without_output(units: pd.DataFrame) -> list[str]:
    """Return the variants of which a run has nothing to show, in their order.

    Those that could not run here do not count, unless there is no output of any other either.

    Args:
        units: columns ``method`` and ``status``, a row per unit.
    """
    done = units["status"] == Status.DONE
    hindered = units["status"].isin([Status.UNAVAILABLE, Status.SKIPPED])
    names = units["method"]
    empty = ~done.groupby(names, sort=False).any()
    if done.any():
        empty &= ~hindered.groupby(names, sort=False).all()
    return [str(name) for name in empty.index[empty]]


def refuse_full_disk(variant: str, error: BaseException) -> None:
    """Raise an error of the store if a unit ended with that of a full disk.

    It is no method's fault, and so no outcome of the unit, which is to run again later.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoreError(
            f"there is no space left on the disk ({error}), while {variant} ran. "
            "Free some, then run the same command again."
        ) from error
