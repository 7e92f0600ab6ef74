"""Optimisations that share passes through the network, against the same optimisations alone."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial

import pytest
import torch
from torch import nn

from nstbench.contracts import Diverged
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.optimise.minimise import Descent, minimise
from nstbench.nn.optimise.shared_pass import SharedPass

LAYERS = ("relu1", "relu2")
OPTIMISERS = ["adam", "lbfgs", "sgd"]


@pytest.fixture
def network():
    """A small network in float64, whose rounding errors are smaller than any real mistake."""
    torch.manual_seed(0)
    steps = [
        ("conv1", nn.Conv2d(3, 5, 3, padding=1)), ("relu1", nn.ReLU()),
        ("pool1", nn.AvgPool2d(2)),
        ("conv2", nn.Conv2d(5, 4, 3, padding=1)), ("relu2", nn.ReLU()),
    ]  # fmt: skip
    made = LayeredNetwork(steps, min_size=2).double()
    made.passes = []
    made.register_forward_pre_hook(lambda _, given: made.passes.append(len(given[0])))
    return made


class Pair:
    """A picture that is fitted to the activations of another, with a smoothness loss."""

    def __init__(self, network, number, side=12, breaks_at=None, error=None):
        generator = torch.Generator().manual_seed(number)
        self.start, wanted = torch.rand(2, 1, 3, side, side, generator=generator).double()
        self.network, self.together, self.breaks_at = network, None, breaks_at
        self.error, self.seen, self.steps = error, 0, []
        with torch.no_grad():
            self.wanted = network(wanted, LAYERS)

    def objective(self, pixels):
        self.seen += 1
        if self.error is not None and self.seen > self.breaks_at:
            raise self.error
        found = None if self.together is None else self.together.features(pixels, LAYERS)
        found = found or self.network(pixels, LAYERS)
        parts = [(found[name] - self.wanted[name]).square().sum() for name in LAYERS]
        rough = (pixels[..., 1:] - pixels[..., :-1]).square().mean()
        broken = self.breaks_at is not None and self.seen > self.breaks_at
        total = sum(parts) * (float("nan") if broken else 1.0) + rough
        return {"rough": rough, "total": total}

    def work(self, descent, evaluate=None):
        given = () if evaluate is None else (evaluate,)
        report = lambda index, losses: self.steps.append((index, float(losses["total"])))  # noqa: E731
        return minimise(self.start, self.objective, descent, report, *given)


def together(network, pairs, descent):
    shared = SharedPass(network)
    for pair in pairs:
        pair.together = shared
    network.passes.clear()
    return shared.run([partial(pair.work, descent) for pair in pairs])


def threads():
    return {thread for thread in threading.enumerate() if thread is not threading.main_thread()}


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_every_pair_has_the_same_result_as_alone(network, optimizer):
    descent = Descent(optimizer, 25)
    alone = [Pair(network, number) for number in range(3)]
    expected = [pair.work(descent) for pair in alone]
    pairs = [Pair(network, number) for number in range(3)]
    before = threads()
    found = together(network, pairs, descent)
    for ours, theirs, pair, other in zip(found, expected, pairs, alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        assert (ours - pair.start).abs().max() > 0.01, "the picture changed"
        assert [index for index, _ in pair.steps] == list(range(25))
        torch.testing.assert_close(
            torch.tensor(pair.steps), torch.tensor(other.steps), rtol=1e-6, atol=1e-12
        )
    assert network.passes == [3] * 25, "all pairs share each pass"
    assert threads() == before


def test_pictures_of_two_shapes_take_two_passes(network):
    descent = Descent("adam", 4)
    sides = [12, 16, 12]
    expected = [Pair(network, n, side).work(descent) for n, side in enumerate(sides)]
    pairs = [Pair(network, n, side) for n, side in enumerate(sides)]
    found = together(network, pairs, descent)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert network.passes == [2, 1] * 4


@pytest.mark.parametrize("optimizer", OPTIMISERS)
def test_a_pair_that_diverges_does_not_affect_the_others(network, optimizer):
    descent = Descent(optimizer, 30)
    expected = [Pair(network, number).work(descent) for number in range(2)]
    with pytest.raises(Diverged) as alone:
        Pair(network, 7, breaks_at=17).work(descent)
    broken = Pair(network, 7, breaks_at=17)
    found = together(network, [Pair(network, 0), broken, Pair(network, 1)], descent)
    assert isinstance(found[1], Diverged)
    assert found[1].step == alone.value.step == 17
    torch.testing.assert_close(found[1].last_finite, alone.value.last_finite, rtol=0, atol=1e-9)
    for ours, theirs in zip([found[0], found[2]], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert network.passes[0] == 3
    if optimizer != "lbfgs":  # L-BFGS restarts from its best picture
        assert network.passes[-1] == 2


def test_an_objective_that_fails_fails_its_own_pair_only(network):
    descent = Descent("lbfgs", 8)
    expected = Pair(network, 0).work(descent)
    broken = Pair(network, 1, breaks_at=3, error=ValueError("no such patch"))
    found = together(network, [broken, Pair(network, 0)], descent)
    assert found[0] is broken.error
    torch.testing.assert_close(found[1], expected, rtol=0, atol=1e-9)


def test_a_lack_of_memory_in_the_shared_pass_ends_all_pairs(network):
    before = threads()

    def full(module, given):
        if len(module.passes) == 5:
            raise torch.OutOfMemoryError("CUDA out of memory")

    network.register_forward_pre_hook(full)
    pairs = [Pair(network, number) for number in range(3)]
    network.passes.clear()
    with pytest.raises(torch.OutOfMemoryError):
        together(network, pairs, Descent("lbfgs", 20))
    assert threads() == before


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError])
def test_a_lack_of_memory_of_one_pair_ends_all_pairs(network, kind):
    before = threads()
    broken = Pair(network, 1, breaks_at=3, error=kind("no room"))
    pairs = [Pair(network, 0), broken]
    with pytest.raises(kind):
        together(network, pairs, Descent("adam", 20))
    assert threads() == before
    # the same outside of an objective
    shared = SharedPass(network)

    def hungry(evaluate):
        raise kind("no room")

    with pytest.raises(kind):
        shared.run([partial(Pair(network, 0).work, Descent("adam", 20)), hungry])
    assert threads() == before


def test_an_interrupt_ends_all_pairs(network):
    before = threads()

    def interrupted(evaluate):
        # the signal is handled in the main thread, which waits for this thread
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        return Pair(network, 1).work(Descent("adam", 9), evaluate)

    with pytest.raises(KeyboardInterrupt):
        SharedPass(network).run([partial(Pair(network, 0).work, Descent("adam", 9)), interrupted])
    assert threads() == before


def test_threads_end_even_if_a_method_catches_exceptions(network):
    before = threads()

    def stubborn(evaluate):
        for _ in range(10**9):
            try:
                evaluate(Pair(network, 0).objective, torch.rand(1, 3, 12, 12).double(), 1.0)
            except Exception:
                continue

    broken = Pair(network, 1, breaks_at=3, error=MemoryError())
    with pytest.raises(MemoryError):
        SharedPass(network).run([stubborn, partial(broken.work, Descent("adam", 9))])
    assert threads() == before


def test_other_pixels_than_those_of_the_objective_take_their_own_pass(network):
    descent = Descent("adam", 3)

    class Mirrored(Pair):
        def objective(self, pixels):
            return super().objective(pixels.flip(-1))

    expected = Mirrored(network, 0).work(descent)
    found = together(network, [Mirrored(network, 0), Pair(network, 1)], descent)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-9)
    assert network.passes == [1, 2] * 3, "changed pixels take a pass of their own"
