"""Some steps of every trainable method at several widths and batch sizes."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from random_training import built, run

from nstbench.nn.generators import transformation_network
from nstbench.nn.generators.decoder import build_decoder
from nstbench.nn.generators.patchgan import PatchGan
from nstbench.nn.generators.residual_generator import ResidualGenerator
from nstbench.nn.generators.transformation_network import Design, TransformationNetwork
from nstbench.nn.layers import aligned_convolution
from nstbench.nn.layers.aligned_convolution import padded_convolution
from nstbench.nn.layers.instance_normalisation import normalised_at_once
from nstbench.plugins import registry
from nstbench.training.steps.buffers import WARM_UP, Steps
from nstbench.training.steps.loss_networks import shared_loss_network
from nstbench.training.trainable import TrainableMethod

SIZE = 64
WIDTHS, BATCHES = (0.25, 0.5, 1.0), (1, 4, 8)


def cases() -> Iterator[tuple[str, dict]]:
    """Return every trainable method with its other network and with each width it takes."""
    for name in registry.names("methods"):
        cls = registry.load("methods", name)
        if not issubclass(cls, TrainableMethod):
            continue
        other = {"network": "own"} if "own" in str(cls.quick.get("network", "")) else {}
        field = cls.Params.model_fields.get("width")
        if field is None:
            yield name, other
            continue
        for width in WIDTHS:
            whole = field.annotation is int
            yield name, {**other, "width": round(field.default * width) if whole else width}


CASES = list(cases())


def finite(steps: Steps, history: list[dict[str, float]]) -> bool:
    weights = steps.training.weights().values()
    return all(math.isfinite(value) for losses in history for value in losses.values()) and all(
        bool(tensor.isfinite().all()) for tensor in weights
    )


def test_every_trainable_method_is_a_case():
    found = {name for name, _ in CASES}
    assert {"johnson_2016", "dumoulin_2017", "ghiasi_2017", "adain_2017", "cyclegan_2017"} <= found
    assert ("dumoulin_2017", {"width": 0.5}) in CASES


@pytest.mark.slow
@pytest.mark.usefixtures("network_weights")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("name", "params"), [case for case in CASES if case[1].get("width", 0.25) in (0.25, 16)]
)
def test_two_steps_on_the_cpu(name, params, batch):
    steps = built(name, params, SIZE, batch, "cpu", capture=False)
    assert finite(steps, run(steps, 2))


@pytest.fixture(scope="module")
def loss_network(network_weights):
    """Keep the loss networks of the GPU, which the trainings share, from one test to the next."""
    device = torch.device("cuda", torch.cuda.current_device())
    return [shared_loss_network("vgg16", device, mirrored=mirrored) for mirrored in (False, True)]


@pytest.mark.gpu
@pytest.mark.usefixtures("loss_network")
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("name", "params"), CASES)
def test_steps_on_the_gpu_are_captured(name, params, batch, caplog):
    """At 192 px and batch 8, a training of ``dumoulin_2017:width=0.5`` ended with an error."""
    size = 192 if batch == max(BATCHES) else SIZE
    steps = built(name, params, size, batch, "cuda", capture=True)
    history = run(steps, WARM_UP + 2)
    assert not [text for text in caplog.messages if "CUDA graph" in text]
    assert steps.captured
    assert finite(steps, history)
    assert history[-1] != history[-2], "a replay must take the numbers of the next step"


@pytest.mark.gpu
@pytest.mark.usefixtures("loss_network")
@pytest.mark.parametrize(
    ("name", "params"), [case for case in CASES if case[1].get("width", 0.25) in (0.25, 16)]
)
def test_a_replayed_step_equals_a_step_without_a_graph(name, params):
    """Both begin with the same weights. GPUs add in any order, so the next step differs more."""
    steps = built(name, params, SIZE, 4, "cuda", capture=True)
    training = steps.training
    run(steps, WARM_UP)
    parts = [*training.networks.values(), *training.optimisers.values()]
    before = copy.deepcopy([part.state_dict() for part in parts])
    state = copy.deepcopy(training.state())
    steps._captures = False
    eager = run(steps, 2, WARM_UP)
    for part, saved in zip(parts, before, strict=True):
        part.load_state_dict(saved)
    training.load_state(state)
    steps._captures = True
    replayed = run(steps, 2, WARM_UP)
    assert steps.captured
    for place, within in ((0, 2e-3), (1, 0.05)):
        for loss, value in eager[place].items():
            assert replayed[place][loss] == pytest.approx(value, rel=within, abs=1e-6), loss


@pytest.mark.gpu
def test_a_step_that_cannot_be_captured_runs_without_a_graph(caplog):
    """A value that is read back ends the capture, and not the training."""
    steps = built("johnson_2016", {"width": 0.25}, SIZE, 1, "cuda", capture=True)
    step = steps.training.step
    read = []

    def reading(batch, descend):
        losses = step(batch, descend)
        read.append(float(losses["total"]))
        return losses

    steps.training.step = reading
    history = run(steps, WARM_UP + 3)
    assert not steps.captured
    assert sum("without a CUDA graph" in text for text in caplog.messages) == 1
    assert [losses["total"] for losses in history] == pytest.approx(read)


# --- what GPUs compute in another form ----------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(3, 16, 2), (16, 3, 1), (5, 9, 1)])
@pytest.mark.parametrize("kind", ["transposed", "zeros", "reflect"])
def test_padded_channels_change_neither_values_nor_gradients(inputs, outputs, stride, kind, bias):
    torch.manual_seed(0)
    layer = (
        torch.nn.ConvTranspose2d(inputs, outputs, 3, stride, 1, stride - 1, bias=bias)
        if kind == "transposed"
        else torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias, padding_mode=kind)
    ).double()
    x = torch.randn(2, inputs, 9, 7, dtype=torch.float64, requires_grad=True)
    results = []
    for compute in (layer, lambda given: padded_convolution(layer, given)):
        made = compute(x)
        results.append((made, *torch.autograd.grad(made.square().sum(), [x, *layer.parameters()])))
    for plain, padded in zip(*results, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-12, atol=1e-12)
    assert results[1][0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 16, 7, 5), (3, 4, 1, 2)])
@pytest.mark.parametrize("rows", [1, None])
def test_all_samples_at_once_are_normalised_like_one_by_one(shape, rows):
    torch.manual_seed(1)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    count = rows or shape[0]
    condition = torch.randn(count, 2 * shape[1], dtype=torch.float64, requires_grad=True)
    results = []
    for normalise in (
        transformation_network.instance_norm,
        lambda x, gamma, beta: normalised_at_once(
            x, gamma.expand(len(x), -1), beta.expand(len(x), -1)
        ),
    ):
        made = normalise(x, *condition.chunk(2, dim=1))
        weights = torch.arange(made.numel()).view(shape) / made.numel()
        gradients = torch.autograd.grad((made * weights).sum(), [x, condition])
        results.append((made, *gradients))
    for alone, together in zip(*results, strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-8, atol=1e-8)
    plain = [normalised_at_once(x), *torch.autograd.grad(normalised_at_once(x).sin().sum(), [x])]
    ones = torch.ones(shape[:2], dtype=torch.float64)
    made = normalised_at_once(x, ones, 0 * ones)
    for found, wanted in zip(
        plain, [made, *torch.autograd.grad(made.sin().sum(), [x])], strict=True
    ):
        torch.testing.assert_close(found, wanted)
    low = x.detach().bfloat16()
    gamma = condition.detach()[:, : shape[1]].expand(shape[0], -1)
    assert normalised_at_once(low, gamma, gamma).dtype == torch.bfloat16


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_sixteen_bit_activations_are_normalised_as_in_float32(device):
    """Mean and variance are exact, also where the mean is ten deviations."""
    torch.manual_seed(3)
    low = (torch.randn(2, 8, 33, 20) * 2 + 20).bfloat16().to(device)
    low = low.contiguous(memory_format=torch.channels_last).requires_grad_()
    gamma, beta = (torch.rand(2, 8, device=device).requires_grad_() for _ in range(2))
    weights = torch.randn(2, 8, 33, 20).bfloat16().to(device)
    with torch.autocast(device, torch.bfloat16):
        made = normalised_at_once(low, gamma, beta)
    found = [made, *torch.autograd.grad((made.float() * weights).sum(), [low, gamma, beta])]
    high = low.detach().double().requires_grad_()
    exact = transformation_network.instance_norm(high, gamma.double(), beta.double())
    wanted = [
        exact, *torch.autograd.grad((exact * weights.double()).sum(), [high, gamma, beta])
    ]  # fmt: skip
    assert made.dtype == torch.bfloat16
    assert made.is_contiguous(memory_format=torch.channels_last)
    for one, other in zip(found, wanted, strict=True):
        assert (one.double() - other.double()).abs().max() < 0.01 * other.abs().max()


@pytest.mark.parametrize(
    "make",
    [
        lambda: TransformationNetwork(Design(width=0.25)),
        lambda: TransformationNetwork(Design(0.25, padding="mirror", upsampling="nearest")),
        lambda: ResidualGenerator(1, 5),
        lambda: PatchGan(4),
        lambda: build_decoder("vgg16", "relu2_1", torch.device("cpu")),
    ],
)
def test_networks_are_the_same_in_the_form_of_gpus(monkeypatch, make):
    torch.manual_seed(2)
    network = make().double()
    inputs = next(p.shape[1] for p in network.parameters() if p.dim() == 4)
    x = torch.rand(2, inputs, 40, 36, dtype=torch.float64, requires_grad=True)
    results = []
    for on_gpu in (False, True):
        monkeypatch.setattr(aligned_convolution, "_trains_on_gpu", lambda x, on_gpu=on_gpu: on_gpu)
        made = network(x)
        results.append(
            (made, *torch.autograd.grad(made.square().sum(), [x, *network.parameters()]))
        )
    for plain, padded in zip(*results, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-9, atol=1e-9)
