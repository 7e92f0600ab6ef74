"""L-BFGS in buffers against torch's, and its parts against the formulas."""

from __future__ import annotations

import pytest
import torch

from nstbench.contracts import Diverged
from nstbench.nn.optimise import replay, static_lbfgs
from nstbench.nn.optimise.in_buffers import minimise_in_buffers
from nstbench.nn.optimise.inverse_hessian import InverseHessian
from nstbench.nn.optimise.line_search import Point, interpolated
from nstbench.nn.optimise.minimise import Descent, minimise
from nstbench.nn.optimise.replay import Replayed

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
WANTED = torch.linspace(0.2, 0.8, 48).view(1, 3, 4, 4)


def ignore(*_):
    """Ignore a report."""


def valley(pixels):
    x = pixels.flatten()
    return {"total": (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()}


def mild(pixels):
    slopes = torch.linspace(1, 30, pixels.numel(), device=pixels.device).view_as(pixels)
    distance = pixels - WANTED.to(pixels.device)
    return {"total": (slopes * distance.square() + distance.abs().pow(3)).sum()}


class Network:
    """The distance of two Gram matrices of a small random network."""

    def __init__(self, device):
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.Softplus(),
            torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.Softplus(),
        ).requires_grad_(False).to(device)  # fmt: skip
        self.target = self.gram(torch.rand(1, 3, 24, 24).to(device))

    def gram(self, pixels):
        flat = self.layers(pixels).flatten(2)
        return flat @ flat.mT / flat.shape[2]

    def __call__(self, pixels):
        energy = (self.gram(pixels) - self.target).square().sum()
        return {"style": energy, "total": 1e3 * energy}


def both(start, objective, iterations, **options):
    """Return the pictures of torch's loop and of the one in buffers, and their losses."""
    found = []
    for solve in (minimise, minimise_in_buffers):
        losses = []
        picture = solve(
            start,
            objective,
            Descent("lbfgs", iterations, **options),
            lambda index, parts, to=losses: to.append((index, float(parts["total"]))),
        )
        assert [index for index, _ in losses] == list(range(len(losses)))
        found.append((picture, torch.tensor([value for _, value in losses])))
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("iterations", [0, 1, 2, 7, 30])
def test_losses_are_those_of_torch(device, iterations):
    start = torch.full_like(WANTED, 0.5).to(device)
    (picture, losses), (other, others) = both(start, mild, iterations)
    # where the loss has fallen by six digits, rounding decides
    torch.testing.assert_close(others, losses, rtol=1e-4, atol=1e-6 * float(mild(start)["total"]))
    assert (picture - other).abs().max() < 1e-4
    assert other.shape == start.shape
    assert other.is_contiguous()


@pytest.mark.parametrize("device", DEVICES)
def test_losses_of_a_network_are_those_of_torch(device):
    draw = torch.Generator().manual_seed(3)
    start = torch.rand(1, 3, 24, 24, generator=draw).to(device)
    kept = start.clone()
    (picture, losses), (other, others) = both(start, Network(device), 30)
    # a refused trial may lie anywhere
    least, other_least = (values.cummin(dim=0).values for values in (losses, others))
    torch.testing.assert_close(other_least, least, rtol=1e-4, atol=1e-4 * float(losses[0]))
    assert float(losses[-1]) < 0.1 * float(losses[0])
    assert (picture - other).abs().max() < 0.01
    assert torch.equal(start, kept)


@pytest.mark.parametrize("start", [-0.5, 0.1, 1.5])
def test_line_searches_make_the_trials_of_torch(start):
    """Rosenbrock's valley needs brackets and interpolation; later, rounding errors have grown."""
    (_, losses), (_, others) = both(torch.full_like(WANTED, start), valley, 14)
    torch.testing.assert_close(others, losses, rtol=2e-3, atol=1e-4)
    rises = losses[1:] > losses[:-1]
    assert rises.any(), "no trial was refused"


def test_a_search_continues_from_its_best_picture_after_a_bad_loss():
    for solve in (minimise, minimise_in_buffers):
        seen, reported = [], []

        def breaks_once(pixels, seen=seen):
            seen.append(1)
            return {"total": mild(pixels)["total"] * (torch.inf if len(seen) == 13 else 1.0)}

        found = solve(
            torch.full_like(WANTED, 0.5),
            breaks_once,
            Descent("lbfgs", 60),
            lambda index, _, to=reported: to.append(index),
        )
        assert len(seen) > 25
        assert reported == list(range(len(seen)))
        assert (found - WANTED).abs().max() < 1e-2


def test_the_budget_is_kept_and_the_best_picture_returned():
    for iterations in range(1, 40):
        seen = []
        found = minimise_in_buffers(
            torch.full_like(WANTED, -0.5),
            valley,
            Descent("lbfgs", iterations),
            lambda _, losses, seen=seen: seen.append(float(losses["total"])),
        )
        assert len(seen) == iterations
        assert float(valley(found)["total"]) <= 2 * min(seen)


def test_a_loss_that_is_not_a_number_is_reported_with_its_step():
    seen = []

    def breaks(pixels):
        seen.append(pixels.detach().clone())
        return {"total": mild(pixels)["total"] * (float("nan") if len(seen) > 17 else 1.0)}

    with pytest.raises(Diverged) as caught:
        minimise_in_buffers(torch.full_like(WANTED, 0.5), breaks, Descent("lbfgs", 40), ignore)
    assert caught.value.step == 17
    torch.testing.assert_close(caught.value.last_finite, seen[9].clamp(0, 1))


