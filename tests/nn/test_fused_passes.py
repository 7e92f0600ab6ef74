"""Fused forms of trained networks have the results of the plain ones; graphs repeat a pass."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nstbench.generate.conformance.method_checks import example
from nstbench.nn.generators.decoder import (
    MirroredDecoder,
    build_decoder,
    encode,
    fuse,
    reflect_borders,
)
from nstbench.nn.generators.runtime import InferenceParams, for_inference, picture_of
from nstbench.nn.generators.transformation_network import (
    Design,
    InstanceNorm,
    TransformationNetwork,
)
from nstbench.nn.inference import replay
from nstbench.nn.inference.affine import scale_and_shift, transformed
from nstbench.nn.inference.convolutions import from_few_channels, of_enlarged, to_few_channels
from nstbench.nn.inference.fused_chain import FusedChain
from nstbench.nn.inference.fused_transformation import FusedTransformation
from nstbench.nn.inference.replay import Graphs, Recorded, graphs_of
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.plugins import registry

LAST = torch.channels_last


# --- convolutions ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [16, 17, 18, 24, 26])
@pytest.mark.parametrize(("inputs", "kernel"), [(3, 9), (3, 3), (1, 7), (4, 8)])
def test_a_convolution_of_few_channels_equals_torchs(inputs, kernel, width):
    torch.manual_seed(0)
    weight, x = torch.randn(16, inputs, kernel, kernel), torch.randn(2, inputs, 23, width)
    made = from_few_channels(weight, torch.float32)(x)
    torch.testing.assert_close(made, F.conv2d(x, weight), rtol=1e-4, atol=1e-4)
    assert made.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("width", [16, 17, 18, 20, 22])
@pytest.mark.parametrize(("kernel", "padding"), [(9, 0), (9, 4), (3, 0), (3, 1), (5, 2), (1, 0)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_convolution_to_few_channels_equals_torchs(outputs, kernel, padding, width):
    torch.manual_seed(0)
    weight, x = torch.randn(outputs, 8, kernel, kernel), torch.randn(2, 8, 21, width)
    made = to_few_channels(weight, torch.float32, padding)(x)
    wanted = F.conv2d(x, weight, padding=padding)
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_convolution_after_enlargement_equals_torchs(mirrored):
    torch.manual_seed(0)
    weight, x = torch.randn(5, 4, 3, 3), torch.randn(2, 4, 6, 7)
    enlarged = F.interpolate(x, scale_factor=2.0, mode="nearest")
    around = F.pad(enlarged, (1,) * 4, mode="reflect" if mirrored else "constant")
    small = F.pad(x, (1,) * 4, mode="replicate" if mirrored else "constant")
    phases = F.conv2d(small, of_enlarged(weight))
    made = transformed(phases, torch.ones(1, 5), torch.zeros(1, 5), phases=4)
    torch.testing.assert_close(made, F.conv2d(around, weight), rtol=1e-4, atol=1e-4)


# --- normalisation, rectifier, addition, border ------------------------------------------------


@pytest.mark.parametrize("phases", [1, 4])
def test_scale_and_shift_normalise_like_torch(phases):
    torch.manual_seed(0)
    x = torch.randn(2, 5 * phases, 6, 8) * 3 + 100
    gamma, beta = torch.randn(1, 5), torch.randn(1, 5)
    scale, shift = scale_and_shift(x, gamma, beta, phases)
    made = transformed(x, scale, shift, phases=phases)
    plain = transformed(x, torch.ones(1, 5), torch.zeros(1, 5), phases=phases)
    wanted = F.instance_norm(plain) * gamma[..., None, None] + beta[..., None, None]
    torch.testing.assert_close(made, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize(("border", "repeated"), [(0, False), (1, True), (4, False)])
def test_all_that_follows_a_convolution_equals_torchs(rectified, border, repeated):
    torch.manual_seed(0)
    x, added = torch.randn(2, 3, 6, 8), torch.randn(2, 3, 6, 8)
    scale, shift = torch.randn(2, 3), torch.randn(2, 3)
    made = transformed(
        x, scale, shift, rectified=rectified, added=added, border=border, repeated=repeated
    )
    wanted = x * scale[..., None, None] + shift[..., None, None] + added
    wanted = wanted.clamp_min(0) if rectified else wanted
    if border:
        wanted = F.pad(wanted, (border,) * 4, mode="replicate" if repeated else "reflect")
    torch.testing.assert_close(made, wanted)
    low = transformed(x.bfloat16(), scale, shift, border=border)
    assert low.dtype == torch.bfloat16
    assert low.is_contiguous(memory_format=LAST)


KERNELS = """
import itertools, sys
import torch
from nstbench.nn.inference import affine, affine_kernels

