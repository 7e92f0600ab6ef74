"""Resident memory of a worker and of the processes that it started."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

_LIST_SECONDS = 1.0


class ResidentMemory:
    """Measures the resident memory of a process and its descendants.

    A descendant that was seen once counts until it ends, even if its parent ends first.
    Linux lists the children of a process in ``/proc/PID/task/TID/children``, so that other
    processes of the machine are not read. Where these files are missing, psutil has to list
    all processes to find children; this is done once a second at most.

    Args:
        process: process id.
    """

    def __init__(self, process: int) -> None:
        self._members: dict[int, psutil.Process] = {}
        self._root = process
        self._next_listing = 0.0
        self._add(process)

    def read(self) -> int:
        """Return the resident bytes of all members; shared pages count once per process."""
        if Path(f"/proc/{self._root}/task/{self._root}/children").exists():
            self._find_children()
        elif time.monotonic() >= self._next_listing:
            self._next_listing = time.monotonic() + _LIST_SECONDS
            self._list_processes()
        total = 0
        for number, member in list(self._members.items()):
            size = _resident_bytes(member)
            total += size or 0
            if size is None:
                del self._members[number]
        return total

    def _find_children(self) -> None:
        parents = list(self._members)
        while parents:
            for child in _children(parents.pop()):
                if child not in self._members:
                    self._add(child)
                    parents.append(child)

    def _list_processes(self) -> None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._root).children(recursive=True):
                self._members.setdefault(child.pid, child)

    def _add(self, process: int) -> None:
        with contextlib.suppress(psutil.Error):
            self._members[process] = psutil.Process(process)


def _children(process: int) -> list[int]:
    """Return the process ids of the children that each thread of a process started."""
    children: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, path.read_text().split())
    return children


def _resident_bytes(process: psutil.Process) -> int | None:
    """Return the resident bytes of a process; None if it has ended."""
    try:
        # The system may have given the id to a new process; is_running compares start times.
        return int(process.memory_info().rss) if process.is_running() else None
    except psutil.Error:
        return None