def test_a_minimum_is_left_alone():
    assert torch.equal(
        minimise_in_buffers(
            WANTED, lambda p: {"total": (p - WANTED).square().sum()}, Descent("lbfgs", 9), ignore
        ),
        WANTED,
    )


def test_the_scale_of_the_loss_does_not_matter():
    start = torch.full_like(WANTED, 0.5)
    found = [
        minimise_in_buffers(
            start, lambda p, s=s: {"total": mild(p)["total"] * s}, Descent("lbfgs", 15), ignore
        )
        for s in (1.0, 2.0**20)
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_buffers_keep_their_places():
    search = static_lbfgs._BufferSearch(torch.full_like(WANTED, 0.5), mild, ignore)
    hessian = search._hessian
    search.budget = 20

    def places():
        return [
            value.data_ptr()
            for owner in (search, hessian)
            for name, value in sorted(vars(owner).items())
            if isinstance(value, torch.Tensor) and name not in {"_limit", "_last_finite"}
        ]

    search._try(0.0)
    before = places()
    search.descend(1.0, 15)
    search.go_back()
    assert places() == before
    assert len(before) >= 20


# --- the direction -----------------------------------------------------------------------------


def two_loops(pairs, gradient):
    """Return the direction of L-BFGS by the usual recursion, in float64."""
    q, factors = -gradient.clone(), []
    for s, y in reversed(pairs):
        factors.append(s.dot(q) / y.dot(s))
        q -= factors[-1] * y
    if pairs:
        s, y = pairs[-1]
        q *= y.dot(s) / y.dot(y)
    for (s, y), factor in zip(pairs, reversed(factors), strict=True):
        q += s * (factor - y.dot(q) / y.dot(s))
    return q


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [5, 4096, 10_000])
def test_directions_are_those_of_two_loops(device, size):
    draw = torch.Generator().manual_seed(size)
    curvature = torch.linspace(0.5, 5.0, size)
    hessian = InverseHessian(size, 4, torch.device(device))
    gradient = torch.randn(size, generator=draw)
    hessian.start(gradient.to(device))
    assert torch.equal(hessian.direction.cpu(), -gradient)
    pairs = []
    for turn in range(11):
        step = 0.3 + 0.1 * turn
        moved = hessian.direction.cpu().double() * step
        refused = turn in (2, 7)
        change = -moved if refused else curvature * moved + 0.02 * moved.norm() / size**0.5
        new = (gradient.double() + change).float()
        hessian.update(new.to(device), torch.tensor(step, device=device))
        if not refused:
            pairs.append((moved, new.double() - gradient.double()))
        gradient = new
        expected = two_loops(pairs[-4:], gradient.double())
        error = (hessian.direction.cpu().double() - expected).norm() / expected.norm()
        assert error < 1e-4
    hessian.start(gradient.to(device))
    assert torch.equal(hessian.direction.cpu(), -gradient)


def test_steps_are_interpolated_by_the_cubic_polynomial():
    def point(x):
        return Point(x, x**3 - 3 * x**2 + 1, 3 * x**2 - 6 * x)

    for one, other in ((0.5, 3.0), (3.0, 0.5), (1.0, 2.5)):
        assert interpolated(point(one), point(other)) == pytest.approx(2.0)
    assert interpolated(point(0.5), point(3.0), (2.2, 9.0)) == 2.2
    assert interpolated(Point(0.0, 1.0, -1.0), Point(0.0, 1.0, -1.0)) == 0.0


# --- replays -----------------------------------------------------------------------------------


def test_a_function_is_recorded_after_warm_ups(monkeypatch):
    calls, recordings = [], []

    class Graph:
        def replay(self):
            calls.append("replay")

    def capture(self):
        recordings.append(len(calls))
        self._graph = Graph()
        return True

    monkeypatch.setattr(replay.Replayed, "_capture", capture)
    function = Replayed(lambda: calls.append("work"), captures=True, warm_ups=3)
    for _ in range(6):
        function()
    assert calls == ["work"] * 3 + ["replay"] * 3
    assert recordings == [3]


def test_a_failed_recording_is_tried_once(monkeypatch):
    calls, tries = [], []
    monkeypatch.setattr(replay.Replayed, "_capture", lambda self: bool(tries.append(1)))
    function = Replayed(lambda: calls.append("work"), captures=True)
    for _ in range(7):
        function()
    assert len(calls) == 7
    assert len(tries) == 1


@pytest.mark.gpu
def test_what_cannot_be_recorded_is_run_and_explained(caplog):
    values = torch.zeros(4, device="cuda")

    def waits():
        values.add_(1)
        float(values.sum())

    with replay.side_stream(values.device):
        function = Replayed(waits, captures=True)
        for _ in range(6):
            function()
        function.release()
    assert values.tolist() == [6.0] * 4
    (message,) = caplog.messages
    assert "not replayed" in message
    # the device still records other functions
    with replay.side_stream(values.device):
        function = Replayed(lambda: values.mul_(2), captures=True, warm_ups=1)
        for _ in range(3):
            function()
        assert function._graph is not None
        function.release()
    assert values.tolist() == [48.0] * 4
    assert len(caplog.messages) == 1
