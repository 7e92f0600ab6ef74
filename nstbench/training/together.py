"""Several trainings in one process: their steps are launched in turns."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nstbench.core.environment import resolve_device
from nstbench.core.errors import message_of, ran_out_of_memory
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
        TrainingError: if a loss or weight is no longer finite, or there is too little memory. The
            other trainings are finished first.
        StoreError: if a folder cannot be written.
    """
    listener = listener or Listener()
    todo = [job for order in orders for job in jobs(order)]
    with isolated(todo[0].order.threads):
        made, failed = run_in_turns(todo, _at_once(todo[0].order), listener)
    errors = [failed[index] for index in sorted(failed)]
    for error in errors[1:]:
        listener.note(str(error))
    if errors:
        raise errors[0]
    return [made[index] for index in sorted(made)]


def run_in_turns(
    todo: Sequence[Job], at_once: int, listener: Listener
) -> tuple[dict[int, Checkpoint], dict[int, TrainingError]]:
    """Launch the steps of several trainings in turns until each has done all of its steps.

    On a GPU, each has a stream of its own, so that kernels of several trainings, which are too
    small for the whole GPU, run at the same time. A training that ends makes room for the next.

    Args:
        todo: the trainings.
        at_once: number of trainings that run at the same time.
        listener: receives progress.

    Returns:
        The checkpoints, and the errors of trainings that cannot go on, by index.
    """
    made: dict[int, Checkpoint] = {}
    failed: dict[int, TrainingError] = {}
    active: dict[int, Loop] = {}
    begun = 0
    listener.stage("train", sum(job.recipe.steps for job in todo))
    while active or begun < len(todo):
        while begun < len(todo) and len(active) < at_once:
            active[begun] = prepare(todo[begun], listener)
            for _ in range(active[begun].done):
                listener.advanced()
            begun += 1
        for index, loop in list(active.items()):
            try:
                if loop.advance():
                    continue
                made[index] = finish(todo[index], loop)
            except (TrainingError, RuntimeError) as error:
                failed[index] = _as_training_error(loop, error)
            del active[index]
    return made, failed


def _as_training_error(loop: Loop, error: Exception) -> TrainingError:
    """Return the error of a loop that cannot go on; raise it again if its kind is unknown."""
    if isinstance(error, TrainingError):
        return error
    if not ran_out_of_memory(error):
        raise error
    return TrainingError(
        f"{loop.folder.stem}: out of memory at step {loop.done} ({message_of(error)}). Train with "
        "a smaller --at-once; the training then continues from its last saved state. Or train with "
        "a smaller --batch or --size, from the beginning"
    )


def _at_once(order: Order) -> int:
    """Return the number of trainings that run at the same time."""
    on_one_gpu = torch.device(resolve_device(order.device)).type == "cuda" and order.devices == 1
    return order.at_once if on_one_gpu else 1
