"""The toy method with steps of a known duration, and with a failure on demand."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from nstbench.contracts import MethodInfo
from nstbench.core.records import Flexibility

_SPEC = importlib.util.spec_from_file_location(
    "toy_colour_base", Path(__file__).with_name("toy_colour.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
_TOY: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOY)


class TimedColour(_TOY.ToyColour):
    """Sleeps in every step; its losses are NaN from step ``fails_at`` on."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Timed colour",
        authors="the nstbench developers",
        year=2026,
        paper="https://example.org",
        family="toy",
        flexibility=Flexibility.PER_STYLE,
    )

    class Params(_TOY.ToyColour.Params):
        """Parameters."""

        step_seconds: float = Field(0.04, ge=0, description="duration of a step")
        fails_at: int = Field(10**9, ge=0, description="first step with a loss of NaN")

    def training(self, task):
        return TimedTraining(self.params, task)


class TimedTraining(_TOY.ToyTraining):
    """Keeps the totals that it was told."""

    def __init__(self, params, task):
        super().__init__(params, task)
        self.params = params
        self.totals = []

    def set_total(self, steps):
        self.totals.append(steps)

    def phase(self, index):
        return int(index >= self.params.fails_at)

    def step(self, batch, descend):
        losses = super().step(batch, descend)
        if torch.is_grad_enabled():
            time.sleep(self.params.step_seconds)
        if batch.phase:
            return {name: loss * float("nan") for name, loss in losses.items()}
        return losses
