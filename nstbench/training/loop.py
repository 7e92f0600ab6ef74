"""The training loop: steps, log, sample sheets, saved states, resuming, and stopping at a NaN."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nstbench.core.errors import NstbenchError, UsageError
from nstbench.pictures.picture import resize, to_pixels, write_png
from nstbench.plan.listener import Listener
from nstbench.store.atomic_files import write_bytes
from nstbench.training.steps.buffers import Steps
from nstbench.training.steps.crops import Source
from nstbench.training.trainable import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_CURVE_POINTS = 100
_GUTTER = 4


class TrainingError(NstbenchError):
    """A training cannot go on: a loss or weight is not finite, or there is too little memory."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The length of a training, and the intervals of its log and states, in steps.

    Attributes:
        steps: number of steps.
        save_every: steps between two saved states, each with a sample sheet.
        log_every: steps per line of the log, which has the mean of every loss. Losses are also
            checked for NaN at this interval.
    """

    steps: int
    save_every: int
    log_every: int


@dataclass(eq=False)
class Loop:
    """Trains networks, and keeps ``state.pt``, ``log.csv`` and ``samples/`` in a folder.

    Attributes:
        fabric: Lightning Fabric, launched.
        training: networks and their training step; the networks are on the device.
        steps: runs the steps of the training.
        source: makes the batches.
        schedule: number of steps, and intervals of log and states.
        folder: folder of state, log and samples.
        order: plain data that identifies the training. A state with other data is refused.
        listener: receives progress.
        done: number of steps that are finished.
        seconds: wall-clock seconds in the loop, over all calls.
        rows: the lines of the log: ``step``, ``seconds`` and the mean losses.
    """

    fabric: Fabric
    training: Training
    steps: Steps
    source: Source
    schedule: Schedule
    folder: Path
    order: Mapping[str, Any]
    listener: Listener = field(default_factory=Listener)

    done: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    # -- the loop -----------------------------------------------------------------------------

    def set_total(self, steps: int) -> None:
        """Change the number of steps of the training, also while it runs.

        Learning rates and phases that depend on the share of the training that is done follow.
        """
        self.schedule = replace(self.schedule, steps=steps)
        self.training.set_total(steps)

    def resume(self) -> None:
        """Continue from the saved state, if there is one.

        Raises:
            UsageError: if the folder contains another training, or its state is damaged.
        """
        self._resume()

    def advance(self, steps: int = 1) -> int:
        """Launch the next steps, and return their number: fewer than ``steps`` at the end.

        On a GPU, this does not wait for the device, except where the log or the state of the
        training is due.

        Raises:
            TrainingError: if a loss or weight is no longer finite; the last state is kept.
            StoreError: if the folder cannot be written.
        """
        before, started = self.seconds, time.perf_counter()
        begin, stop = self.done, min(self.done + steps, self.schedule.steps)
        for index in range(begin, stop):
            self.steps.run(index)
            self.done = index + 1
            self.seconds = before + time.perf_counter() - started
            self._record_progress()
        return stop - begin

    def synchronize(self) -> None:
        """Wait until the device has done all steps that were launched; log what is not logged."""
        self.steps.synchronize()
        if self.steps.count:
            self._log()

    def save(self, sheet: bool = True) -> None:
        """Write the state and the log, and with ``sheet`` a sample sheet.

        Raises:
            TrainingError: if a loss or weight is no longer finite; the last state is kept.
            StoreError: if the folder cannot be written.
        """
        self._save(sheet)

    def _record_progress(self) -> None:
        last = self.done == self.schedule.steps
        if self.done % self.schedule.log_every == 0 or last:
            self._log()
        self.listener.advanced()
        if self.done % self.schedule.save_every == 0 or last:
            self._save()

    # -- log ----------------------------------------------------------------------------------

    def _log(self) -> None:
        with self.steps.on_stream():
            # one transfer for all losses
            sums = torch.stack(list(self.steps.sums.values())).tolist()
            count = self.steps.count
            self.steps.forget_losses()
        means = {name: total / count for name, total in zip(self.steps.sums, sums, strict=True)}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"the loss '{bad[0]}' is not a finite number between steps "
                f"{self.done - count} and {self.done}. The last saved state is in "
                f"{self.folder}; delete it and train with a lower --learning-rate"
            )
        self.rows.append({"step": self.done, "seconds": self.seconds, **means})
        self.listener.began(" ".join(f"{name} {value:.4g}" for name, value in means.items()))

    def curve(self) -> tuple[dict[str, float], ...]:
        """Return up to 100 rows of the log, evenly spaced and including the last one."""
        if len(self.rows) <= _CURVE_POINTS:
            return tuple(self.rows)
        places = np.linspace(0, len(self.rows) - 1, _CURVE_POINTS).round().astype(int)
        return tuple(self.rows[place] for place in places)

    # -- states -------------------------------------------------------------------------------

    def _save(self, sheet: bool = True) -> None:
        with self.steps.on_stream():
            self._write_state()
            if sheet and self.fabric.is_global_zero:
                self._write_sheet()

    def _write_state(self) -> None:
        if not self.fabric.is_global_zero:
            return
        for name, network in self.training.networks.items():
            for key, tensor in network.state_dict().items():
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    raise TrainingError(
                        f"the weights {name}.{key} are not finite at step {self.done}. The last "
                        f"saved state is in {self.folder}; train with a lower --learning-rate"
                    )
        state = {
            "order": dict(self.order),
            "done": self.done,
            "seconds": self.seconds,
            "rows": self.rows,
            "sums": self.steps.sums,
            "count": self.steps.count,
            "phase": self.steps.phase,
            "training": self.training.state(),
            **{
                kind: {name: part.state_dict() for name, part in parts.items()}
                for kind, parts in self._parts().items()
            },
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        write_bytes(self.folder / "state.pt", stream.getvalue())
        write_bytes(self.folder / "log.csv", _csv(self.rows).encode())

    def _resume(self) -> None:
        path = self.folder / "state.pt"
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        except Exception as error:
            raise UsageError(
                f"{path} cannot be read ({error}). Delete it to start the training again."
            ) from error
        changed = [
            f"{name} was {state['order'].get(name)!r} and is now {value!r}"
            for name, value in self.order.items()
            if state["order"].get(name) != value
        ]
        if changed:
            raise UsageError(
                f"{self.folder} contains another training: {'; '.join(changed)}. Delete "
                "the folder, or choose another --out or --name."
            )
        for kind, parts in self._parts().items():
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])
        self.training.load_state(state["training"])
        self.done, self.seconds = state["done"], state["seconds"]
        self.rows = state["rows"]
        self.steps.sums, self.steps.count = state["sums"], state["count"]
        self.steps.phase = state["phase"]
        self.steps.prepare_optimisers()

    def _parts(self) -> dict[str, Mapping[str, Any]]:
        return {
            "networks": self.training.networks,
            "optimisers": self.training.optimisers,
            "schedulers": self.training.schedulers,
        }

    # -- sample sheets --------------------------------------------------------------------------

    @torch.no_grad()
    def _write_sheet(self) -> None:
        """Write the sample sheet: one row per content, one column per tensor of ``sample``."""
        with _evaluating(self.training):
            columns = self.training.sample(self.steps.sample_batch())
        size = self.source.size
        height = width = size + _GUTTER
        sheet = np.full((height * len(columns[0]), width * len(columns), 3), 255, dtype=np.uint8)
        for x, column in enumerate(columns):
            for y, picture in enumerate(resize(column.float().clamp(0, 1), (size, size))):
                sheet[y * height :, x * width :][:size, :size] = to_pixels(picture)
        write_png(self.folder / "samples" / f"{self.done:07d}.png", sheet)


@contextmanager
def _evaluating(training: Training) -> Iterator[None]:
    """Switch networks to evaluation mode, and back at the end."""
    for network in training.networks.values():
        network.eval()
    try:
        yield
    finally:
        for network in training.networks.values():
            network.train()


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