device, checked = torch.device(sys.argv[1]), 0
torch.manual_seed(0)
cases = (
    (32, 1, (23, 27), 2, torch.bfloat16), (12, 1, (40, 9), 1, torch.float32),
    (16, 4, (7, 5), 3, torch.bfloat16), (128, 4, (42, 51), 1, torch.bfloat16),
)
for channels, phases, (height, width), batch, dtype in cases:
    x = torch.randn(batch, channels * phases, height, width, device=device) * 3 + 20
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    for rows in {1, batch}:
        condition = torch.randn(rows, 5 + 2 * channels, device=device)
        gamma, beta = condition[:, 5 : 5 + channels], condition[:, 5 + channels :]
        affine._working = False
        wanted = affine.scale_and_shift(x, gamma, beta, phases)
        own = affine_kernels.scale_and_shift(x, gamma, beta, phases, affine.EPSILON)
        for one, other in zip(own, wanted):
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-4)
        for rectified, adds, (border, repeated), one_row in itertools.product(
            (False, True), (False, True), ((0, False), (1, True), (4, False)), (False, True)
        ):
            # each combination takes a GPU's compiler a third of a second
            few = device.type == "cuda" or phases * channels == 512
            if few and (rectified, adds) != (border == 4, border == 1):
                continue
            factor = 2 if phases == 4 else 1
            more = torch.randn(batch, channels, factor * height + 4, factor * width + 4,
                               device=device)
            more = more.to(dtype).contiguous(memory_format=torch.channels_last)
            options = dict(rectified=rectified, added=more[:, :, 2:-2, 2:-2] if adds else None,
                           phases=phases, border=border, repeated=repeated)
            values = [part[:1] if one_row else part for part in wanted]
            plain = affine.transformed(x, *values, **options)
            fused = affine_kernels.transformed(x, *values, **options)
            assert fused.shape == plain.shape and fused.dtype == plain.dtype
            assert fused.is_contiguous(memory_format=torch.channels_last)
            close = 1e-2 if dtype == torch.bfloat16 else 1e-5
            torch.testing.assert_close(fused.float(), plain.float(), rtol=close, atol=1e-4)
            checked += 1
print(checked)
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_kernels_have_the_results_of_torch(device):
    """On a CPU, Triton interprets them."""
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    if device == "cpu":
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-c", KERNELS, device]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (24 * 5 + 6 if device == "cpu" else 6 * 6)


# --- transformation networks -------------------------------------------------------------------


def network_of(design: Design) -> TransformationNetwork:
    """Return a frozen network whose normalisations all matter."""
    torch.manual_seed(1)
    network = TransformationNetwork(design).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.BatchNorm2d | InstanceNorm):
            module.weight.uniform_(0.5, 2)
            module.bias.normal_()
    return network


DESIGNS = [
    Design(0.25, norm, padding, upsampling, conditioned)
    for norm, padding, upsampling, conditioned in itertools.product(
        ("batch", "instance", "conditional"),
        ("reflect_start", "mirror", "zero"),
        ("transposed", "nearest"),
        ("all", "expanding"),
    )
    if norm == "conditional" or conditioned == "all"
]


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_a_fused_network_makes_the_same_picture(design):
    network = network_of(design)
    for shape in ((1, 3, 40, 56), (2, 3, 45, 33)):
        pixels, condition = torch.rand(shape), None
        if network.conditioned_values:
            condition = torch.randn(shape[0], network.conditioned_values)
        network.fused = None
        plain = network(pixels, condition)
        network.fused = FusedTransformation(network, torch.float32)
        torch.testing.assert_close(network(pixels, condition), plain, rtol=0, atol=2e-4)
        network.fused = FusedTransformation(network, torch.bfloat16)
        assert (network(pixels, condition) - plain).abs().mean() < 0.05


