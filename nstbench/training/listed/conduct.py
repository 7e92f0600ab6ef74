"""Carry out a list of trainings in a fixed time."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

from nstbench.core.environment import resolve_device, utc_now
from nstbench.core.errors import UsageError, message_of
from nstbench.core.isolation import isolated
from nstbench.core.records import Flexibility, ImageRecord, Role
from nstbench.plan.listener import Listener
from nstbench.plan.variants import open_dataset
from nstbench.store.atomic_files import write_json
from nstbench.training.checkpoints import Checkpoint, shipped_dir
from nstbench.training.job import finish, prepare
from nstbench.training.listed.group import Group, Runner, names_of
from nstbench.training.listed.held_out import HeldOut
from nstbench.training.listed.planned import Options, Planned, plan_trainings, with_styles
from nstbench.training.listed.results import FAILED, WAITING, Result, Results, read_results
from nstbench.training.listed.shares import Deadline, Pace, groups, owed
from nstbench.training.listed.sheet import ROWS, styles_shown, write_sheet
from nstbench.training.listed.training_list import read_list
from nstbench.training.steps.crops import Pictures
from nstbench.training.steps.fabric import make_fabric

_log = logging.getLogger(__name__)

_SAVES, _LONGEST_UNSAVED = 10, 120.0
# Writing a checkpoint takes this time and that of a few steps, until it has been measured.
_FINISH, _FINISH_STEPS = 0.3, 10
_MOST_RESERVED = 0.4
"""Most of the time left that is kept for preparing and writing."""
_EXAMINING = 0.15
"""Most of the time that held-out losses and sample sheets take."""
_TOGETHER = 14
"""Trainings at the same time on a GPU. One of half width needs about a gigabyte."""


def train_list(
    file: Path,
    options: Options,
    deadline: Deadline,
    together: int | None = None,
    listener: Listener | None = None,
    results: Results | None = None,
) -> Results:
    """Train the checkpoints of a list in a fixed time, and write each with its card and sheet.

    A call with the same folder continues earlier ones: the time of all calls is shared out.

    Args:
        file: the list.
        options: folders and device.
        deadline: the time.
        together: trainings at the same time; 14 on a GPU and 1 on a CPU if ``None``.
        listener: receives progress.
        results: results of earlier calls, which are kept up to date; those of the folder if
            ``None``.

    Returns:
        The results of all trainings of the folder.

    Raises:
        UsageError: if the list, a folder or the time is wrong.
        StoreError: if a folder cannot be written.
    """
    listener = listener or Listener()
    if options.out.resolve() == shipped_dir().resolve():
        raise UsageError(
            f"--out {options.out}: the checkpoints of nstbench are the starts of the trainings. "
            "Write to another folder, look at the sheets, and copy the files that are better."
        )
    listed = read_list(file)
    device = torch.device(resolve_device(options.device))
    listener.began("reading photographs")
    contents = open_dataset(options.contents, "--contents").load(Role.CONTENT).images
    if len(contents) <= options.held_out:
        raise UsageError(
            f"--contents {options.contents}: it has {len(contents)} pictures, and "
            f"{options.held_out} are kept out of training. Give more pictures, or a smaller "
            "--held-out."
        )
    trained = contents[: len(contents) - options.held_out]
    listener.began("reading the list")
    plan = plan_trainings(listed, file, options, trained)
    results = read_results(options.out) if results is None else results
    results.source = file.name
    starter = open_dataset("starter", "starter")
    call = {
        "began": utc_now(),
        "device": str(device),
        "minutes": deadline.seconds / 60,
        "trainings": len(plan),
    }
    results.calls.append(call)
    if together is None:
        together = _TOGETHER if device.type == "cuda" else 1
    with isolated(options.threads):
        conductor = Conductor(
            plan=plan,
            options=options,
            deadline=deadline,
            held_out=HeldOut(tuple(contents[len(trained) :]), device),
            starter=(
                starter.load(Role.CONTENT).images[:ROWS],
                starter.load(Role.STYLE).images,
            ),
            results=results,
            together=together,
            listener=listener,
            licence=listed.licence,
        )
        try:
            conductor.run()
        finally:
            call["seconds"] = round(deadline.spent(), 1)
            results.write(options.out)
    return results


class _Notes(Listener):
    """Passes on the notes of a training, but not its steps: the display counts trainings."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def note(self, message: str) -> None:
        """Pass a note on."""
        self._listener.note(message)


