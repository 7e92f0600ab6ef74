"""Whether an error means that memory did not suffice, and what an error says."""

from __future__ import annotations

import torch


def message_of(error: BaseException) -> str:
    """Return the kind of an error and its text, on as many lines as that has."""
    try:
        return f"{type(error).__name__}: {error}".strip(": ")
    # the text of a plug-in's exception is a plug-in's code
    except Exception:
        return type(error).__name__


def ran_out_of_memory(error: object) -> bool:
    """Return True for an error that means too little memory, of this machine or its GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = message_of(error).lower()
    return "out of memory" in text or "can't allocate" in text
