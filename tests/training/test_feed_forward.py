"""Tests of transformation networks, their loss, and the methods that train them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nstbench.core.errors import UsageError
from nstbench.generate.conformance.method_checks import call, example, trained_quickly
from nstbench.nn.generators.texture_net import TextureNetwork
from nstbench.nn.generators.transformation_network import (
    Design,
    TransformationNetwork,
    instance_norm,
    mirrored,
)
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.perceptual import PerceptualLoss
from nstbench.nn.losses.terms import CAFFE_SCALE
from nstbench.plugins import registry

DUMOULIN = Design(normalisation="conditional", padding="mirror", upsampling="nearest")
GHIASI = Design(
    normalisation="conditional", padding="mirror", upsampling="nearest", conditioned="expanding"
)


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


class TestPublishedSizes:
    def test_johnson(self):
        assert size(TransformationNetwork(Design())) == 1_679_235
        assert size(TransformationNetwork(Design(width=0.5))) == 424_899

    def test_johnson_layer_table(self):
        """Supplement, table 1: channels, kernels and strides in order."""
        net = TransformationNetwork(Design())
        steps = [*net.contract, *(s for b in net.residual for s in (b.first, b.second))]
        steps += [*net.expand, net.output]
        table = [
            (s.convolution.in_channels, s.convolution.out_channels,
             s.convolution.kernel_size[0], s.convolution.stride[0])
            for s in steps
        ]  # fmt: skip
        assert table == [
            (3, 32, 9, 1), (32, 64, 3, 2), (64, 128, 3, 2), *[(128, 128, 3, 1)] * 10,
            (128, 64, 3, 2), (64, 32, 3, 2), (32, 3, 9, 1),
        ]  # fmt: skip
        assert [s.norm is not None for s in steps] == [True] * 15 + [False]
        assert [s.rectified for s in steps] == [True] * 3 + [True, False] * 5 + [True] * 2 + [False]

    def test_dumoulin(self):
        net = TransformationNetwork(DUMOULIN)
        assert size(net) == 1_674_432
        assert net.conditioned_values == 3_206
        assert round(100 * 3_206 / (1_674_432 + 3_206), 2) == 0.19

    def test_ghiasi(self):
        assert TransformationNetwork(GHIASI).conditioned_values == 2_758

    def test_texture_network(self):
        """117,891 without the 320 scales and shifts of the norms before joining."""
        assert size(TextureNetwork()) == 118_211


class TestTransformationNetwork:
    @pytest.mark.parametrize("padding", ["reflect_start", "mirror", "zero"])
    @pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
    @pytest.mark.parametrize("shape", [(64, 64), (65, 83), (16, 20)])
    def test_output_has_the_size_of_the_input(self, padding, upsampling, shape):
        net = TransformationNetwork(Design(0.125, "instance", padding, upsampling))
        made = net(torch.rand(2, 3, *shape)).detach()
        assert made.shape == (2, 3, *shape)
        assert 0 <= float(made.min()) <= float(made.max()) <= 1

    def test_reflected_border_is_used_up_exactly(self):
        """Ten unpadded convolutions at a quarter of the size use up the border of 40 px."""
        net = TransformationNetwork(Design(0.125)).eval()
        seen = {}
        net.output.register_forward_hook(lambda _, __, out: seen.update(shape=out.shape))
        net(torch.rand(1, 3, 64, 96))
        assert seen["shape"] == (1, 3, 64, 96)

    def test_condition_is_laid_out_norm_by_norm(self):
        """Scaling the last six values only rescales and shifts the output's logits."""
        # Compared before the sigmoid: near 0 and 1 its inverse amplifies rounding errors.
        net = TransformationNetwork(DUMOULIN)
        seen = []
        net.output.register_forward_hook(lambda _, __, out: seen.append(out.detach()))
        values = torch.empty(1, net.conditioned_values)
        net.neutral_condition(values)
        assert float(values.sum()) == net.conditioned_values / 2
        x = torch.rand(1, 3, 32, 32)
        net(x, values)
        changed = values.clone()
        changed[0, -6:-3] = 2.0
        changed[0, -3:] = torch.tensor([0.1, 0.2, 0.3])
        net(x, changed)
        wanted = 2 * seen[0] + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
        torch.testing.assert_close(seen[1], wanted, atol=1e-4, rtol=1e-4)

    def test_conditional_network_needs_a_condition(self):
        with pytest.raises(ValueError, match="scales and shifts"):
            TransformationNetwork(DUMOULIN)(torch.rand(1, 3, 32, 32))