@dataclass(eq=False)
class Conductor:
    """Trains a list within a time, group by group, and writes everything before it ends.

    Attributes:
        plan: the trainings in order of value.
        options: folders and device.
        deadline: the time.
        held_out: photographs for the losses after training.
        starter: contents and styles of the sample sheets.
        results: what has been done; written to a file after every change.
        together: trainings at the same time.
        listener: receives progress.
        licence: licence of the checkpoints, for their cards.
    """

    plan: Sequence[Planned]
    options: Options
    deadline: Deadline
    held_out: HeldOut
    starter: tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]
    results: Results
    together: int
    listener: Listener
    licence: str = ""

    _waiting: list[str] = field(default_factory=list)
    _preparing: list[float] = field(default_factory=list)
    _finishing: dict[str, list[float]] = field(default_factory=dict)
    _examining: float = 0.0
    _pictures: set[Pictures] = field(default_factory=set)

    def run(self) -> None:
        """Train every group in turn; finish each before the next begins.

        Raises:
            StoreError: if a folder cannot be written.
        """
        for one in self.plan:
            self._begin(one)
        self._waiting = [one.name for one in self.plan]
        self.results.sort(self._waiting)
        try:
            found = {one.name: self._with_styles(one) for one in self.plan}
            if self.plan:
                # loads modules and starts the device, which no training should pay for
                self.listener.began("starting the device")
                make_fabric(self.plan[0].job.order, self.held_out.device)
                torch.zeros(1, device=self.held_out.device)
            kinds = {one.name: one.kind for one in self.plan}
            for names in groups(self._waiting, kinds, self.together):
                self._group([ready for name in names if (ready := found[name]) is not None])
                self._free_memory()
                for name in names:
                    self._waiting.remove(name)
        finally:
            self.results.judge([one.name for one in self.plan])

    def _begin(self, one: Planned) -> None:
        """Add the result of a training that no earlier call has begun."""
        result = self.results.trainings.get(one.name)
        if result is None:
            result = Result(name=one.name, kind=one.kind, share=one.share)
            self.results.trainings[one.name] = result
        result.share = one.share
        if result.status == FAILED:
            result.status, result.reason = WAITING, ""

    def _with_styles(self, one: Planned) -> Planned | None:
        """Return a training with its styles, or ``None`` if they cannot be used."""
        self.listener.began(f"{one.name}: styles")
        try:
            return with_styles(one, self.options)
        except Exception as error:  # a dataset may raise anything
            self._failed(self.results.trainings[one.name], error)
            return None

    def _group(self, group: Sequence[Planned]) -> None:
        due = self._due([one.name for one in group])
        runners = [
            runner
            for one in group
            if due[one.name] > 0 and (runner := self._prepared(one)) is not None
        ]
        if runners:
            self._train(runners)
        for runner in runners:
            self._write(runner)
        for runner in runners:
            self._examine(runner)

    def _free_memory(self) -> None:
        """Free the networks and graphs of the trainings that ended."""
        gc.collect()
        if self.held_out.device.type == "cuda":
            torch.cuda.empty_cache()

    def _prepared(self, one: Planned) -> Runner | None:
        """Return a training that is ready to run, or ``None`` if it fails or there is no time."""
        if self.deadline.left() < 0:
            return None
        result = self.results.trainings[one.name]
        began = time.perf_counter()
        place = list(self.results.trainings).index(one.name) + 1
        self.listener.began(f"{one.name}: preparing, {place} of {len(self.plan)}")
        try:
            loop = prepare(one.job, _Notes(self.listener))
            # trainings share decoded pictures while one of them uses these
            used = (loop.source.contents, loop.source.styles)
            self._pictures |= {each.pictures for each in used if each is not None}
            # an adversarial training begins with networks that its start does not have
            whole = one.job.method.info.flexibility != Flexibility.DOMAIN
            if loop.done == 0 and one.job.start is not None:
                result.start = one.job.start.name
                result.start_sha256 = one.job.start.card.sha256
            if loop.done == 0 and one.job.start is not None and whole:
                loss = self.held_out.loss(loop, one.job.styles)
                result.held_out_loss_of_start = loss
        except Exception as error:  # a plug-in may raise anything
            self._failed(result, error)
            return None
        self._preparing.append(time.perf_counter() - began)
        return Runner(one, loop, result, result.seconds)

    def _train(self, runners: list[Runner]) -> None:
        """Train a group for its share of the time that is left; remove those that fail."""
        due = self._due(names_of(runners))
        seconds = sum(due.values())
        if seconds <= 0:
            return
        for name, part in due.items():
            self.listener.began(f"{name}: {part:.0f} s of training")
        group = Group(
            runners=runners,
            pace=Pace({name: part / seconds for name, part in due.items()}),
            failed=lambda runner, error: self._failed(runner.result, error),
            saved=lambda: self._saved(runners),
            on_gpu=self.held_out.device.type == "cuda",
        )
        group.train(seconds, min(_LONGEST_UNSAVED, self.deadline.seconds / _SAVES))

    def _saved(self, runners: Sequence[Runner]) -> None:
        self.results.write(self.options.out)
        for runner in runners:
            loss = runner.result.last_loss
            shown = "" if loss is None else f", loss {loss:.4g}"
            self.listener.began(f"{runner.name}: {runner.loop.done:,} steps{shown}")

    # -- writing ------------------------------------------------------------------------------

    def _write(self, runner: Runner) -> None:
        """Write state, checkpoint and card of a training."""
        if runner.loop.done == 0:
            return
        began = time.perf_counter()
        try:
            runner.save()
            runner.checkpoint = finish(runner.planned.job, runner.loop)
            assert runner.checkpoint.path is not None
            runner.result.file, runner.result.reason = runner.checkpoint.path.name, ""
            # losses of an earlier call are not those of this checkpoint
            runner.result.held_out_loss = None
            self._complete_card(runner)
        except Exception as error:  # a plug-in may raise anything
            self._failed(runner.result, error)
        finally:
            took = time.perf_counter() - began
            self._finishing.setdefault(runner.planned.kind, []).append(took)
        self.results.write(self.options.out)

    def _examine(self, runner: Runner) -> None:
        """Measure the held-out loss and write the sample sheet, if there is time."""
        if runner.checkpoint is None:
            return
        result, job = runner.result, runner.planned.job
        times = self._finishing[runner.planned.kind]
        most = _EXAMINING * self.deadline.seconds
        if self.deadline.last() < self._finish_time(runner.name) or self._examining > most:
            result.reason = "there was no time for the held-out loss and the sample sheet"
            return
        began = time.perf_counter()
        self.listener.began(f"{runner.name}: held-out loss and sample sheet")
        try:
            result.held_out_loss = self.held_out.loss(runner.loop, job.styles)
            if result.held_out_loss > (result.held_out_loss_of_start or math.inf):
                result.reason = "its held-out loss is above that of its start"
            self._complete_card(runner)
            sheet = Path("sheets") / f"{runner.name}.png"
            contents, known = self.starter
            shown = styles_shown(runner.checkpoint, job.method, job.styles, known)
            write_sheet(
                self.options.out / sheet,
                runner.checkpoint, job.method, contents, shown, self.held_out.device,
            )  # fmt: skip
            result.sheet = sheet.as_posix()
        except Exception as error:  # a plug-in may raise anything
            # the checkpoint is there, so the training did not fail
            result.reason = f"not examined: {message_of(error)}"
            _log.warning("%s was not examined: %s", runner.name, message_of(error))
        finally:
            took = time.perf_counter() - began
            self._examining += took
            times[-1] += took
        self.results.write(self.options.out)

    def _complete_card(self, runner: Runner) -> None:
        """Write what the training itself does not know into the card of the checkpoint."""
        checkpoint, result = runner.checkpoint, runner.result
        assert checkpoint is not None
        assert checkpoint.path is not None
        card = checkpoint.card.model_copy(
            update={
                "licence": self.licence,
                "held_out_loss": result.held_out_loss,
                "held_out_loss_of_start": result.held_out_loss_of_start,
            }
        )
        write_json(checkpoint.path.with_suffix(".json"), card.model_dump(mode="json"))
        runner.checkpoint = Checkpoint(card, checkpoint.path)

    def _failed(self, result: Result, error: BaseException) -> None:
        result.status, result.reason = FAILED, message_of(error)
        _log.debug("%s failed", result.name, exc_info=error)
        self.listener.note(f"{result.name} failed: {result.reason}")

    # -- time ---------------------------------------------------------------------------------

    def _due(self, names: Sequence[str]) -> dict[str, float]:
        """Return the seconds of training that are due to some trainings now.

        Time is kept for preparing the trainings after them and for writing all checkpoints.
        """
        trainings = self.results.trainings
        waiting = [name for name in self._waiting if trainings[name].status != FAILED]
        later = len([name for name in waiting if name not in names])
        # the first preparation of a process also loads modules and the loss network
        first, *others = self._preparing or [0.0]
        one = median(others) if others else first / 4
        reserve = one * later + sum(self._finish_time(name) for name in waiting)
        left = max(0.0, self.deadline.left())
        # training comes first, also where all other work would take the whole time
        available = left - min(reserve, _MOST_RESERVED * left)
        shares = {name: trainings[name].share for name in waiting}
        due = owed(shares, self.results.spent(), available)
        return {name: due.get(name, 0.0) for name in names}

    def _finish_time(self, name: str) -> float:
        """Return the expected seconds of writing a checkpoint, its held-out loss and its sheet."""
        result = self.results.trainings[name]
        if result.kind in self._finishing:
            return median(self._finishing[result.kind])
        if self._finishing:
            return median(median(times) for times in self._finishing.values())
        return _FINISH + _FINISH_STEPS * (result.step_seconds or 0.0)
