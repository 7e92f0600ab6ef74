"""Run one program, and kill every process that it started when it ends.

``python -I -S supervisor.py SOCKET FOLDER WORD...`` starts the words as a program in a
session of its own and reports its end over the socket, one JSON object a line. When the other
end of the socket closes, for example because the worker was killed, the program is killed, the
folder removed, and the supervisor ends. On Linux the supervisor adopts orphans, so that it also
finds a process that left the program's session.

It imports the standard library only: it must start fast, and must not import modules of the
program's working folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_KILLING_SECONDS = 10.0


def main() -> None:
    """Supervise the program that the command line names."""
    control, folder, words = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3:]
    _adopt_orphans()
    start = time.perf_counter()
    try:
        child = subprocess.Popen(words, start_new_session=True)
    except OSError as error:
        _tell(control, {"error": f"{words[0]}: {error.strerror}"})
        _wait_for_end(control)
    else:
        _let_go_of_pipes()
        watcher = threading.Thread(target=_watch, args=(control, child.pid), daemon=True)
        watcher.start()
        code = child.wait()
        seconds = time.perf_counter() - start
        left = _kill_all(child.pid)
        _tell(control, {"exit": code, "seconds": seconds, "left": left})
        watcher.join()
    shutil.rmtree(folder, ignore_errors=True)


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux only)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _let_go_of_pipes() -> None:
    """Close the program's pipes in this process, so that they end with the program."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _watch(control: socket.socket, child: int) -> None:
    """Kill the program when the other end of the socket closes."""
    _wait_for_end(control)
    # the main thread waits for the child and reaps it
    for process in [child, *_descendants()]:
        _kill(process)


def _wait_for_end(control: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while control.recv(4096):
            pass


def _kill_all(child: int) -> int:
    """Kill the processes that the program left; return their number."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    deadline = time.monotonic() + _KILLING_SECONDS
    killed: set[int] = set()
    while time.monotonic() < deadline:
        # a killed process may leave orphans, which are killed in the next round
        alive = _descendants()
        killed |= alive
        for process in alive:
            _kill(process)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not alive:
            break
        time.sleep(0.002)
    return len(killed)


def _kill(process: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)


def _descendants() -> set[int]:
    """Return all descendants of this process; an empty set without ``/proc``."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # the name of the program, in parentheses before, may contain any character
            state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    descendants: set[int] = set()
    queue = [os.getpid()]
    while queue:
        for process in children.get(queue.pop(), []):
            if process not in descendants:
                descendants.add(process)
                queue.append(process)
    return descendants


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
