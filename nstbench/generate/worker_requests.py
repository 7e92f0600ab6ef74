"""The requests that a worker answers: run a unit, run a batch, time a method."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from nstbench.core.glibc_malloc import keep_freed_memory
from nstbench.core.records import Step, Timing, Unit
from nstbench.generate.method_timing import TimingRequest
from nstbench.generate.runner import OutOfMemory, Runner
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import Program
from nstbench.store.store import Store
from nstbench.store.unit_records import plain_record

Message = dict[str, Any]
"""A request or an event as JSON data."""

_UNIT = TypeAdapter(Unit)
_TIMING = TypeAdapter(Timing)
_TIMING_REQUEST = TypeAdapter(TimingRequest)


class RequestHandlers:
    """Answers the requests of the parent process with a :class:`Runner`.

    Args:
        start: the first message of the parent: ``store``, ``device``, ``threads``, ``plugins``
            and ``programs``.
        send: sends an event to the parent.
    """

    def __init__(self, start: Mapping[str, Any], send: Callable[[Message], None]) -> None:
        for file in start["plugins"]:
            registry.add_file(Path(file))
        for program in start["programs"]:
            registry.add_program(Program.model_validate(program))
        torch.set_num_threads(start["threads"])
        keep_freed_memory()
        self._runner = Runner(Store(Path(start["store"])), start["device"], start["threads"])
        self._send = send
        self._handlers = {"unit": self._run_unit, "batch": self._run_batch, "time": self._time}

    def answer(self, request: Mapping[str, Any]) -> Message:
        """Return the event that ends a request; an exception becomes an ``error`` event.

        ``lost`` in it is True if this process cannot use its GPU any more.
        """
        try:
            event = self._handlers[request["do"]](request)
        except Exception as error:
            self._runner.notice(error)
            message = f"{type(error).__name__}: {error}"
            event = {"event": "error", "message": message, "traceback": traceback.format_exc()}
        return event | {"lost": self._runner.lost}

    def close(self) -> None:
        """Unload the method."""
        self._runner.close()

    def _run_unit(self, request: Mapping[str, Any]) -> Message:
        record = self._runner.run(
            _UNIT.validate_python(request["unit"]),
            lambda step: self._send_step(0, step),
            alone=request["alone"],
            last=request["last"],
            observe=request["observe"],
        )
        return {"event": "result", "record": plain_record(record)}

    def _run_batch(self, request: Mapping[str, Any]) -> Message:
        units = [_UNIT.validate_python(unit) for unit in request["units"]]
        outcome = self._runner.run_batch(units, self._send_step, alone=request["alone"])
        if isinstance(outcome, str):
            memory = isinstance(outcome, OutOfMemory)
            return {"event": "result", "message": str(outcome), "memory": memory}
        return {"event": "result", "records": [plain_record(record) for record in outcome]}

    def _time(self, request: Mapping[str, Any]) -> Message:
        timing = self._runner.time(_TIMING_REQUEST.validate_python(request["timing"]))
        return {"event": "timing", "timing": _TIMING.dump_python(timing, mode="json")}

    def _send_step(self, place: int, step: Step) -> None:
        self._send({"event": "step", "place": place, "index": step.index, "total": step.total})
