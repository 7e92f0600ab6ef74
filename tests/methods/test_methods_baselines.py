"""Tests of the baselines and Ghiasi 2017 that the conformance suite does not contain."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from nstbench.contracts import Picture
from nstbench.generate.conformance.method_checks import call, example
from nstbench.nn.weights import cache as weights
from nstbench.pictures.picture import fit, resize, to_tensor
from nstbench.plugins import registry

CPU = torch.device("cpu")


def made(name, **params):
    cls = registry.load("methods", name)
    return cls(cls.Params(**params))


def test_copies_are_exact():
    content, style = example(50, 70), example(64, 48, kind=1)
    copy = made("content_copy")
    copy.prepare(style)
    output = call(copy, content)
    assert torch.equal(output, content.pixels)
    assert output.data_ptr() != content.pixels.data_ptr()

    copy = made("style_copy")
    copy.prepare(style)
    assert torch.equal(call(copy, content), resize(style.pixels, (50, 70)))


def test_blend_is_linear():
    content, style = example(), example(kind=1)
    outputs = []
    for amount in (0.0, 0.25, 1.0):
        method = made("pixel_blend", amount=amount)
        method.prepare(style)
        outputs.append(call(method, content))
    for end, pixels in ((outputs[0], content.pixels), (outputs[2], style.pixels)):
        torch.testing.assert_close(end, pixels, rtol=0, atol=0.5 / 255 + 1e-6)
    # A blend is rounded to the levels of a saved picture.
    middle = 0.75 * content.pixels + 0.25 * style.pixels
    torch.testing.assert_close(outputs[1], middle, rtol=0, atol=0.5 / 255 + 1e-6)
    torch.testing.assert_close(outputs[1] * 255, (outputs[1] * 255).round(), rtol=0, atol=1e-4)


class TestReinhard:
    @pytest.fixture
    def module(self):
        import sys

        return sys.modules[registry.load("methods", "reinhard_2001").__module__]

    def test_inverse_transform(self, module):
        pixels = 0.1 + 0.8 * torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
        back = module.to_rgb(module.to_lab(pixels))
        torch.testing.assert_close(back, pixels.double(), rtol=1e-9, atol=1e-9)

    def test_grey_has_no_opponent_colour(self, module):
        grey = torch.linspace(0.1, 1.0, 30).view(1, 1, 5, 6).expand(1, 3, 5, 6)
        lab = module.to_lab(grey)
        assert lab[:, 0].std() > 0.1
        assert (
            lab[:, 1:].abs().max() < 1e-3
        )  # each row of the paper's matrix adds up to 1 except for rounding

    def test_moments_of_the_style_are_reached(self, module):
        content, style = example().pixels, example(kind=1).pixels
        wanted = module.moments(module.to_lab(style))
        found = module.moments(module.transfer(module.to_lab(content), *wanted))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)

    def test_flat_content_takes_the_mean_of_the_style(self, module):
        content, style = torch.full((1, 3, 8, 8), 0.5), example(kind=1).pixels
        mean, std = module.moments(module.to_lab(style))
        found = module.transfer(module.to_lab(content), mean, std)
        torch.testing.assert_close(found, mean.expand_as(found))

    def test_black_and_white_stay_finite(self):
        content = example()
        content.pixels[..., :32] = 0.0
        content.pixels[..., 32:] = 1.0
        method = made("reinhard_2001")
        method.prepare(example(kind=1))
        assert call(method, content).isfinite().all()


class TestGhiasi:
    @pytest.fixture
    def stylize(self):
        cls = registry.load("methods", "ghiasi_2017")
        for weight in cls.info.weights:
            state = weights.availability(weight)
            if not state.ok:
                pytest.skip(f"{weight.name}: {state.reason}")

        def run(content, style, **params):
            method = cls(cls.Params(**params))
            method.load(CPU)
            method.prepare(style)
            return call(method, content)

        return run

    @pytest.mark.parametrize("size", [(16, 16), (40, 300), (300, 40), (384, 384), (500, 333)])
    def test_any_size(self, stylize, size):
        output = stylize(example(*size), example(70, 50, kind=1))
        assert output.shape == (1, 3, *size)
        assert output.min() >= 0
        assert output.max() <= 1

    @pytest.mark.parametrize("box", [(256, 512), (512, 200)])
    def test_structure_stays_in_place(self, stylize, box):
        """A photograph of any proportion hardly changes under its own embedding."""
        pixels = np.ascontiguousarray(skimage.data.astronaut()[: box[0], : box[1]])
        content = Picture(to_tensor(fit(pixels, 240, "inside")), "astronaut")
        output = stylize(content, example(kind=2), interpolation=0.0)
        stacked = torch.stack([p.mean(dim=1).flatten() for p in (output, content.pixels)])
        assert torch.corrcoef(stacked)[0, 1] > 0.85

    def test_interpolation_runs_from_the_contents_embedding_to_the_styles(self, stylize):
        content, style, other = example(), example(kind=1), example(kind=2)
        own = stylize(content, style, interpolation=0.0)
        assert torch.equal(own, stylize(content, other, interpolation=0.0))
        full = stylize(content, style)
        distances = [
            float((stylize(content, style, interpolation=amount) - full).square().mean())
            for amount in (0.0, 0.5, 1.0)
        ]
        assert distances[0] > distances[1] > distances[2] == 0.0
