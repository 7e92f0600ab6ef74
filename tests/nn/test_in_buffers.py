"""The descent in buffers against the usual loop: on the CPU without a graph, on GPUs with one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from nstbench.contracts import Diverged
from nstbench.generate.conformance.method_checks import example
from nstbench.generate.flops import count_flops
from nstbench.nn.losses.patches import PatchLoss, StylePatches
from nstbench.nn.optimise import replay, static_descent, static_lbfgs
from nstbench.nn.optimise.image_optimisation import ImageOptimisation
from nstbench.nn.optimise.in_buffers import minimise_in_buffers
from nstbench.nn.optimise.minimise import Descent, Renewing, minimise
from nstbench.nn.optimise.replay import may_capture
from nstbench.plugins import registry

CLOSE = 1e-3
WANTED = torch.linspace(0.2, 0.8, 48).view(1, 3, 4, 4)


def quadratic(pixels):
    slopes = torch.logspace(0, 2, pixels.numel()).view_as(pixels)
    part = (slopes * (pixels - WANTED).square()).sum()
    return {"content": part, "total": 3 * part}


def both(start, objective, descent):
    """Return pictures and reported losses of the usual loop and of the one in buffers."""
    found = []
    for solve in (minimise, minimise_in_buffers):
        steps = []
        picture = solve(start, objective(), descent, lambda *step, to=steps: to.append(step))
        found.append((picture, steps))
    return found


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("iterations", [0, 1, 9, 10, 37])
def test_a_quadratic_function_is_descended_alike(optimizer, iterations):
    start = torch.full_like(WANTED, 0.5)
    kept = start.clone()
    (picture, steps), (other, others) = both(
        start, lambda: quadratic, Descent(optimizer, iterations)
    )
    assert torch.equal(picture, other)
    assert torch.equal(start, kept)
    assert [index for index, _ in others] == list(range(iterations))
    for (_, losses), (_, more) in zip(steps, others, strict=True):
        assert losses.keys() == more.keys()
        for name, value in losses.items():
            assert float(value) == pytest.approx(float(more[name]), rel=1e-6)


def test_losses_are_read_every_tenth_step():
    seen = []
    calls = iter(range(1000))

    def counted(pixels):
        next(calls)
        return quadratic(pixels)

    minimise_in_buffers(
        torch.full_like(WANTED, 0.5),
        counted,
        Descent("adam", 25),
        lambda index, losses: seen.append((index, next(calls))),
    )
    # evaluations and reports draw from one counter: ten evaluations, then ten reports
    assert [number for index, number in seen][:11] == [*range(10, 20), 30]
    assert [index for index, _ in seen] == list(range(25))


def test_buffers_keep_their_places():
    """A graph reads and writes the addresses that it was captured with."""
    descent = static_descent._Buffers(
        torch.full_like(WANTED, 0.5), quadratic, Descent("adam", 20), lambda *_: None
    )

    def places():
        state = next(iter(descent._optimiser.state.values()))
        tensors = [
            descent._pixels, descent._pixels.grad, descent._scale, descent._history, descent._row,
            *(value for value in state.values() if isinstance(value, torch.Tensor)),
        ]  # fmt: skip
        return [tensor.data_ptr() for tensor in tensors]

    descent._run_step(0)
    before = places()
    for index in range(1, 13):
        descent._run_step(index)
    assert places() == before
    assert len(before) >= 8


@pytest.mark.parametrize(("bad", "step"), [(torch.nan, 12), (torch.inf, 3)])
def test_divergence_is_found_with_its_step(bad, step):
    count = iter(range(100))

    def breaking(pixels):
        loss = (pixels - 0.3).square().sum()
        return {"total": loss * bad if next(count) == step else loss}

    with pytest.raises(Diverged) as caught:
        minimise_in_buffers(
            torch.full_like(WANTED, 0.5), breaking, Descent("adam", 40), lambda *_: None
        )
    assert caught.value.step == step
    assert bool(torch.isfinite(caught.value.last_finite).all())


def test_an_exploding_loss_is_found():
    growth = iter(10.0**power for power in range(100))
    with pytest.raises(Diverged):
        minimise_in_buffers(
            torch.full_like(WANTED, 0.5),
            lambda pixels: {"total": pixels.square().sum() * next(growth)},
            Descent("sgd", 60),
            lambda *_: None,
        )


@pytest.mark.parametrize("every", [1, 4])
def test_targets_are_renewed_where_they_were(every):
    draw = torch.Generator().manual_seed(0)
    features = torch.rand(1, 4, 12, 10, generator=draw)
    style = {"layer": StylePatches.of(torch.rand(1, 4, 9, 9, generator=draw))}

    def objective():
        loss = PatchLoss(style, None, every)
        objective.last = loss
        return Renewing(
            lambda pixels: {"total": loss({"layer": pixels})},
            every,
            lambda pixels: loss.renew({"layer": pixels}),
            lambda pixels: {"total": loss.held({"layer": pixels})},
        )

    (picture, _), (other, _) = both(features, objective, Descent("adam", 23))
    assert torch.equal(picture, other)
    place = objective.last._targets["layer"].mean.data_ptr()
    before = objective.last._targets["layer"].mean.clone()
    objective.last.renew({"layer": features.flip(-1)})
    assert objective.last._targets["layer"].mean.data_ptr() == place
    assert not torch.equal(objective.last._targets["layer"].mean, before)


# --- methods -----------------------------------------------------------------------------------


def variants() -> Iterator[tuple[str, dict]]:
    """Return every image-optimisation method, and each of its losses."""
    for name in registry.names("methods"):
        cls = registry.load("methods", name)
        if issubclass(cls, ImageOptimisation):
            yield name, {}
            if "loss" in cls.Params.model_fields:
                yield name, {"loss": "gram"}


METHODS = list(variants())


@pytest.fixture
def replays(monkeypatch):
    """Return a list that grows by an entry per replay of a CUDA graph."""
    seen = []
    replay_graph = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (seen.append(1), replay_graph(graph))[1]
    )
    return seen


LONG = (12, 14)
"""Evaluations at half and full size."""


def counts(optimizer):
    """Return evaluations at half and full size that leave rounding errors below CLOSE.

    L-BFGS multiplies them: 26 evaluations from two starts that differ by 3e-7 end 0.04 apart.
    """
    return (4, 2) if optimizer == "lbfgs" else LONG


def painted(monkeypatch, name, params, sides, optimizer, device, buffers, evaluations=None):
    coarse, fine = evaluations or counts(optimizer)
    cls = registry.load("methods", name)
    wanted = {
        "precision": "float32", "optimizer": optimizer, "iterations": fine,
        "coarse_scales": [0.5], "coarse_iterations": [coarse], **params,
    }  # fmt: skip
    if "match_every" in cls.Params.model_fields:
        wanted["match_every"] = 5
    method = cls(cls.Params(**wanted))
    content, style = example(*sides), example(80, 70, kind=1)
    content, style = (
        replace(p, pixels=p.pixels.to(device), semantic_map=p.semantic_map.to(device))
        for p in (content, style)
    )
    monkeypatch.setattr(ImageOptimisation, "_in_buffers", lambda self, pixels: buffers)
    method.load(torch.device(device))
    method.prepare(style)
    steps = []
    generator = torch.Generator().manual_seed(0)
    made = method.stylize(content, generator=generator, on_step=steps.append)
    return made.cpu(), steps


@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize(
    ("optimizer", "sides"),
    [
        ("adam", (64, 64)),
        ("lbfgs", (72, 50)),
        pytest.param("adam", (72, 50), marks=pytest.mark.slow),
        pytest.param("lbfgs", (64, 64), marks=pytest.mark.slow),
        pytest.param("sgd", (64, 64), marks=pytest.mark.slow),
        pytest.param("sgd", (72, 50), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("name", "params"), METHODS)
def test_methods_paint_the_same_picture(monkeypatch, name, params, sides, optimizer):
    (made, steps), (other, others) = (
        painted(monkeypatch, name, params, sides, optimizer, "cpu", buffers)
        for buffers in (False, True)
    )
    assert (made - other).abs().max() < CLOSE
    assert [step.index for step in others] == [step.index for step in steps]
    assert len(steps) == sum(counts(optimizer))
    for one, more in zip(steps, others, strict=True):
        assert float(more.losses["total"]) == pytest.approx(float(one.losses["total"]), rel=1e-3)


def test_buffers_are_for_gpus():
    cls = registry.load("methods", "gatys_2015")
    for is_cuda in (False, True):
        assert cls(cls.Params())._in_buffers(SimpleNamespace(is_cuda=is_cuda)) == is_cuda


def test_counted_steps_are_not_replayed():
    on_gpu, answers = SimpleNamespace(is_cuda=True), []
    assert may_capture(on_gpu)

    def counted():
        answers.append(may_capture(on_gpu))
        return torch.ones(4, 5) @ torch.ones(5, 6)

    assert count_flops(counted) == 240
    assert answers == [False]
    assert not may_capture(torch.zeros(1))


@pytest.mark.gpu
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("sides", [(64, 64), (72, 50)])
@pytest.mark.parametrize(("name", "params"), METHODS)
def test_replayed_methods_paint_the_same_picture(
    monkeypatch, caplog, replays, name, params, sides, optimizer
):
    given = name, params, sides, optimizer, "cuda"
    made, _ = painted(monkeypatch, *given, True, LONG)
    assert not caplog.messages, "a step could not be recorded"
    # three of the evaluations of each level are ordinary ones
    assert len(replays) >= sum(LONG) - 2 * 3
    short, steps = painted(monkeypatch, *given, True)
    usual, others = painted(monkeypatch, *given, False)
    # torch's L-BFGS computes the direction by other operations
    distance = (short - usual).abs()
    assert (distance.mean() if optimizer == "lbfgs" else distance.max()) < CLOSE
    for one, more in zip(steps, others, strict=True):
        assert float(more.losses["total"]) == pytest.approx(float(one.losses["total"]), rel=1e-2)
    # the same kernels without a graph
    for module in (replay, static_descent, static_lbfgs):
        monkeypatch.setattr(module, "may_capture", lambda _: False)
    count = len(replays)
    launched, _ = painted(monkeypatch, *given, True, LONG)
    assert len(replays) == count
    assert (made - launched).abs().max() < CLOSE


@pytest.mark.gpu
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_two_replayed_runs_paint_the_same_picture_in_bfloat16(
    monkeypatch, caplog, replays, optimizer
):
    params = {"precision": "bfloat16", "iterations": 40}
    one, two = (
        painted(monkeypatch, "gatys_2015", params, (64, 64), optimizer, "cuda", True)[0]
        for _ in range(2)
    )
    assert replays
    assert not caplog.messages
    assert torch.equal(one, two)


@pytest.mark.gpu
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("params", [{"checkpointing": True}, {"pooling": "max", "tv_weight": 1.0}])
def test_options_of_the_network_can_be_recorded(monkeypatch, caplog, replays, params):
    made, _ = painted(monkeypatch, "gatys_2015", params, (64, 64), "adam", "cuda", True)
    assert len(replays) >= 20
    assert not caplog.messages
    other, _ = painted(monkeypatch, "gatys_2015", params, (64, 64), "adam", "cuda", False)
    # cuDNN's own gradients, which checkpointing uses, may add up in any order
    # cuDNN adds the gradients of float32 convolutions in any order; 26 steps of Adam enlarge that
    limit = 10 * CLOSE if params.get("checkpointing") else CLOSE
    assert (made - other).abs().mean() < limit


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
def test_the_host_waits_at_most_once_per_evaluation(replays, optimizer):
    start = torch.full_like(WANTED, 0.5).cuda()
    wanted = WANTED.cuda()
    slopes = torch.linspace(1, 3, 48, device="cuda").view_as(wanted)

    def objective(pixels):
        return {"total": (slopes * (pixels - wanted).square()).sum()}

    def solve(count):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                minimise_in_buffers(start, objective, Descent(optimizer, count), lambda *_: None)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(each.message) for each in seen)

    waits = solve(60) - solve(20)
    assert replays
    assert waits <= (42 if optimizer == "lbfgs" else 6)
