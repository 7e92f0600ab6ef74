"""Networks of nstbench against torchvision and the authors' LPIPS, with the same tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from nstbench.core.errors import ImageError, UsageError
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.alexnet import AlexNet
from nstbench.nn.backbones.load import BACKBONES, SHARED_WEIGHTS, load_backbone
from nstbench.nn.backbones.lpips import (
    LPIPS_ALEX,
    LPIPS_ALEX_LAYERS,
    LPIPS_VGG,
    LPIPS_VGG_LAYERS,
    lpips_distance,
)
from nstbench.nn.backbones.vgg import VGG16_BLOCKS, VGG19_BLOCKS, Vgg
from nstbench.nn.layers.layered import IMAGENET_MEAN, IMAGENET_STD, LayeredNetwork
from nstbench.nn.losses.gram import gram_matrix
from nstbench.nn.weights import cache, status
from nstbench.nn.weights.sources import Download

SIZE = (3, 72, 90)


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(seed))


def filled(network: LayeredNetwork, seed: int = 0) -> LayeredNetwork:
    """Fill a network with random weights that preserve the scale of activations."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        fan_in = int(np.prod(tensor.shape[1:])) or 1
        state[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan_in) ** 0.5
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False)


def torchvision_activations(name: str, network: LayeredNetwork) -> dict[str, torch.Tensor]:
    """Return the output of every layer of torchvision's model with the same tensors."""
    ensure_torchvision()
    from torchvision import models, transforms

    model: Any = getattr(models, name)(weights=None)
    names = [key for key in model.state_dict() if key.startswith("features.")]
    state = dict(zip(names, network.state_dict().values(), strict=True))
    model.load_state_dict(state, strict=False)
    x = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(pictures(2))
    found = {}
    for layer, step in zip(network.layers, model.eval().features, strict=False):
        x = step(x)
        found[layer] = x.detach().clone()
    return found


def assert_same_activations(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float
) -> None:
    assert list(found) == list(expected)
    for layer, values in found.items():
        scale = expected[layer].abs().max().item()
        torch.testing.assert_close(
            values.double(), expected[layer].double(), rtol=0, atol=tolerance * scale, msg=layer
        )


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_pretrained_network_equals_torchvision(name: str, network_weights: None) -> None:
    network = BACKBONES[name].build("max").with_weights(BACKBONES[name].weight)
    found = network(pictures(2), network.layers)
    assert list(found) == list(network.layers)
    assert_same_activations(found, torchvision_activations(name, network), 1e-6)


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_channels_last_only_rounds_differently(name: str, network_weights: None) -> None:
    network = load_backbone(name)
    found = network(pictures(2), network.layers)
    assert all(v.is_contiguous(memory_format=torch.channels_last) for v in found.values())
    exact = BACKBONES[name].build("max").with_weights(BACKBONES[name].weight).double()
    assert_same_activations(found, exact(pictures(2).double(), network.layers), 5e-6)


def test_vgg19_equals_torchvision() -> None:
    network = filled(Vgg(VGG19_BLOCKS))
    found = network(pictures(2), network.layers)
    assert_same_activations(found, torchvision_activations("vgg19", network), 1e-6)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_torchvision_checkpoint_gets_the_names_of_our_layers(name: str, tmp_path: Any) -> None:
    ensure_torchvision()
    from torchvision import models

    model: Any = getattr(models, name)(weights=None)
    state = {key: value for key, value in model.state_dict().items() if "classifier.6" not in key}
    torch.save(state, tmp_path / "net.pth")
    download = BACKBONES[name].weight.sources[-1]
    assert isinstance(download, Download)
    assert download.convert is not None
    tensors = download.convert(tmp_path / "net.pth")
    network = BACKBONES[name].build("max")
    assert list(tensors) == list(network.state_dict())
    np.testing.assert_array_equal(tensors["conv5_1.bias"], _torchvision_conv5_1(model))


def _torchvision_conv5_1(model: Any) -> np.ndarray:
    pools = [i for i, step in enumerate(model.features) if isinstance(step, torch.nn.MaxPool2d)]
    bias: np.ndarray = model.features[pools[3] + 1].bias.detach().numpy()
    return bias


def test_stored_tensors_are_torchvisions(network_weights: None) -> None:
    # Printed values of torchvision's vgg16-397923af.
    found = load_backbone("vgg16").state_dict()["conv1_1.weight"][0, 0, 0]
    expected = torch.tensor([-0.5537306, 0.1427047, 0.5289615])
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-8)
    for weight in SHARED_WEIGHTS:
        if weight.sha256:
            assert status.verify(weight).ok, weight.name


def test_average_pooling_averages() -> None:
    network = filled(Vgg(VGG16_BLOCKS, pooling="average"))
    found = network(pictures(1), ["relu1_2", "pool1"])
    expected = torch.nn.functional.avg_pool2d(found["relu1_2"], 2)
    torch.testing.assert_close(found["pool1"], expected, rtol=0, atol=0)
    with pytest.raises(UsageError, match="max pooling only"):
        load_backbone("alexnet", pooling="average")


