"""Errors that a user can cause and mend.

Every one carries what was wrong, why, and the way out; the command line prints
the message without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Iterable

_FULL, _RIGHTS = "free space", "change permissions, or choose another place"
_IN_THE_WAY = "move the {} that lies where a {} is needed, or choose another place"
_WAYS_OUT = {
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
    """A metric has no value for these pictures, now and always: a result, and kept as one."""


class WeightsError(NstbenchError):
    """Network weights are missing, damaged or not what their checksum says."""


class StoreError(NstbenchError):
    """A run folder cannot be read or written."""


def way_out(error: OSError) -> str:
    """Return what a user can do about a file that cannot be used, or an empty string.

    It begins with a small letter and ends without a full stop.
    """
    return _WAYS_OUT.get(error.errno or 0, "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def message_of(error: BaseException) -> str:
    """Return the kind of an error and its text, on as many lines as that has."""
    try:
        return f"{type(error).__name__}: {error}".strip(": ")
    # the text of a plug-in's exception is a plug-in's code
    except Exception:
        return type(error).__name__


def ran_out_of_memory(error: object) -> bool:
    """Return True for an error that means too little memory, of this machine or its GPU."""
    # torch raised it only if torch is loaded, and this module must not load it
    torch = sys.modules.get("torch")
    kinds = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    if isinstance(error, kinds):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = message_of(error).lower()
    return "out of memory" in text or "can't allocate" in text
