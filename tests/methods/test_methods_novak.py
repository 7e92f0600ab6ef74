"""Tests of Novak and Nikulin 2016: each parameter against its formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from nstbench.generate.conformance.method_checks import example
from nstbench.nn.losses.terms import CAFFE_SCALE, cross_gram
from nstbench.plugins import registry

CPU = torch.device("cpu")
OFF = {"geometric_weights": False, "all_layers": False, "shift": 0.0, "chain": False}


def loaded(name, **params):
    cls = registry.load("methods", name)
    method = cls(cls.Params(precision="float32", **params))
    method.load(CPU)
    return method


def losses(method, pixels):
    content, style = example(), example(kind=1)
    method.prepare(style)
    with torch.no_grad():
        found = method.objective(content, method.style_targets(style), 1.0)(pixels)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_cross_layer_gram_matrix_enlarges_the_deeper_map(shift):
    rng = np.random.default_rng(0)
    shallow, deep = rng.normal(size=(4, 12, 8)), rng.normal(size=(6, 3, 2))
    enlarged = deep.repeat(4, axis=1).repeat(4, axis=2)
    expected = (shallow + shift).reshape(4, -1) @ (enlarged + shift).reshape(6, -1).T / 96
    found = cross_gram(
        torch.tensor(shallow[None], dtype=torch.float32),
        torch.tensor(deep[None], dtype=torch.float32),
        shift,
    )
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_gradient_through_a_cross_layer_gram_matrix():
    shallow = torch.rand(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    deep = torch.rand(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, h: cross_gram(f, h, -1.0), (shallow, deep))


class TestPairsAndWeights:
    def method(self, **params):
        cls = registry.load("methods", "novak_nikulin_2016")
        return cls(cls.Params(**params))

    def test_baseline_has_the_five_layers_of_gatys(self):
        pairs = self.method(**OFF)._weights()
        assert list(pairs) == [(f"relu{b}_1",) * 2 for b in range(1, 6)]
        assert set(pairs.values()) == {0.2}

    def test_all_layers(self):
        assert len(self.method(**{**OFF, "all_layers": True})._weights()) == 13
        sixteen = self.method(**{**OFF, "all_layers": True, "network": "vgg19"})._weights()
        assert len(sixteen) == 16

    def test_geometric_weights_halve_from_layer_to_layer(self):
        weights = list(self.method(**{**OFF, "geometric_weights": True})._weights().values())
        np.testing.assert_allclose(np.array(weights) * 31, [16, 8, 4, 2, 1])

    def test_cross_layers_are_all_pairs(self):
        pairs = list(self.method(**{**OFF, "cross_layers": True})._weights())
        assert len(pairs) == 15
        assert all(shallow <= deep for shallow, deep in pairs)

    def test_chain_links_neighbours(self):
        pairs = list(self.method()._weights())
        assert len(pairs) == 12
        assert pairs[0] == ("relu1_1", "relu1_2")
        assert pairs[-1] == ("relu5_2", "relu5_3")
        assert all(left[1] == right[0] for left, right in itertools.pairwise(pairs))


@pytest.mark.usefixtures("network_weights")
class TestLosses:
    def test_without_its_changes_it_is_gatys(self):
        pixels = example(kind=2).pixels
        ours = losses(loaded("novak_nikulin_2016", **OFF), pixels)
        theirs = losses(loaded("gatys_2015"), pixels)
        assert ours == pytest.approx(theirs, rel=1e-5)

    def test_style_loss_of_the_recommended_combination(self):
        method = loaded("novak_nikulin_2016")
        pixels = example(kind=2).pixels
        found = losses(method, pixels)["style"]
        pairs = method._weights()
        grams = []
        with torch.no_grad():
            exact = method.network.double()
            for picture in (pixels, example(kind=1).pixels):
                maps = {
                    name: value[0].numpy()
                    for name, value in exact(picture.double(), method._layers()).items()
                }
                grams.append({pair: self._gram(maps, *pair) for pair in pairs})
        expected = sum(
            weight
            * CAFFE_SCALE**4
            * ((grams[0][pair] - grams[1][pair]) ** 2).sum()
            / (4 * grams[0][pair].size)
            for pair, weight in pairs.items()
        )
        assert found == pytest.approx(expected, rel=1e-4)

    @staticmethod
    def _gram(maps, shallow, deep):
        left, right = maps[shallow] - 1.0, maps[deep] - 1.0
        factor = left.shape[1] // right.shape[1]
        right = right.repeat(factor, axis=1).repeat(factor, axis=2)
        positions = left[0].size
        return left.reshape(len(left), -1) @ right.reshape(len(right), -1).T / positions

    @pytest.mark.parametrize(
        "switch", ["geometric_weights", "all_layers", "shift", "cross_layers", "chain"]
    )
    def test_every_parameter_changes_the_loss_and_can_be_optimised(self, switch):
        on = {"shift": -1.0}.get(switch, True)
        method = loaded("novak_nikulin_2016", iterations=6, init="content", **{**OFF, switch: on})
        baseline = losses(loaded("novak_nikulin_2016", **OFF), example().pixels)["style"]
        assert losses(method, example().pixels)["style"] != pytest.approx(baseline, rel=1e-3)
        steps = []
        method.stylize(example(), generator=torch.Generator(), on_step=steps.append)
        totals = [float(step.losses["total"]) for step in steps]
        assert min(totals) < 0.9 * totals[0]
