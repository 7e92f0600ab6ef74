"""Methods that process several pairs at once give the same results as with one pair."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from nstbench.contracts import Diverged, PreparedPair
from nstbench.core.errors import ImageError
from nstbench.generate.conformance.method_checks import example, make
from nstbench.plugins import registry

CPU = torch.device("cpu")
OPTIMISATIONS = [
    ("gatys_2015", {"optimizer": "adam"}),
    ("gatys_2015", {"optimizer": "lbfgs", "coarse_scales": [0.5], "coarse_iterations": [4]}),
    ("novak_nikulin_2016", {"optimizer": "adam", "iterations": 4}),
    ("li_wand_2016", {"coarse_scales": [0.5], "coarse_iterations": [4]}),
    ("champandard_2016", {"coarse_scales": [], "coarse_iterations": []}),
]

WORKS = [(example(kind=c), example(kind=s)) for c, s in ((0, 1), (2, 1), (0, 2))]


def optimisation(name, **params):
    cls = registry.load("methods", name)
    given = {"precision": "float32", "iterations": 6, "init": "content", **params}
    method = cls(cls.Params(**given))
    method.load(CPU)
    return method


def both_ways(method, works):
    """Return pictures and steps of (content, style) pairs one by one, and in a batch."""
    alone, pairs, steps = [], [], [[] for _ in range(2 * len(works))]
    for place, (content, style) in enumerate(works):
        method.prepare(style)
        if content.pixels.dtype == torch.float64:
            method._targets = doubled(method._targets)
        generators = [torch.Generator().manual_seed(place) for _ in range(2)]
        try:
            alone.append(
                method.stylize(content, generator=generators[0], on_step=steps[place].append)
            )
        except (Diverged, ImageError) as error:
            alone.append(error)
        report = steps[len(works) + place].append
        pairs.append(PreparedPair(copy.copy(method), style.name, content, generators[1], report))
    return alone, list(method.stylize_batch(pairs)), steps[: len(works)], steps[len(works) :]


def exact(picture):
    return replace(picture, pixels=picture.pixels.double())


def doubled(targets):
    """Return float32 targets as float64."""
    if isinstance(targets, dict):
        return {name: doubled(target) for name, target in targets.items()}
    return targets.double() if isinstance(targets, torch.Tensor) else targets


def losses(steps):
    return [[float(value) for value in step.losses.values()] for step in steps]


@pytest.mark.usefixtures("network_weights")
class TestOptimisations:
    @pytest.mark.parametrize(("name", "params"), OPTIMISATIONS)
    def test_a_batch_does_the_arithmetic_of_its_pairs(self, name, params):
        """In float64, rounding errors after six steps are far below the tolerance."""
        method = optimisation(name, **params)
        method.network.double()
        works = [(exact(content), exact(style)) for content, style in WORKS]
        alone, batch, steps, steps_of_batch = both_ways(method, works)
        for one, other, content in zip(alone, batch, works, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-6)
            assert (other - content[0].pixels).abs().max() > 0.01, "the picture has changed"
        for one, other in zip(steps, steps_of_batch, strict=True):
            assert [(s.index, s.total) for s in other] == [(s.index, s.total) for s in one]
            torch.testing.assert_close(
                torch.tensor(losses(other)), torch.tensor(losses(one)), rtol=1e-5, atol=1e-6
            )

    def test_in_single_precision_a_few_steps_of_adam_agree_to_rounding(self):
        """Gradients differ in their last bits; Adam amplifies that in pixels without a gradient."""
        method = optimisation("gatys_2015", optimizer="adam", iterations=4, init="noise")
        alone, batch, *_ = both_ways(method, WORKS)
        for one, other in zip(alone, batch, strict=True):
            assert (one - other).abs().mean() < 1e-5
        assert (alone[0] - alone[1]).abs().mean() > 0.01, "each pair has its own noise and content"

    def test_pairs_that_fail_do_not_affect_the_others(self):
        method = optimisation("gatys_2015", optimizer="adam", masks="maps", iterations=11)
        good = example(), example(kind=1)
        unlike = replace(good[0], semantic_map=torch.full_like(good[0].pixels, 0.3))
        broken = replace(good[0], pixels=good[0].pixels * float("nan"))
        alone, batch, *_ = both_ways(method, [good, (unlike, good[1]), (broken, good[1]), good])
        assert [type(one) for one in alone] == [type(one) for one in batch]
        assert isinstance(batch[1], ImageError)
        assert isinstance(batch[2], Diverged)
        assert batch[2].step == alone[2].step
        for place in (0, 3):
            assert (alone[place] - batch[place]).abs().mean() < 1e-5

    def test_every_iteration_is_one_pass_for_all(self):
        method = optimisation("gatys_2015", iterations=6)
        passes = []
        pairs = []
        for content, style in WORKS:
            method.prepare(style)
            generator = torch.Generator()
            pairs.append(PreparedPair(copy.copy(method), "s", content, generator, passes.append))
        passes.clear()
        method.network.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
        method.stylize_batch(pairs)
        assert [count for count in passes if isinstance(count, int)] == [1] * 3 + [3] * 6


@pytest.mark.usefixtures("network_weights")
class TestFeedForward:
    @pytest.mark.parametrize(
        ("name", "passes"),
        [("johnson_2016", 3), ("dumoulin_2017", 2), ("adain_2017", 2), ("ghiasi_2017", 2)],
    )
    def test_pictures_of_one_shape_take_as_few_passes_as_possible(self, name, passes):
        method = make(registry.load("methods", name))
        kinds = [(0, 64, 1), (1, 64, 1), (0, 64, 2), (2, 72, 2)]
        works = [(example(width=w, kind=k), example(kind=style)) for k, w, style in kinds]
        calls = []
        stylize = type(method).stylize

        def counted(self, content, **given):
            calls.append(len(content.pixels))
            return stylize(self, content, **given)

        type(method).stylize = counted
        try:
            alone, batch, *_ = both_ways(method, works)
        finally:
            type(method).stylize = stylize
        assert calls[:4] == [1] * 4
        assert sum(calls[4:]) == 4
        assert len(calls[4:]) == passes
        for one, other in zip(alone, batch, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-4)
        assert (alone[0] - alone[2]).abs().max() > 1e-3, "styles differ"

    def test_noise_is_drawn_from_the_generator_of_each_pair(self):
        class Noisy(registry.load("methods", "ulyanov_2016")):
            quick: ClassVar = {"arch": "texture_net"}

        method = make(Noisy)
        works = [(example(), example(kind=1))] * 2
        alone, batch, *_ = both_ways(method, works)
        for one, other in zip(alone, batch, strict=True):
            assert torch.equal(one, other)
        assert not torch.equal(*alone)
