"""Adversarial networks and objectives: layer tables, the 70 px patch, the optimum of the game."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from nstbench.nn.generators.gan import OBJECTIVES, PicturePool, draw_exchange
from nstbench.nn.generators.patchgan import PatchGan
from nstbench.nn.generators.residual_generator import (
    PlainInstanceNorm,
    ResidualGenerator,
    initialise,
)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_generators_are_as_large_as_the_papers(blocks: int, count: int) -> None:
    assert _parameters(ResidualGenerator(blocks)) == count


def test_generator_keeps_size_and_range() -> None:
    generator = ResidualGenerator(1, width=4)
    pictures = generator(torch.rand(2, 3, 32, 44) * 2 - 1)
    assert pictures.shape == (2, 3, 32, 44)
    assert float(pictures.detach().abs().max()) <= 1


def receptive_field(network: nn.Module) -> int:
    """Return the side in pixels of the patch that one output of a chain of convolutions sees."""
    field, spacing = 1, 1
    for step in network.modules():
        if isinstance(step, nn.Conv2d):
            field += (step.kernel_size[0] - 1) * spacing
            spacing *= step.stride[0]
    return field


def test_discriminator_is_the_papers() -> None:
    discriminator = PatchGan()
    assert _parameters(discriminator) == 2_764_737
    assert receptive_field(discriminator) == 70
    widths = [step.out_channels for step in discriminator if isinstance(step, nn.Conv2d)]
    assert widths == [64, 128, 256, 512, 1]
    kinds = [type(step).__name__ for step in discriminator]
    assert kinds[:3] == ["AlignedConv2d", "LeakyReLU", "AlignedConv2d"]
    assert kinds.count("PlainInstanceNorm") == 3


def test_plain_instance_norm_is_torchs() -> None:
    x = torch.randn(3, 5, 8, 9).exp()
    torch.testing.assert_close(PlainInstanceNorm()(x), nn.functional.instance_norm(x))


def test_one_score_depends_on_exactly_70_by_70_pixels() -> None:
    # Instance normalisation looks at the whole picture, so the patch is that of the convolutions.
    convolutions = nn.Sequential(*(step for step in PatchGan(2) if isinstance(step, nn.Conv2d)))
    pixels = torch.rand(1, 3, 128, 128, requires_grad=True)
    scores = convolutions(pixels)
    assert scores.shape == (1, 1, 14, 14)
    scores[0, 0, 7, 7].backward()
    assert pixels.grad is not None
    touched = pixels.grad[0].abs().sum(0).nonzero()
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [70, 70]


def test_initial_weights_are_drawn_with_the_papers_deviation() -> None:
    generator = ResidualGenerator(1, width=32)
    initialise(generator)
    weights = torch.cat([p.flatten() for n, p in generator.named_parameters() if "weight" in n])
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert all(not p.any() for n, p in generator.named_parameters() if "bias" in n)


# --- the pool --------------------------------------------------------------------------------


def test_the_pool_is_that_of_the_authors() -> None:
    """The same exchanges as with a list of pictures, one picture after the other."""
    size, batch = 5, 3
    pool = PicturePool(torch.zeros(size, 1, 1, 1))
    pictures: list[float] = []
    returned = 0
    for step in range(40):
        made = torch.arange(batch, dtype=torch.float32).view(-1, 1, 1, 1) + 1 + step * batch
        taken, kept = draw_exchange(
            size, min(size, step * batch), batch, torch.Generator().manual_seed(step)
        )
        found = pool.exchange(made, taken, kept).flatten().tolist()
        generator = torch.Generator().manual_seed(step)
        wanted = []
        for picture in made.flatten().tolist():
            if len(pictures) < size:
                pictures.append(picture)
                wanted.append(picture)
            elif float(torch.rand((), generator=generator)) < 0.5:
                wanted.append(picture)
            else:
                place = int(torch.randint(size, (), generator=generator))
                wanted.append(pictures[place])
                pictures[place] = picture
                returned += 1
        assert found == wanted
        assert pool.pictures.flatten().tolist()[: len(pictures)] == pictures
    assert 30 < returned < 85


def test_full_pool_exchanges_half_of_the_pictures_and_keeps_its_size() -> None:
    pool, generator = PicturePool(torch.zeros(50, 1, 1, 1)), torch.Generator().manual_seed(0)
    passed = []
    for number in range(1, 2001):
        given = torch.full((1, 1, 1, 1), float(number))
        passed.append(float(pool.exchange(given, *draw_exchange(50, 50, 1, generator))) == number)
    assert np.mean(passed) == pytest.approx(0.5, abs=0.05)
    kept = [float(picture) for picture in pool.pictures]
    # A picture stays for 100 steps on average, so among 50 the oldest is some 400 old.
    assert len(kept) == 50
    assert 1200 < min(kept) < max(kept) <= 2000


# --- objectives ----------------------------------------------------------------------------


def test_objectives_equal_their_formulas() -> None:
    real, fake = torch.tensor([1.3, -0.4]), torch.tensor([0.2, 2.5, -1.0])
    d_real, d_fake = 1 / (1 + np.exp(-real.numpy())), 1 / (1 + np.exp(-fake.numpy()))
    value = np.log(d_real).mean() + np.log(1 - d_fake).mean()
    for name in ("minimax", "non_saturating"):
        assert float(OBJECTIVES[name].discriminator(real, fake)) == pytest.approx(-value, rel=1e-5)
    saturating = OBJECTIVES["minimax"].generator(fake)
    assert float(saturating) == pytest.approx(np.log(1 - d_fake).mean(), rel=1e-5)
    heuristic = OBJECTIVES["non_saturating"].generator(fake)
    assert float(heuristic) == pytest.approx(-np.log(d_fake).mean(), rel=1e-5)
    squares = OBJECTIVES["least_squares"]
    expected = ((real.numpy() - 1) ** 2).mean() + (fake.numpy() ** 2).mean()
    assert float(squares.discriminator(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert float(squares.generator(fake)) == pytest.approx(((fake.numpy() - 1) ** 2).mean())


def test_only_the_heuristic_gradient_survives_a_winning_discriminator() -> None:
    gradients = {}
    for name in ("minimax", "non_saturating"):
        fake = torch.tensor([-12.0], requires_grad=True)
        OBJECTIVES[name].generator(fake).backward()
        assert fake.grad is not None
        gradients[name] = float(fake.grad)
    assert abs(gradients["minimax"]) < 1e-4
    assert gradients["non_saturating"] == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "half", "least"),
    [("minimax", 0.0, math.log(4)), ("least_squares", 0.5, 0.5)],
)
def test_the_best_discriminator_of_equal_distributions_says_one_half(
    name: str, half: float, least: float
) -> None:
    """Goodfellow et al., proposition 1: D* = p / (p + q), which is 1/2 where p = q."""
    scores, loss = _best_discriminator(name, np.array([0.2, 0.5, 0.3]), np.array([0.2, 0.5, 0.3]))
    np.testing.assert_allclose(scores, half, atol=1e-4)
    assert loss == pytest.approx(least, abs=1e-6)


def test_the_best_discriminator_of_a_mixture_is_the_ratio_of_densities() -> None:
    p, q = np.array([0.1, 0.6, 0.3]), np.array([0.5, 0.2, 0.3])
    logits, _ = _best_discriminator("minimax", p, q)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), p / (p + q), atol=1e-4)
    scores, _ = _best_discriminator("least_squares", p, q)
    np.testing.assert_allclose(scores, p / (p + q), atol=1e-4)


def _best_discriminator(name: str, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, float]:
    """Minimise the discriminator's loss over a score per point of a discrete mixture.

    Ten samples stand for each tenth of probability, so sample means are expectations.
    """
    points = torch.arange(len(p))
    real = points.repeat_interleave(torch.tensor(np.rint(p * 10).astype(int)))
    fake = points.repeat_interleave(torch.tensor(np.rint(q * 10).astype(int)))
    scores = torch.linspace(-2, 2, len(p), dtype=torch.float64).requires_grad_()
    objective = OBJECTIVES[name].discriminator
    optimizer = torch.optim.LBFGS(
        [scores], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = objective(scores[real], scores[fake])
        loss.backward()
        return loss

    optimizer.step(closure)
    found = scores.detach()
    return found.numpy(), float(objective(found[real], found[fake]))


@pytest.mark.parametrize("name", ["non_saturating", "least_squares"])
def test_a_generator_finds_a_toy_mixture_and_leaves_the_discriminator_at_one_half(
    name: str,
) -> None:
    """A shift and a scale learn N(2, 0.5); then no discriminator can tell the two apart."""
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        deviation, decision = _train_toy(name)
    finally:
        torch.set_rng_state(torch_state)
    assert deviation < 0.1
    assert decision == pytest.approx(0.5, abs=0.05)


def _train_toy(name: str) -> tuple[float, float]:
    objective = OBJECTIVES[name]
    shift, log_scale = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    critic = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizers = (
        torch.optim.Adam([shift, log_scale], 2e-2, betas=(0.5, 0.9)),
        torch.optim.Adam(critic.parameters(), 2e-2, betas=(0.5, 0.9), weight_decay=1e-3),
    )

    def judge(x: torch.Tensor) -> torch.Tensor:
        score: torch.Tensor = critic(torch.stack([x, x.square()], dim=1))
        return score

    averages = []
    for step in range(600):
        real = 2 + 0.5 * torch.randn(128)
        fake = shift + log_scale.exp() * torch.randn(128)
        optimizers[1].zero_grad()
        objective.discriminator(judge(real), judge(fake.detach())).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        objective.generator(judge(fake)).backward()
        optimizers[0].step()
        if step >= 400:
            scores = judge(real).detach()
            decided = scores.sigmoid() if name == "non_saturating" else scores
            final = (float(shift.detach()), float(log_scale.detach().exp()), float(decided.mean()))
            averages.append(final)
    mean, scale, decision = np.mean(averages, axis=0)
    return max(abs(mean - 2), abs(scale - 0.5)), float(decision)