def test_activations_are_not_overwritten_by_later_layers() -> None:
    network = filled(Vgg(VGG16_BLOCKS))
    alone = network(pictures(1), ["conv2_1"])["conv2_1"]
    together = network(pictures(1), ["conv2_1", "relu2_1", "relu2_2"])
    torch.testing.assert_close(together["conv2_1"], alone, rtol=0, atol=0)
    assert together["conv2_1"].min() < 0
    torch.testing.assert_close(together["relu2_1"], alone.relu(), rtol=0, atol=0)


def test_layers_after_the_deepest_one_do_not_run() -> None:
    network = filled(Vgg(VGG16_BLOCKS))
    ran: list[str] = []
    for name in network.layers:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    assert list(network(pictures(1), ["relu3_1", "relu1_1"])) == ["relu1_1", "relu3_1"]
    assert [name for name in ran if name.startswith("conv")] == [
        "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1",
    ]  # fmt: skip


def test_the_picture_has_a_gradient_and_parameters_have_none() -> None:
    network = filled(Vgg(VGG16_BLOCKS))
    x = pictures(1).requires_grad_()
    found = network(x, ["conv1_1", "relu1_1", "relu2_1"])
    gram_matrix(found["relu2_1"]).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("layers", [["relu1_1", "relu3_1"], ["conv1_2", "pool2", "relu2_1"]])
def test_checkpointing_changes_no_bit_and_keeps_fewer_activations(layers: list[str]) -> None:
    network = filled(Vgg(VGG16_BLOCKS))
    gradients, kept = [], []
    for network.checkpointing in (False, True):
        x = pictures(1).requires_grad_()
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = network(x, layers)
            loss = torch.stack([gram_matrix(found[name]).square().sum() for name in layers]).sum()
        kept.append(sum(sizes.values()))
        loss.backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    assert kept[1] < kept[0]


def test_messages_name_wrong_layers_networks_and_sizes() -> None:
    network = filled(AlexNet())
    with pytest.raises(ValueError, match=r"no layer 'relu6'. Did you mean 'relu5'"):
        network(pictures(1), ["relu6"])
    with pytest.raises(ImageError, match="at least 31 x 31 px, got 90 x 30"):
        network(pictures(1)[:, :, :30], ["relu5"])
    assert network(pictures(1)[:, :, :31, :31], ["relu5"])["relu5"].shape == (1, 256, 1, 1)
    with pytest.raises(UsageError, match=r"no network 'vgg-16'. Did you mean 'vgg16'"):
        load_backbone("vgg-16")


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("divide_by", "divisor"), [("nothing", 1), ("n", 35), ("chw", 140)])
def test_gram_matrix_equals_the_formula(
    memory: torch.memory_format, divide_by: Any, divisor: int
) -> None:
    features = torch.randn(3, 4, 5, 7, generator=torch.Generator().manual_seed(1))
    flat = features.double().numpy().reshape(3, 4, 35)
    expected = np.einsum("bin,bjn->bij", flat, flat) / divisor
    found = gram_matrix(features.contiguous(memory_format=memory), divide_by)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_unknown_divisor_of_a_gram_matrix_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of nothing, n, chw"):
        gram_matrix(torch.zeros(1, 2, 3, 4), "hw")  # type: ignore[arg-type]


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_equals_the_authors_package(net: str, network_weights: None) -> None:
    ensure_torchvision()
    import lpips

    backbone, weight, layers = {
        "alex": ("alexnet", LPIPS_ALEX, LPIPS_ALEX_LAYERS),
        "vgg": ("vgg16", LPIPS_VGG, LPIPS_VGG_LAYERS),
    }[net]
    network = load_backbone(backbone)
    with warnings.catch_warnings():
        # lpips 0.1.4 calls torchvision with deprecated arguments.
        warnings.simplefilter("ignore", UserWarning)
        reference = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    trunk = reference.net.state_dict()
    reference.net.load_state_dict(dict(zip(trunk, network.state_dict().values(), strict=True)))
    heads = cache.load(weight)
    for i, layer in enumerate(layers):
        theirs = reference.lins[i].model[-1].weight.detach().flatten()
        torch.testing.assert_close(heads[layer], theirs, rtol=0, atol=0)

    first, second = pictures(2, seed=1), pictures(2, seed=2).square()
    with torch.inference_mode():
        expected = reference(first, second, normalize=True).flatten()
        found = lpips_distance(network(first, layers), network(second, layers), heads)
    assert expected.min() > 0.1
    torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-5)


def test_lpips_scaling_is_torchvisions_normalisation() -> None:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    np.testing.assert_allclose((1 + shift) / 2, IMAGENET_MEAN, rtol=1e-15)
    np.testing.assert_allclose(scale / 2, IMAGENET_STD, rtol=1e-15)
