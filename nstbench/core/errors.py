"""Errors that a user can cause and fix.

    NstbenchError
      UsageError      an option, a configuration file or a name is wrong
      ImageError      a picture file cannot be used
      NoValueError    a metric has no value for these pictures
      WeightsError    network weights are missing, damaged or unexpected
      StoreError      a run folder cannot be read or written

A message names the file or option, the reason and the fix. The command line prints the message
without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Iterable

_FULL, _RIGHTS = "free space", "change permissions, or choose another place"
_IN_THE_WAY = "move the {} that is where a {} is needed, or choose another place"
_FIXES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOENT: "check how the path is written",
    errno.ENOTDIR: _IN_THE_WAY.format("file", "folder"),
    errno.EEXIST: _IN_THE_WAY.format("file", "folder"),
    errno.EISDIR: _IN_THE_WAY.format("folder", "file"),
    errno.ENAMETOOLONG: "choose a shorter name",
}


class NstbenchError(Exception):
    """Base of all errors that are reported to the user without a traceback."""


class UsageError(NstbenchError):
    """An option, a configuration file or a name is wrong."""


class ImageError(NstbenchError):
    """An image file cannot be used; the message names the file and the reason."""


class NoValueError(NstbenchError):
    """A metric has no value for these pictures. This is a result and is stored."""


class WeightsError(NstbenchError):
    """Network weights are missing or damaged, or their checksum is not the pinned one."""


class StoreError(NstbenchError):
    """A run folder cannot be read or written."""


def fix_for(error: OSError) -> str:
    """Return the fix for a file that cannot be read or written, or an empty string.

    The text begins with a small letter and ends without a full stop.
    """
    return _FIXES.get(error.errno or 0, "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def message_of(error: BaseException) -> str:
    """Return the class of an error and its text."""
    try:
        return f"{type(error).__name__}: {error}".strip(": ")
    # a plug-in's exception may raise in its __str__
    except Exception:
        return type(error).__name__


_LOST_DEVICE = (
    "cuda error",
    "cudnn_status_execution_failed",
    "cudnn_status_internal_error",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
)


def lost_device(error: BaseException | None) -> bool:
    """Return True for an error after which this process cannot use its GPU any more.

    Examples are an illegal address, a failed assertion of a kernel, a memory error of the GPU
    (ECC) and a GPU that fell off the bus. CUDA reports some errors that do no such damage in the
    same form. A new process costs little, so they count, too. Lack of memory does not count.
    """
    torch = sys.modules.get("torch")
    # torch has the class since version 2.8
    kind = getattr(torch, "AcceleratorError", ())
    while error is not None:
        text = message_of(error).lower()
        known = isinstance(error, kind) or any(words in text for words in _LOST_DEVICE)
        if isinstance(error, RuntimeError) and known and not ran_out_of_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def ran_out_of_memory(error: object) -> bool:
    """Return True for an error of too little memory, of the machine or of its GPU."""
    # torch raised it only if torch is loaded, and this module must not load it
    torch = sys.modules.get("torch")
    kinds = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    if isinstance(error, kinds):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = message_of(error).lower()
    return "out of memory" in text or "can't allocate" in text
