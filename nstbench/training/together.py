"""Several trainings in one process: their steps are launched in turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nstbench.core.environment import resolve_device
from nstbench.core.isolation import isolated
from nstbench.plan.listener import Listener
from nstbench.training.checkpoints import Checkpoint
from nstbench.training.job import Job, finish, jobs, prepare
from nstbench.training.loop import Loop, TrainingError
from nstbench.training.order import Order


def train(*orders: Order, listener: Listener | None = None) -> list[Checkpoint]:
    """Carry out orders. Trainings that were interrupted earlier are resumed.

    On one GPU, up to ``Order.at_once`` trainings run at the same time. Otherwise they run one
    after the other. The result of each is the same.

    Args:
        orders: methods, pictures and settings.
        listener: receives progress.

    Returns:
        The checkpoints in the order of the jobs, one per style for methods with a model per style.

    Raises:
        UsageError: if a name, picture or parameter is wrong.
        TrainingError: if a loss or weight is no longer finite. The other trainings that run at
            the same time are finished first.
        StoreError: if a folder cannot be written.
    """
    listener = listener or Listener()
    todo = [job for order in orders for job in jobs(order)]
    made: list[Checkpoint] = []
    while todo:
        count = _at_once(todo[0].order)
        made += _train_group(todo[:count], listener)
        todo = todo[count:]
    return made


def run_in_turns(loops: Sequence[Loop]) -> dict[int, TrainingError]:
    """Launch the steps of several loops in turns until each has done all of its steps.

    On a GPU, each loop has a stream of its own, so that kernels of several trainings, which are
    too small for the whole GPU, run at the same time.

    Returns:
        The errors of loops whose losses or weights are no longer finite, by their index.
    """
    active, failed = dict(enumerate(loops)), {}
    while active:
        for index, loop in list(active.items()):
            try:
                if not loop.advance():
                    del active[index]
            except TrainingError as error:
                failed[index] = error
                del active[index]
    return failed


def _train_group(group: Sequence[Job], listener: Listener) -> list[Checkpoint]:
    with isolated(group[0].order.threads):
        loops = [prepare(job, listener) for job in group]
        listener.stage("train", sum(loop.schedule.steps for loop in loops))
        for _ in range(sum(loop.done for loop in loops)):
            listener.advanced()
        failed = run_in_turns(loops)
        made = [
            finish(job, loop)
            for index, (job, loop) in enumerate(zip(group, loops, strict=True))
            if index not in failed
        ]
    if failed:
        raise next(iter(failed.values()))
    return made


def _at_once(order: Order) -> int:
    """Return the number of trainings that run at the same time."""
    on_one_gpu = torch.device(resolve_device(order.device)).type == "cuda" and order.devices == 1
    return order.at_once if on_one_gpu else 1
