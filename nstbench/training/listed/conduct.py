"""Carry out a list of trainings in a fixed time."""

from __future__ import annotations

import gc
import logging
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
from nstbench.training.listed.group import ERRORS, Group, Runner, names_of
from nstbench.training.listed.held_out import HeldOut
from nstbench.training.listed.planned import Options, Planned, plan_trainings
from nstbench.training.listed.results import FAILED, WAITING, Result, Results, read_results
from nstbench.training.listed.shares import Deadline, Pace, groups, owed
from nstbench.training.listed.sheet import ROWS, styles_shown, write_sheet
from nstbench.training.listed.training_list import read_list

_log = logging.getLogger(__name__)

_SAVES, _LONGEST_UNSAVED = 20, 120.0
# Writing a checkpoint takes this time and that of a few steps, until it has been measured.
_FINISH, _FINISH_STEPS = 0.3, 10
_TOGETHER = 14
"""Trainings at the same time on a GPU. One of half width needs about a gigabyte."""


def train_list(
    file: Path,
    options: Options,
    deadline: Deadline,
    together: int | None = None,
    listener: Listener | None = None,
) -> Results:
    """Train the checkpoints of a list in a fixed time, and write each with its card and sheet.

    A call with the same folder continues earlier ones: the time of all calls is shared out.

    Args:
        file: the list.
        options: folders and device.
        deadline: the time.
        together: trainings at the same time; 14 on a GPU and 1 on a CPU if ``None``.
        listener: receives progress.

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
    contents = open_dataset(options.contents, "--contents").load(Role.CONTENT).images
    if len(contents) <= options.held_out:
        raise UsageError(
            f"--contents {options.contents}: it has {len(contents)} pictures, and "
            f"{options.held_out} are kept out of training. Give more pictures, or a smaller "
            "--held-out."
        )
    trained = contents[: len(contents) - options.held_out]
    plan = plan_trainings(listed, file, options, trained)
    results = read_results(options.out)
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

    def run(self) -> None:
        """Train every group in turn; finish each before the next begins.

        Raises:
            StoreError: if a folder cannot be written.
        """
        by_name = {one.name: one for one in self.plan}
        for one in self.plan:
            self._begin(one)
        kinds = {one.name: one.kind for one in self.plan}
        self._waiting = list(by_name)
        self.listener.stage("train", len(self.plan))
        try:
            for names in groups(self._waiting, kinds, self.together):
                self._group([by_name[name] for name in names])
                for name in names:
                    self._waiting.remove(name)
                    self.listener.advanced()
        finally:
            self.results.judge([one.name for one in self.plan])

    def _begin(self, one: Planned) -> None:
        """Add the result of a training that no earlier call has begun."""
        result = self.results.trainings.get(one.name)
        if result is None:
            start = one.job.start
            result = Result(
                name=one.name,
                kind=one.kind,
                share=one.share,
                start="" if start is None else start.name,
                start_sha256="" if start is None else start.card.sha256,
            )
            self.results.trainings[one.name] = result
        result.share = one.share
        if result.status == FAILED:
            result.status, result.reason = WAITING, ""

    def _group(self, group: Sequence[Planned]) -> None:
        due = self._due([one.name for one in group])
        runners = [
            runner
            for one in group
            if due[one.name] > 0 and (runner := self._prepared(one)) is not None
        ]
        try:
            if runners:
                self._train(runners)
            for runner in runners:
                self._write(runner)
            for runner in runners:
                self._examine(runner)
        finally:
            runners.clear()
            gc.collect()
            if self.held_out.device.type == "cuda":
                torch.cuda.empty_cache()

    def _prepared(self, one: Planned) -> Runner | None:
        """Return a training that is ready to run, or ``None`` if it fails or there is no time."""
        if self.deadline.left() < 0:
            return None
        result = self.results.trainings[one.name]
        began = time.perf_counter()
        self.listener.began(f"{one.name}: preparing")
        try:
            loop = prepare(one.job, _Notes(self.listener))
            # an adversarial training begins with networks that its start does not have
            whole = one.job.method.info.flexibility != Flexibility.DOMAIN
            if loop.done == 0 and one.job.start is not None and whole:
                loss = self.held_out.loss(loop, one.job.styles)
                result.held_out_loss_of_start = loss
        except ERRORS as error:
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
        self.listener.began(f"{', '.join(names_of(runners))}: {seconds:.0f} s")
        group = Group(
            runners=runners,
            pace=Pace({name: part / seconds for name, part in due.items()}),
            failed=lambda runner, error: self._failed(runner.result, error),
            saved=lambda: self.results.write(self.options.out),
            on_gpu=self.held_out.device.type == "cuda",
        )
        group.train(seconds, min(_LONGEST_UNSAVED, self.deadline.seconds / _SAVES))

    # -- writing ------------------------------------------------------------------------------

    def _write(self, runner: Runner) -> None:
        """Write state, checkpoint and card of a training."""
        if runner.loop.done == 0:
            return
        began = time.perf_counter()
        self.listener.began(f"{runner.name}: writing")
        try:
            runner.save()
            runner.checkpoint = finish(runner.planned.job, runner.loop)
            assert runner.checkpoint.path is not None
            runner.result.file, runner.result.reason = runner.checkpoint.path.name, ""
            # losses of an earlier call are not those of this checkpoint
            runner.result.held_out_loss = None
            self._complete_card(runner)
        except ERRORS as error:
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
        if self.deadline.last() < self._finish_time(runner.name):
            result.reason = "there was no time for the held-out loss and the sample sheet"
            return
        began = time.perf_counter()
        self.listener.began(f"{runner.name}: held-out loss and sample sheet")
        try:
            result.held_out_loss = self.held_out.loss(runner.loop, job.styles)
            self._complete_card(runner)
            sheet = Path("sheets") / f"{runner.name}.png"
            contents, known = self.starter
            shown = styles_shown(runner.checkpoint, job.method, job.styles, known)
            write_sheet(
                self.options.out / sheet,
                runner.checkpoint, job.method, contents, shown, self.held_out.device,
            )  # fmt: skip
            result.sheet = sheet.as_posix()
        except ERRORS as error:
            # the checkpoint is there, so the training did not fail
            result.reason = f"not examined: {message_of(error)}"
            _log.warning("%s was not examined: %s", runner.name, message_of(error))
        finally:
            times[-1] += time.perf_counter() - began
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
        available = max(0.0, self.deadline.left() - reserve)
        shares = {name: trainings[name].share for name in waiting}
        due = owed(shares, self.results.spent(), available)
        return {name: due.get(name, 0.0) for name in names}

    def _finish_time(self, name: str) -> float:
        """Return the expected seconds of writing a checkpoint, its held-out loss and its sheet."""
        result = self.results.trainings[name]
        guess = _FINISH + _FINISH_STEPS * (result.step_seconds or 0.0)
        others = [max(times) for times in self._finishing.values()]
        return max(self._finishing.get(result.kind, [guess, *others]))
