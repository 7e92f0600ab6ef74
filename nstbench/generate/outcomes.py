"""Checks the output of a unit and classifies its failure."""

from __future__ import annotations

import errno
from typing import Any

import pandas as pd
import torch

from nstbench.contracts import OutOfTime
from nstbench.core.errors import ImageError, StoreError, WeightsError, ran_out_of_memory
from nstbench.core.records import Status
from nstbench.plugins.registry import PluginError

# Values up to this far outside [0, 1] count as rounding errors.
_RANGE_SLACK = 1e-3


class BadOutputError(Exception):
    """A method returned something that does not meet the contract."""


def check_output(output: Any, content: torch.Tensor) -> None:
    """Check that the output of a method meets the contract.

    Args:
        output: the object that the method returned.
        content: pixels of the content, float32 (1, 3, H, W).

    Raises:
        BadOutputError: if it is not a finite float32 tensor of the content's shape and
            device with values in [0, 1].
    """
    if not isinstance(output, torch.Tensor):
        raise BadOutputError(f"stylize returned {type(output).__name__} instead of a tensor")
    if output.shape != content.shape:
        raise BadOutputError(
            f"stylize returned shape {tuple(output.shape)} for a content of {tuple(content.shape)}"
        )
    if output.dtype != torch.float32:
        raise BadOutputError(f"stylize returned {output.dtype} instead of torch.float32")
    if output.device != content.device:
        raise BadOutputError(
            f"stylize returned a tensor on {output.device}, not on {content.device}"
        )
    if not bool(torch.isfinite(output).all()):
        bad = int((~torch.isfinite(output)).sum())
        raise BadOutputError(f"stylize returned {bad} values that are NaN or infinite")
    low, high = float(output.min()), float(output.max())
    if low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK:
        raise BadOutputError(
            f"stylize returned values from {low:.3g} to {high:.3g}, outside [0, 1]"
        )


def status_of(error: BaseException) -> Status:
    """Return the status of a unit that ended with an error.

    Example:
        >>> status_of(MemoryError()), status_of(ValueError("no such layer"))
        (<Status.OOM: 'oom'>, <Status.FAILED: 'failed'>)
    """
    if ran_out_of_memory(error):
        return Status.OOM
    if isinstance(error, OutOfTime):
        return Status.TIMEOUT
    if isinstance(error, WeightsError | PluginError | ImageError):
        return Status.UNAVAILABLE
    return Status.FAILED


def without_output(units: pd.DataFrame) -> list[str]:
    """Return the variants without any output, in their order.

    Variants that are unavailable or skipped are ignored, unless the run has no output at all.

    Args:
        units: columns ``method`` (the label of the variant) and ``status``, one row per unit.

    Example:
        >>> without_output(pd.DataFrame({"method": ["a", "b"], "status": ["done", "failed"]}))
        ['b']
    """
    done = units["status"] == Status.DONE
    not_run = units["status"].isin([Status.UNAVAILABLE, Status.SKIPPED])
    names = units["method"]
    empty = ~done.groupby(names, sort=False).any()
    if done.any():
        empty &= ~not_run.groupby(names, sort=False).all()
    return [str(name) for name in empty.index[empty]]


def refuse_full_disk(variant: str, error: BaseException) -> None:
    """Raise StoreError if a unit ended because the disk is full.

    The method is not the cause, so the unit gets no record and runs again later.

    Raises:
        StoreError: if the error says that the disk is full or a quota is used up.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StoreError(
            f"there is no space left on the disk ({error}), while {variant} ran. "
            "Free some space, then run the same command again."
        ) from error
