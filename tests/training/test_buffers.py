"""Steps in static buffers, compared with a plain loop and with a replay of their operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_training import built, run
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nstbench.training.steps.buffers import WARM_UP, Steps
from nstbench.training.trainable import Batch

QUICK = {
    "adain_2017": {},
    "cyclegan_2017": {"width": 4, "blocks": 6},
    "dumoulin_2017": {"width": 0.125},
    "ghiasi_2017": {"network": "own", "width": 0.125},
    "johnson_2016": {"width": 0.125},
    "ulyanov_2016": {"arch": "texture_net"},
    "wct_2017": {},
}


def plain_loop(steps: Steps, count: int) -> list[dict[str, float]]:
    """Train without buffers: the batch of every step is made by itself."""
    training, source = steps.training, steps.source

    def descend(name: str, loss: torch.Tensor) -> None:
        training.optimisers[name].zero_grad()
        loss.backward()
        training.optimisers[name].step()

    history = []
    for index in range(count):
        _, random = source.numbers(index)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        crops = source.at(index)
        batch = Batch(
            crops.contents, crops.styles, training.draws(index, generator), training.phase(index)
        )
        if index == 0 or training.phase(index - 1) != training.phase(index):
            training.enter(batch.phase, batch)
        losses = training.step(batch, descend)
        history.append({name: float(loss) for name, loss in losses.items()})
        for schedule in training.schedulers.values():
            schedule.step()
    return history


@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("name", QUICK)
def test_steps_in_buffers_equal_a_plain_loop(name, monkeypatch):
    monkeypatch.setattr("nstbench.training.steps.buffers._MOST_AHEAD", 3)
    count = 9 if name == "wct_2017" else 5
    one, other = (built(name, QUICK[name], 32, 2, "cpu") for _ in range(2))
    losses = run(one, count)
    wanted = plain_loop(other, count)
    for found, plain in zip(losses, wanted, strict=True):
        assert found == pytest.approx(plain, rel=1e-6)
    for key, tensor in one.training.weights().items():
        assert torch.equal(tensor, other.training.weights()[key]), key


class Recorder(TorchDispatchMode):
    """Records operations and runs them again on the same tensors, as a CUDA graph does.

    Reading a value back or drawing a random number is an error, as it is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, Any]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags or "_local_scalar_dense" in str(func):
            raise RuntimeError(f"{func} cannot be captured")
        made = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, made))
        return made

    @torch.no_grad()
    def replay(self) -> None:
        """Run all operations again; each writes its result where it wrote it before."""
        for func, args, kwargs, made in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


def with_constant_rates(steps: Steps) -> Steps:
    """Replace the optimisers by some that read no value back on a CPU."""
    training = steps.training
    training.optimisers = {
        name: torch.optim.SGD([p for group in old.param_groups for p in group["params"]], lr=1e-7)
        for name, old in training.optimisers.items()
    }
    training.schedulers = {}
    return steps


@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("name", QUICK)
def test_operations_of_a_step_can_be_replayed(name, monkeypatch):
    """Each step must do the same operations on the same buffers, or a graph would not equal it."""
    eager, replayed = (with_constant_rates(built(name, QUICK[name], 32, 2, "cpu")) for _ in "ab")
    recorder, step, calls = Recorder(), replayed._step, []

    def recorded() -> None:
        calls.append(0)
        if len(calls) < WARM_UP:
            step()
        elif len(calls) == WARM_UP:
            with recorder:
                step()
        else:
            recorder.replay()

    monkeypatch.setattr(replayed, "_step", recorded)
    wanted, found = (run(steps, WARM_UP + 3) for steps in (eager, replayed))
    assert found == wanted
    assert found[-1] != found[-2]
    for key, tensor in eager.training.weights().items():
        assert torch.equal(tensor, replayed.training.weights()[key]), key