class TestInstanceNorm:
    def test_equals_torch_and_numpy(self):
        x = torch.randn(3, 5, 7, 9, dtype=torch.float32) * 3 + 1
        gamma, beta = torch.randn(3, 5), torch.randn(3, 5)
        made = instance_norm(x, gamma, beta)
        torchs = F.instance_norm(x) * gamma[..., None, None] + beta[..., None, None]
        torch.testing.assert_close(made, torchs, atol=1e-5, rtol=1e-5)
        a = x.double().numpy()
        mean, var = a.mean((2, 3), keepdims=True), a.var((2, 3), keepdims=True)
        numpys = (a - mean) / np.sqrt(var + 1e-5) * gamma.numpy()[..., None, None]
        np.testing.assert_allclose(made, numpys + beta.numpy()[..., None, None], atol=2e-5)

    def test_gradients_are_those_of_torch(self):
        x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(2, 3, 4, 5, dtype=torch.float64)
        one = torch.ones(1, 3)
        (made,) = torch.autograd.grad((instance_norm(x, one, 0 * one) * weight).sum(), x)
        (torchs,) = torch.autograd.grad((F.instance_norm(x) * weight).sum(), x)
        torch.testing.assert_close(made, torchs, atol=1e-6, rtol=1e-5)

    def test_single_position_is_its_own_mean(self):
        x = torch.randn(2, 3, 1, 1)
        made = instance_norm(x, torch.ones(1, 3), torch.full((1, 3), 0.5))
        assert torch.equal(made, torch.full((2, 3, 1, 1), 0.5))

    def test_contrast_of_the_content_has_no_effect(self):
        """Section 2 of the paper: instance normalisation removes contrast."""
        x = torch.rand(1, 4, 16, 16)
        one = torch.ones(1, 4)
        weak = instance_norm(0.3 * x + 0.2, one, 0 * one)
        torch.testing.assert_close(weak, instance_norm(x, one, 0 * one), atol=1e-2, rtol=1e-2)


def test_mirrored_repeats_as_often_as_needed():
    assert mirrored(4, -5, 9).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(1, -2, 3).tolist() == [0] * 5
    x = torch.rand(1, 1, 6, 6)
    rows = mirrored(6, -3, 9)
    assert torch.equal(x[:, :, rows][..., rows], F.pad(x, (3, 3, 3, 3), mode="reflect"))