def test_small_pictures_take_the_plain_form():
    network = network_of(Design(0.25, "instance", "mirror", "nearest"))
    pixels = torch.rand(1, 3, 12, 9)
    plain = network(pixels)
    network.fused = FusedTransformation(network, torch.float32)
    assert torch.equal(network(pixels), plain)


# --- encoders and decoders ---------------------------------------------------------------------


def chains(mirrored: bool) -> tuple[LayeredNetwork, MirroredDecoder]:
    """Return a narrow encoder in the form of VGG, and a decoder, with random weights."""
    torch.manual_seed(2)
    steps: list[tuple[str, nn.Module]] = []
    channels = 3
    for block, (width, count) in enumerate(((8, 2), (16, 2), (24, 1)), 1):
        for index in range(1, count + 1):
            convolution = FrozenConvolution(channels, width, 3, 1, 1)
            steps += [(f"conv{block}_{index}", convolution), (f"relu{block}_{index}", nn.ReLU())]
            channels = width
        steps.append((f"pool{block}", nn.MaxPool2d(2, 2)))
    encoder = LayeredNetwork(steps, min_size=8)
    decoder = build_decoder("vgg16", "relu3_1", torch.device("cpu")).eval().requires_grad_(False)
    return reflect_borders(encoder) if mirrored else encoder, decoder


@pytest.mark.parametrize("layer", ["relu1_1", "relu1_2", "relu2_1", "relu3_1"])
@pytest.mark.parametrize("mirrored", [True, False])
@torch.no_grad()
def test_a_fused_encoder_gives_the_same_activations(mirrored, layer):
    encoder, _ = chains(mirrored)
    pixels = torch.rand(2, 3, 24, 37)
    plain = encode(encoder, pixels, (layer,))[layer]
    fuse(encoder, torch.float32)
    close = encode(encoder, pixels, (layer,))[layer]
    torch.testing.assert_close(close, plain, rtol=1e-4, atol=1e-5)
    fuse(encoder, torch.bfloat16)
    rough = encode(encoder, pixels, (layer,))[layer]
    assert rough.dtype == torch.bfloat16, "the fused form is used"
    assert (rough - plain).abs().mean() < 0.02 * plain.abs().mean()
    assert encode(encoder, pixels, ("relu1_1", layer))[layer].dtype == torch.float32


@torch.no_grad()
def test_a_fused_decoder_gives_the_same_picture():
    _, decoder = chains(True)
    features = torch.rand(2, 256, 7, 9)
    plain = decoder(features)
    fuse(decoder, torch.float32)
    torch.testing.assert_close(decoder(features), plain, rtol=1e-4, atol=1e-5)
    fuse(decoder, torch.bfloat16)
    assert (decoder(features) - plain).abs().mean() < 0.05 * plain.abs().mean()


def test_other_steps_are_refused():
    steps = [("conv", nn.Conv2d(3, 8, 3, stride=2, padding=1))]
    with pytest.raises(ValueError, match="conv"):
        FusedChain(steps, torch.float32)
    average = LayeredNetwork([("conv", nn.Conv2d(3, 8, 3, 1, 1)), ("p", nn.AvgPool2d(2))], 2)
    fuse(average, torch.bfloat16)
    assert encode(average, torch.rand(1, 3, 8, 8), ("conv",))["conv"].dtype == torch.float32


# --- graphs ------------------------------------------------------------------------------------


def again(call):
    """Record a call as on a GPU, where a graph repeats it."""
    call()
    return call


class Sum(nn.Module):
    """Counts its calls."""

    calls = 0

    def forward(self, *inputs):
        self.calls += 1
        return sum(inputs[1:], inputs[0])


