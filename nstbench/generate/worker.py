"""The worker process: ``python -m nstbench.generate.worker`` reads requests, writes events.

Both directions are JSON, one object a line. A process of its own keeps a crash,
a leak or a print of a method away from the others; it is started as a program
instead of by :mod:`multiprocessing` so that it does not run the user's main
script or notebook again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from nstbench.core.records import Step, Timing, Unit


def main() -> None:
    """Serve requests until ``stop`` or until the parent is gone."""
    channel, events = _claim_stdin(), _claim_stdout()
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(channel, requests), daemon=True).start()
    start = requests.get()
    _give_back(start["environment"])

    import torch

    from nstbench.core.glibc_malloc import keep_freed_memory
    from nstbench.generate.method_timing import TimingRequest
    from nstbench.generate.runner import Runner
    from nstbench.plugins import registry
    from nstbench.plugins.programs.entry import Program
    from nstbench.store.store import Store
    from nstbench.store.unit_records import plain_record

    for file in start["plugins"]:
        registry.add_file(Path(file))
    for program in start["programs"]:
        registry.add_program(Program.model_validate(program))
    torch.set_num_threads(start["threads"])
    keep_freed_memory()
    runner = Runner(Store(Path(start["store"])), start["device"], start["threads"])
    units, timings = TypeAdapter(Unit), TypeAdapter(TimingRequest)
    _send(events, {"event": "ready", "process": os.getpid()})
    with contextlib.closing(runner):
        while (request := requests.get())["do"] != "stop":
            try:
                if request["do"] == "unit":
                    unit = units.validate_python(request["unit"])
                    record = runner.run(
                        unit,
                        lambda step: _send_step(events, step),
                        alone=request["alone"],
                        last=request["last"],
                    )
                    _send(events, {"event": "result", "record": plain_record(record)})
                elif request["do"] == "batch":
                    found = runner.run_batch(
                        [units.validate_python(unit) for unit in request["units"]],
                        lambda place, step: _send_step(events, step, place),
                        alone=request["alone"],
                    )
                    answer = (
                        {"message": found}
                        if isinstance(found, str)
                        else {"records": [plain_record(record) for record in found]}
                    )
                    _send(events, {"event": "result", **answer})
                else:
                    timing = runner.time(timings.validate_python(request["timing"]))
                    answer = TypeAdapter(Timing).dump_python(timing, mode="json")
                    _send(events, {"event": "timing", "timing": answer})
            except Exception as error:
                message = f"{type(error).__name__}: {error}"
                text = traceback.format_exc()
                _send(events, {"event": "error", "message": message, "traceback": text})


def _claim_stdin() -> IO[str]:
    """Keep the channel from the parent; a method that reads or closes its input misses nothing."""
    channel = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def _claim_stdout() -> IO[str]:
    """Keep the channel to the parent; whatever a method prints goes to the log instead."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _give_back(environment: dict[str, str | None]) -> None:
    """Undo what only the start of this process needed: what a method starts is not nstbench."""
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _read(channel: IO[str], requests: queue.Queue[dict[str, Any]]) -> None:
    for line in channel:
        requests.put(json.loads(line))
    # the parent is gone: a result nobody waits for is not worth the processor
    os._exit(1)


def _send(events: IO[str], event: dict[str, Any]) -> None:
    events.write(json.dumps(event, default=str) + "\n")
    events.flush()


def _send_step(events: IO[str], step: Step, place: int = 0) -> None:
    _send(events, {"event": "step", "place": place, "index": step.index, "total": step.total})


def _run() -> None:
    """Serve; after a failure end at once, whatever threads a method has left behind."""
    try:
        main()
    # KeyboardInterrupt, too: the parent waits for the end of this process
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
            sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    _run()
