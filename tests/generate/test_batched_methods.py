"""Methods that process several pairs at once give the same results as with one pair."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
import torch

from nstbench.contracts import PreparedPair
from nstbench.generate.conformance.method_checks import example, make
from nstbench.plugins import registry


def both_ways(method, works):
    """Return pictures of (content, style) pairs one by one, and in a batch."""
    alone, pairs = [], []
    for place, (content, style) in enumerate(works):
        method.prepare(style)
        generators = [torch.Generator().manual_seed(place) for _ in range(2)]
        alone.append(method.stylize(content, generator=generators[0], on_step=ignore))
        pairs.append(PreparedPair(copy.copy(method), style.name, content, generators[1], ignore))
    return alone, list(method.stylize_batch(pairs))


def ignore(_):
    """Ignore a step."""


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
            alone, batch = both_ways(method, works)
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
        alone, batch = both_ways(method, works)
        for one, other in zip(alone, batch, strict=True):
            assert torch.equal(one, other)
        assert not torch.equal(*alone)