def test_a_recorded_pass_gives_the_output_of_its_inputs_in_memory_of_its_own():
    first, second = torch.rand(2, 3), torch.rand(2, 3)
    recorded = Recorded(lambda one, other: one * other, (first, second), again)
    made = recorded(first, second)
    later = recorded(second, second)
    assert torch.equal(made, first * second)
    assert torch.equal(later, second * second)
    assert torch.equal(recorded(second, first), made)


def test_shapes_are_recorded_when_they_repeat_and_the_oldest_are_dropped():
    network, graphs, recordings = Sum(), Graphs(most=2), []

    def recorder():
        recordings.append(1)
        return again

    def call(size):
        x = torch.full((size,), float(size))
        assert torch.equal(graphs.call(network, (x, x), recorder), 2 * x)

    call(1)
    assert (len(graphs), len(recordings)) == (0, 0)
    for _ in range(3):
        call(1)
    assert (len(graphs), len(recordings)) == (1, 1)
    for size in (2, 2, 1, 3, 3):
        call(size)
    assert (len(graphs), len(recordings)) == (2, 3)
    call(1)
    assert len(recordings) == 3, "used more recently than the second"
    call(2)
    call(2)
    assert len(recordings) == 4


def test_a_network_that_cannot_be_recorded_says_so_once_and_works(caplog):
    def refuses():
        raise RuntimeError("operation not permitted when stream is capturing")

    network, graphs, x = Sum(), Graphs(), torch.ones(2)
    for _ in range(4):
        assert torch.equal(graphs.call(network, (x, x), refuses), 2 * x)
    assert len(caplog.records) == 1
    assert "stream is capturing" in caplog.text


def test_too_little_memory_for_a_graph_refuses_these_shapes_only(caplog):
    def recorder():
        if len(graphs) == 0 and not caplog.records:
            raise RuntimeError("CUDA out of memory")
        return again

    network, graphs = Sum(), Graphs()
    for size in (5, 5, 5, 2, 2, 2):
        x = torch.ones(size)
        assert torch.equal(graphs.call(network, (x, x), recorder), 2 * x)
    assert len(caplog.records) == 1
    assert len(graphs) == 1


def test_graphs_are_freed_with_their_network():
    network = Sum()
    graphs = weakref.ref(graphs_of(network))
    assert graphs_of(network) is graphs()
    del network
    gc.collect()
    assert graphs() is None


@pytest.fixture
def repeated(monkeypatch):
    """Take the way of a GPU on the CPU, with a function that calls again instead of a graph."""
    recordings = []

    def called(network, *inputs):
        def recorder():
            recordings.append([tuple(each.shape) for each in inputs])
            return again

        return graphs_of(network).call(network, inputs, recorder)

    monkeypatch.setattr("nstbench.nn.generators.runtime.replayed", called)
    return recordings