class TestPerceptualLoss:
    """The loss against NumPy, on a network of two convolutions."""

    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        steps = [
            ("conv1", torch.nn.Conv2d(3, 4, 3, padding=1)), ("relu1", torch.nn.ReLU()),
            ("conv2", torch.nn.Conv2d(4, 5, 3, padding=1)), ("relu2", torch.nn.ReLU()),
        ]  # fmt: skip
        return LayeredNetwork(steps, min_size=1)

    @pytest.mark.parametrize("divide_by", ["n", "chw"])
    def test_equals_numpy(self, network, divide_by):
        loss = PerceptualLoss(
            network, {"relu2": 2.0}, {"relu1": 3.0, "relu2": 5.0}, 1e-3, divide_by
        )
        made, content, style = (
            torch.rand(2, 3, 8, 10),
            torch.rand(2, 3, 8, 10),
            torch.rand(1, 3, 9, 7),
        )
        got = loss(made, content, loss.style_targets(style))

        def features(x, layer):
            return network(x, [layer])[layer].double().numpy() * CAFFE_SCALE

        def gram(f):
            flat = f.reshape(*f.shape[:2], -1)
            divisor = flat.shape[2] * (flat.shape[1] if divide_by == "chw" else 1)
            return flat @ flat.transpose(0, 2, 1) / divisor

        wanted_content = 2.0 * np.mean((features(made, "relu2") - features(content, "relu2")) ** 2)
        wanted_style = sum(
            weight * np.mean((gram(features(made, layer)) - gram(features(style, layer))) ** 2)
            for layer, weight in (("relu1", 3.0), ("relu2", 5.0))
        )
        x = made.double().numpy() * 255
        wanted_tv = (
            1e-3
            * (
                ((x[..., 1:, :-1] - x[..., :-1, :-1]) ** 2)
                + ((x[..., :-1, 1:] - x[..., :-1, :-1]) ** 2)
            ).sum()
        )
        assert float(got["content"]) == pytest.approx(wanted_content, rel=1e-4)
        assert float(got["style"]) == pytest.approx(wanted_style, rel=1e-4)
        assert float(got["tv"]) == pytest.approx(wanted_tv, rel=1e-4)
        total = wanted_content + wanted_style + wanted_tv
        assert float(got["total"]) == pytest.approx(total, rel=1e-4)

    def test_is_zero_for_content_and_style_in_one(self, network):
        loss = PerceptualLoss(network, {"relu2": 1.0}, {"relu1": 1.0})
        x = torch.rand(1, 3, 8, 8)
        assert float(loss(x, x, loss.style_targets(x))["total"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("network_weights")
class TestMethods:
    def test_width_parameter_halves_the_channels(self):
        cls = registry.load("methods", "johnson_2016")
        assert cls(cls.Params()).parameter_count() == 1_679_235
        assert cls(cls.Params(width=0.5)).parameter_count() == 424_899

    def test_normalisation_parameter(self):
        """The parameter ``normalisation`` selects the kind of normalisation layers."""
        cls = registry.load("methods", "johnson_2016")
        for kind, layer in (("batch", torch.nn.BatchNorm2d), ("instance", None)):
            net = cls(cls.Params()).build(cls.Params(normalisation=kind, width=0.125))
            found = any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
            assert found == (layer is not None)

    def test_texture_network_draws_fresh_noise(self):
        cls = registry.load("methods", "ulyanov_2016")
        method = cls(cls.Params(arch="texture_net"))
        net = method.build(method.params)
        x = example().pixels
        drawn = [method.inputs(net, x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        made = [net(*inputs) for inputs in drawn]
        assert torch.equal(made[0], made[1])
        assert not torch.equal(made[0], made[2])

    @pytest.mark.parametrize(("total", "steps", "parts"), [(50_000, 4_000, 2), (50, 49, 24)])
    def test_ulyanov_learning_rate_falls_as_in_the_code(self, total, steps, parts):
        """By 0.8 every 2,000 of 50,000 steps, and in proportion for fewer steps."""
        cls = registry.load("methods", "ulyanov_2016")
        optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1e-3)
        schedule = cls(cls.Params()).schedule(optimiser, lambda: total)
        for _ in range(steps):
            optimiser.step()
            schedule.step()
        assert schedule.get_last_lr()[0] == pytest.approx(1e-3 * 0.8**parts)


@pytest.mark.usefixtures("network_weights")
class TestDumoulin:
    @pytest.fixture
    def method(self):
        cls = registry.load("methods", "dumoulin_2017")

        def make(**params):
            made = cls(cls.Params(**cls.quick, **params))
            made.library = trained_quickly(cls)
            made.load(torch.device("cpu"))
            return made

        return make

    def test_the_end_of_a_mix_is_the_other_style(self, method):
        mixed, other = method(mix={"example2": 1.0}), method()
        mixed.prepare(example(kind=1))
        other.prepare(example(kind=2))
        assert torch.equal(call(mixed, example()), call(other, example()))

    def test_mixing_is_linear_in_the_values(self, method):
        conditions = []
        for share in (0.0, 0.25, 1.0):
            made = method(mix={"example2": share})
            made.prepare(example(kind=1))
            conditions.append(made._condition)
        torch.testing.assert_close(
            conditions[1], 0.75 * conditions[0] + 0.25 * conditions[2], atol=1e-6, rtol=1e-5
        )

    def test_unknown_styles_and_shares_are_explained(self, method):
        with pytest.raises(UsageError, match=r"has no style 'exampl2'\. Did you mean 'example2'"):
            method(mix={"exampl2": 0.5}).prepare(example(kind=1))
        with pytest.raises(ValueError, match="at most 1 together"):
            method(mix={"example1": 0.7, "example2": 0.7})

    def test_a_new_style_changes_only_its_values(self, method, tmp_path, picture_folders):
        from nstbench.training.order import build_order
        from nstbench.training.together import train

        contents, styles = map(str, picture_folders)
        common = {
            "contents": contents, "styles": styles, "size": 32, "batch": 2, "device": "cpu",
            "out": tmp_path, "threads": 1,
        }  # fmt: skip
        text = "dumoulin_2017:width=0.125"
        (first,) = train(build_order(text, {**common, "style": ("s0",), "steps": 2, "name": "a"}))
        more = {"style": ("s1",), "steps": 3, "name": "b", "start": str(first.path)}
        (second,) = train(build_order("dumoulin_2017", {**common, **more}))
        before, after = first.tensors(), second.tensors()
        assert before.keys() == after.keys()
        for name, tensor in before.items():
            assert torch.equal(tensor, after[name]) == (name != "styles.values"), name
        assert second.card.params["width"] == 0.125

    def test_a_start_with_the_same_styles_is_trained_as_a_whole(self, tmp_path, picture_folders):
        from nstbench.training.order import build_order
        from nstbench.training.together import train

        contents, styles = map(str, picture_folders)
        common = {
            "contents": contents, "styles": styles, "size": 32, "batch": 2, "device": "cpu",
            "out": tmp_path, "threads": 1, "steps": 2,
        }  # fmt: skip
        (first,) = train(build_order("dumoulin_2017:width=0.125", {**common, "name": "a"}))
        more = {"name": "b", "start": str(first.path), "learning_rate": 1e-6}
        (second,) = train(build_order("dumoulin_2017", {**common, **more}))
        before, after = first.tensors(), second.tensors()
        for name, tensor in before.items():
            # rounded to float16, but not begun again
            assert torch.allclose(tensor, after[name], atol=1e-3), name
        assert any(not torch.equal(before[n], after[n]) for n in before if n != "styles.values")
        assert [style.name for style in second.card.styles] == ["s0", "s1"]

    @pytest.mark.slow
    def test_interpolation_moves_the_style_monotonically(self, tmp_path, picture_folders):
        """Paper, figure 7: the distance to one style grows with the mix; the other falls."""
        from nstbench.core.records import ImageRecord
        from nstbench.nn.backbones.load import load_backbone
        from nstbench.nn.losses.gram import gram_matrix
        from nstbench.pictures.picture import load_picture
        from nstbench.training.order import build_order
        from nstbench.training.together import train

        contents, folder = picture_folders
        given = {
            "contents": str(contents), "styles": str(folder), "steps": 200, "size": 64, "batch": 2,
            "device": "cpu", "out": tmp_path, "threads": 1, "learning_rate": 0.01,
        }  # fmt: skip
        train(build_order("dumoulin_2017:width=0.25", given))
        network = load_backbone("vgg16")
        pictures = [
            load_picture(ImageRecord(n, folder / f"{n}.png"), 64, "crop") for n in ("s0", "s1")
        ]

        def grams(pixels):
            found = network(pixels, ("relu1_2", "relu2_2"))
            return [gram_matrix(f) for f in found.values()]

        wanted = [grams(picture.pixels) for picture in pictures]
        cls = registry.load("methods", "dumoulin_2017")
        distances = []
        for share in (0.0, 0.5, 1.0):
            method = cls(cls.Params(mix={"s1": share}))
            method.library = _library(tmp_path)
            method.load(torch.device("cpu"))
            method.prepare(pictures[0])
            own = grams(call(method, example()))
            distances.append(
                [sum(float((a - b).norm() / b.norm()) for a, b in zip(own, w)) for w in wanted]  # noqa: B905
            )
        to_first, to_second = zip(*distances, strict=True)
        assert to_first[0] < to_first[1] < to_first[2]
        assert to_second[0] > to_second[1] > to_second[2]


def _library(folder):
    from nstbench.training.checkpoints import Library

    return Library((folder,))


@pytest.mark.slow
@pytest.mark.timeout(600)
# The import of torch's compiler raises DeprecationWarnings.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_networks_paint_the_same_picture():
    from nstbench.nn.generators.runtime import for_inference

    cls = registry.load("methods", "johnson_2016")
    outputs = []
    for compiled in (False, True):
        params = cls.Params(width=0.125, precision="float32", compiled=compiled)
        method = cls(params)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            network = method.build(params)
        method.device = torch.device("cpu")
        method.network = for_inference(network, params, method.device)
        assert (network._compiled_call_impl is not None) is compiled
        generator = torch.Generator()
        outputs.append(method.stylize(example(), generator=generator, on_step=lambda _: None))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-5)


def test_inference_options_play_no_part_in_training():
    """A checkpoint serves every number format, whatever it was trained in."""
    for name in registry.names("methods"):
        cls = registry.load("methods", name)
        if hasattr(cls, "runtime_params") and hasattr(cls, "recipe"):
            params = cls.Params(precision="float32", compiled=True)
            assert not {"precision", "compiled"} & cls(params).decisive_params(given=True).keys()
