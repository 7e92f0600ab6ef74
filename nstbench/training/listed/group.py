"""Trainings that run at the same time for a fixed number of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from nstbench.training.checkpoints import Checkpoint
from nstbench.training.listed.held_out import phases
from nstbench.training.listed.planned import Planned
from nstbench.training.listed.results import Result, total_of
from nstbench.training.listed.shares import Pace
from nstbench.training.loop import Loop
from nstbench.training.steps.buffers import WARM_UP

_CHUNKS, _SHORTEST, _LONGEST = 50, 0.05, 2.0
_PROBE_SECONDS, _MOST_PROBES, _LEAST_PROBES = 0.2, 20, 3
_TURNS = 8


@dataclass(eq=False)
class Runner:
    """A training that is running.

    Attributes:
        planned: what it is.
        loop: its loop.
        result: what it has done; kept up to date.
        before: seconds of training before this call.
        checkpoint: the checkpoint, when it is written.
    """

    planned: Planned
    loop: Loop
    result: Result
    before: float
    checkpoint: Checkpoint | None = None

    @property
    def name(self) -> str:
        """Name of the checkpoint."""
        return self.planned.name

    def save(self) -> None:
        """Save the state.

        Raises:
            TrainingError: if a loss or weight is no longer finite.
            StoreError: if the folder cannot be written.
        """
        self.loop.synchronize()
        self.loop.save(sheet=False)
        self.result.steps = self.loop.done

    def note(self, pace: Pace) -> None:
        """Store seconds, rate and losses in the result."""
        self.result.seconds = self.before + pace.used.get(self.name, 0.0)
        # the loop only knows how long it took to launch its steps
        self.loop.seconds = self.result.seconds
        self.result.step_seconds = pace.costs.get(self.name, self.result.step_seconds)
        if rows := self.loop.rows:
            self.result.first_loss, self.result.last_loss = total_of(rows[0]), total_of(rows[-1])


@dataclass(eq=False)
class Group:
    """Trains several loops in turns, each for its share of the time.

    Attributes:
        runners: the trainings; one that fails is removed.
        pace: their shares and costs.
        failed: is told of a training that fails.
        saved: is called after the states were saved.
        on_gpu: True if steps are launched without waiting for them.
    """

    runners: list[Runner]
    pace: Pace
    failed: Callable[[Runner, BaseException], None]
    saved: Callable[[], None]
    on_gpu: bool = False

    def train(self, seconds: float, interval: float) -> None:
        """Train for a time, and save the states at an interval.

        The rates are measured at the start and corrected all the time, and with them the number
        of steps that each training will have, on which learning rates depend.

        Args:
            seconds: the time of the whole group.
            interval: seconds between two saved states of every training.

        Raises:
            StoreError: if the folder of the results cannot be written.
        """
        end = time.perf_counter() + seconds
        for runner in list(self.runners):
            if time.perf_counter() < end:
                self._attempt(runner, partial(self._probe, runner))
        for runner in [r for r in self.runners if r.name not in self.pace.costs]:
            self._leave_out(runner)
        chunk = min(_LONGEST, max(_SHORTEST, seconds / _CHUNKS))
        saved = time.perf_counter()
        while self.runners:
            left = end - time.perf_counter()
            self._plan(left)
            if left < min(self.pace.costs.values()) / 2:
                return
            self._advance(min(chunk, left))
            if time.perf_counter() - saved >= interval:
                for runner in list(self.runners):
                    self._attempt(runner, runner.save)
                self.saved()
                saved = time.perf_counter()

    def _plan(self, left: float) -> None:
        """Set the number of steps of every training by its rate and the time that is left."""
        for runner in self.runners:
            runner.loop.set_total(runner.loop.done + self.pace.steps_in(runner.name, left))
            runner.note(self.pace)

    def _probe(self, runner: Runner) -> None:
        """Measure the cost of a training's step.

        On a GPU, the first steps of every phase run without a graph, so they are not measured.
        """
        loop = runner.loop
        first = 1
        if self.on_gpu:
            first = (WARM_UP + 1) * len(phases(loop.training, loop.schedule.steps))
        began = time.perf_counter()
        _steps(loop, first)
        took = time.perf_counter() - began
        count = min(_MOST_PROBES, int(_PROBE_SECONDS * first / took))
        if self.on_gpu:
            count = max(count, _LEAST_PROBES)
        if count < _LEAST_PROBES:
            self.pace.probed(runner.name, first, took)
        else:
            began = time.perf_counter()
            _steps(loop, count)
            self.pace.probed(runner.name, count, time.perf_counter() - began)
            self.pace.used[runner.name] += took
        runner.note(self.pace)

    def _advance(self, seconds: float) -> None:
        """Launch steps for a time in turns, wait for them, and book the time they took."""
        counts = self.pace.counts(seconds)
        began = time.perf_counter()
        for runner in self.runners:
            _make_room(runner.loop, counts[runner.name])
        turns = min(_TURNS, max(counts.values()))
        for turn in range(turns):
            for runner in list(self.runners):
                count = counts[runner.name]
                part = count * (turn + 1) // turns - count * turn // turns
                if part:
                    self._attempt(runner, partial(runner.loop.advance, part))
        for runner in list(self.runners):
            self._attempt(runner, runner.loop.synchronize)
        done = {name: count for name, count in counts.items() if name in self.pace.costs}
        if any(done.values()):
            self.pace.book(done, time.perf_counter() - began)

    def _attempt(self, runner: Runner, action: Callable[[], object]) -> None:
        """Do something with one training; if it fails, the others go on without it."""
        try:
            action()
        except Exception as error:  # a plug-in may raise anything
            self.failed(runner, error)
            self._leave_out(runner)

    def _leave_out(self, runner: Runner) -> None:
        self.runners.remove(runner)
        if self.runners:
            self.pace.drop(runner.name)


def _steps(loop: Loop, count: int) -> None:
    _make_room(loop, count)
    loop.advance(count)
    loop.synchronize()


def _make_room(loop: Loop, count: int) -> None:
    """Let the training end after ``count`` steps and one more at the earliest.

    A loop stops at its last step, and then saves its state and a sheet.
    """
    loop.set_total(max(loop.schedule.steps, loop.done + count + 1))


def names_of(runners: Iterable[Runner]) -> list[str]:
    """Return the names of the checkpoints of some trainings."""
    return [runner.name for runner in runners]