PARAMS = [
    ("johnson_2016", {"width": 0.125}), ("ulyanov_2016", {"width": 0.125}),
    ("ulyanov_2016", {"arch": "texture_net"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params"), PARAMS, ids=str)
def test_a_method_gives_the_same_pictures_by_repetition(repeated, name, params):
    cls = registry.load("methods", name)
    method = cls(cls.Params(**params, precision="float32"))
    method.device = torch.device("cpu")
    method.network = for_inference(method.build(method.params), method.params, method.device)

    def stylised(content, seed):
        generator = torch.Generator().manual_seed(seed)
        return method.stylize(content, generator=generator, on_step=lambda _: None)

    contents = [example(48, 40, kind=kind) for kind in (0, 1)]
    plain = [stylised(content, seed) for content in contents for seed in (0, 1)]
    replayed = [stylised(content, seed) for content in contents for seed in (0, 1)]
    for one, other in zip(plain, replayed, strict=True):
        assert torch.equal(one, other)
    assert len(repeated) == 1


# --- on a GPU ----------------------------------------------------------------------------------


def on_gpu(name, params):
    """Return a method with random weights on the GPU and the same one in float32 on the CPU."""
    pair = []
    for device, precision in (("cuda", "auto"), ("cpu", "float32")):
        cls = registry.load("methods", name)
        method = cls(cls.Params(**params, precision=precision))
        method.device = torch.device(device)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            network = method.build(method.params)
        method.network = for_inference(network, method.params, method.device)
        pair.append(method)
    return pair


def stylise(method, side, kind, batch=1):
    """Return the picture of a method on the CPU."""
    content = example(*side, kind=kind)
    pixels = content.pixels.repeat(batch, 1, 1, 1).to(method.device)
    generator = torch.Generator().manual_seed(kind)
    return method.stylize(
        type(content)(pixels, "content"), generator=generator, on_step=lambda _: None
    ).cpu()


@pytest.mark.gpu
@pytest.mark.parametrize("width", [0.25, 1.0])
@pytest.mark.parametrize("name", ["johnson_2016", "ulyanov_2016"])
def test_replays_equal_the_first_call_and_the_cpu(name, width, caplog):
    method, exact = on_gpu(name, {"width": width})
    sides = ((96, 128), (101, 77))
    eager = {side: stylise(method, side, 0) for side in sides}
    for _ in range(3):
        for side in sides:
            assert (stylise(method, side, 1) - stylise(exact, side, 1)).abs().mean() < 0.02
            again = stylise(method, side, 0)
            torch.testing.assert_close(again, eager[side], rtol=0, atol=1e-3)
    assert len(graphs_of(method.network)) == 2
    assert not caplog.records, "neither graphs nor kernels fell back"


@pytest.mark.gpu
def test_noise_is_an_input_of_the_graph():
    method, exact = on_gpu("ulyanov_2016", {"arch": "texture_net"})
    for kind in (0, 1, 0, 1):
        difference = stylise(method, (64, 96), kind) - stylise(exact, (64, 96), kind)
        assert difference.abs().mean() < 0.02
    assert len(graphs_of(method.network)) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_conditions_are_inputs_of_the_graph(upsampling, caplog):
    design = Design(0.5, "conditional", "mirror", upsampling)
    params, device = InferenceParams(), torch.device("cuda")
    exact = network_of(design)
    network = for_inference(network_of(design), params, device)
    pixels = torch.rand(2, 3, 96, 80)
    conditions = [torch.randn(2, exact.conditioned_values) for _ in range(2)]
    for _ in range(3):
        for condition in conditions:
            made = picture_of(network, params, pixels.to(device), condition.to(device))
            assert (made.cpu() - exact(pixels, condition)).abs().mean() < 0.05
    assert len(graphs_of(network)) == 1
    assert not caplog.records


@pytest.mark.gpu
@pytest.mark.parametrize("mirrored", [True, False])
@torch.inference_mode()
def test_chains_on_a_gpu_give_what_they_give_on_a_cpu(mirrored, caplog):
    device, pixels = torch.device("cuda"), torch.rand(2, 3, 72, 96)
    exact, own = chains(mirrored), chains(mirrored)
    features = torch.rand(2, 256, 12, 9)
    wanted = (encode(exact[0], pixels, ("relu3_1",))["relu3_1"], exact[1](features))
    for network in own:
        for_inference(network, InferenceParams(), device)
    for _ in range(3):
        found = (
            replay.replayed(Encoding(own[0]), pixels.to(device)).float(),
            replay.replayed(own[1], features.to(device)),
        )
        for one, other in zip(found, wanted, strict=True):
            assert (one.cpu() - other).abs().mean() < 0.05 * other.abs().mean()
    assert len(graphs_of(own[1])) == 1
    assert not caplog.records


class Encoding(nn.Module):
    """An encoder up to one layer."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels):
        return encode(self.encoder, pixels, ("relu3_1",))["relu3_1"]


@pytest.mark.gpu
def test_memory_of_graphs_is_bounded_and_freed():
    params, device = InferenceParams(), torch.device("cuda")
    network = for_inference(network_of(Design(0.5, "instance")), params, device)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    seen = []
    for side in range(64, 64 + 8 * 12, 8):
        for _ in range(3):
            picture_of(network, params, torch.rand(1, 3, side, side, device=device))
        seen.append(torch.cuda.memory_reserved() - before)
    assert len(graphs_of(network)) == replay.MOST_GRAPHS
    assert seen[-1] < 4 * max(seen[:4])
    del network
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() - before <= seen[0]
