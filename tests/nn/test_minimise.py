"""The optimiser loop on losses whose minimum is known."""

from __future__ import annotations

import pytest
import torch

from nstbench.contracts import Diverged
from nstbench.nn.optimise.minimise import Descent, minimise

WANTED = torch.linspace(0.2, 0.8, 48).view(1, 3, 4, 4)


def quadratic(pixels):
    """An ill-conditioned quadratic function with its minimum at WANTED."""
    slopes = torch.logspace(0, 2, pixels.numel()).view_as(pixels)
    return {"total": (slopes * (pixels - WANTED).square()).sum()}


@pytest.mark.parametrize(
    ("optimizer", "iterations", "distance"),
    [("lbfgs", 60, 1e-3), ("adam", 200, 0.02), ("sgd", 400, 0.05)],
)
def test_reaches_the_minimum(optimizer, iterations, distance):
    start = torch.full_like(WANTED, 0.5)
    kept = start.clone()
    steps = []
    found = minimise(
        start,
        quadratic,
        Descent(optimizer, iterations),
        lambda index, losses: steps.append((index, losses)),
    )
    assert (found - WANTED).abs().max() < distance
    assert torch.equal(start, kept)
    assert [index for index, _ in steps] == list(range(iterations))
    assert not any(losses["total"].requires_grad for _, losses in steps)
    assert float(steps[0][1]["total"]) == pytest.approx(float(quadratic(start)["total"]))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_the_scale_of_the_loss_does_not_matter(optimizer):
    def scaled(factor):
        start = torch.full_like(WANTED, 0.5)
        descent = Descent(optimizer, 15)
        return minimise(
            start, lambda p: {"total": quadratic(p)["total"] * factor}, descent, _ignore
        )

    torch.testing.assert_close(scaled(1.0), scaled(2.0**20), rtol=1e-4, atol=1e-5)


def test_a_zero_gradient_changes_nothing():
    for optimizer in ("lbfgs", "adam", "sgd"):
        found = minimise(WANTED, quadratic, Descent(optimizer, 12), _ignore)
        assert torch.equal(found, WANTED)


def test_no_iterations_return_the_start():
    assert torch.equal(minimise(WANTED, quadratic, Descent("lbfgs", 0), _ignore), WANTED)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_a_loss_that_is_not_a_number_is_reported_with_its_step(optimizer):
    seen = []

    def breaks(pixels):
        seen.append(pixels.detach().clone())
        return {"total": quadratic(pixels)["total"] * (float("nan") if len(seen) > 17 else 1.0)}

    start = torch.full_like(WANTED, 0.5)
    with pytest.raises(Diverged) as caught:
        minimise(start, breaks, Descent(optimizer, 40), _ignore)
    assert caught.value.step == 17
    torch.testing.assert_close(caught.value.last_finite, seen[9].clamp(0, 1))


def test_lbfgs_keeps_its_budget_and_returns_its_best_picture():
    def valley(pixels):
        x = pixels.flatten()
        return {"total": (100 * (x[1:] - x[:-1].square()).square() + (1 - x[:-1]).square()).sum()}

    for iterations in range(1, 40):
        seen = []
        found = minimise(
            torch.full_like(WANTED, -0.5),
            valley,
            Descent("lbfgs", iterations),
            lambda _, losses, seen=seen: seen.append(float(losses["total"])),
        )
        assert len(seen) == iterations
        # no loss is computed after the last step
        assert float(valley(found)["total"]) <= 2 * min(seen)


def test_an_exploding_loss_is_reported():
    def runaway(pixels):
        return {"total": -pixels.pow(2).sum() * 1e3}

    with pytest.raises(Diverged) as caught:
        minimise(
            torch.full_like(WANTED, 0.5),
            lambda p: {"total": -runaway(p)["total"]},
            Descent("sgd", 500, learning_rate=30.0),
            _ignore,
        )
    assert caught.value.last_finite.isfinite().all()
    assert 0 < caught.value.step < 500


def _ignore(index, losses):
    """Ignore a report."""
