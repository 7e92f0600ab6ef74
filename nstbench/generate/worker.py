"""The worker process: ``python -m nstbench.generate.worker`` reads requests, writes events.

Both directions are JSON, one object per line. A process of its own protects other methods from
a crash, a memory leak or the printed text of one method. It is started as a program and not by
:mod:`multiprocessing`, which would run the user's main script or notebook again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from typing import IO, Any


def main() -> None:
    """Answer requests until ``stop`` or until the parent has exited."""
    channel, events = _take_stdin(), _take_stdout()
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(channel, requests), daemon=True).start()
    start = requests.get()
    _restore(start["environment"])

    # Imported only now: packages may print while they are imported, and the environment counts.
    from nstbench.generate.worker_requests import RequestHandlers

    def send(event: dict[str, Any]) -> None:
        events.write(json.dumps(event, default=str) + "\n")
        events.flush()

    with contextlib.closing(RequestHandlers(start, send)) as handlers:
        send({"event": "ready", "process": os.getpid()})
        while (request := requests.get())["do"] != "stop":
            send(handlers.answer(request))


def _take_stdin() -> IO[str]:
    """Return the channel from the parent; standard input becomes empty.

    A method that reads or closes its input then takes no request away.
    """
    channel = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def _take_stdout() -> IO[str]:
    """Return the channel to the parent; text that a method prints goes to the log instead."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _restore(environment: dict[str, str | None]) -> None:
    """Restore variables that were set for this process only; None removes one.

    Programs that a method starts then run in the user's environment.
    """
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _read(channel: IO[str], requests: queue.Queue[dict[str, Any]]) -> None:
    """Queue the requests of the parent; end the process when the channel is closed."""
    for line in channel:
        requests.put(json.loads(line))
    # The parent has exited, so stop working.
    os._exit(1)


def _run() -> None:
    """Run :func:`main`; after a failure exit at once, although a method left threads behind."""
    try:
        main()
    # KeyboardInterrupt as well, because the parent waits for this process to end.
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
            sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    _run()
