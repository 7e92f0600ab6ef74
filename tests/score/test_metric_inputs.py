"""Wrong preprocessing changes each network metric by more than its tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from PIL import Image
from reference import independent
from torch import nn

from nstbench.contracts import Picture
from nstbench.nn.backbones.artscore import ArtScoreNetwork
from nstbench.nn.backbones.inception import InceptionPlaces
from nstbench.nn.backbones.vgg import VGG19_BLOCKS, Vgg
from nstbench.nn.backbones.vit import Vit, VitDesign
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.scorer import Scorer

CPU = torch.device("cpu")
NAMES = ["cfsd_vgg16", "lpips_gray", "sifd_vgg16", "style_moments", "patch_coverage"]
NAMES += ["lpips_alex", "lpips_vgg", "self_similarity", "gram_distance", "swd_style"]


CHANGES = ["range", "resize", "channels"]


def value(name: str, trio: list[torch.Tensor], bank: FeatureBank | None = None) -> float:
    used = Scorer({name: registry.load("metrics", name)()}, CPU, bank)
    record = used.score_pair(*(Picture(pixels, "p") for pixels in trio))[name]
    return float(record["values"][""])


def resized(pixels: np.ndarray) -> np.ndarray:
    """Return the picture after a detour over half its size without interpolation."""
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.NEAREST)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def right_and_wrong(change: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return output, content and style as they should be, and with a change of all three."""
    trio = independent.triple("same_size")
    right = [to_tensor(p) for p in trio]
    if change == "range":
        return right, [2 * pixels - 1 for pixels in right]
    if change == "resize":
        return right, [to_tensor(resized(p)) for p in trio]
    return right, [pixels.flip(1) for pixels in right]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_input_is_noticed(name: str, change: str, network_weights: None) -> None:
    right, wrong = right_and_wrong(change)
    tolerance = independent.METRICS[name][1]
    expected = value(name, right)
    assert abs(value(name, wrong) - expected) > 10 * tolerance * abs(expected)


# --- networks whose weights a user fetches: the real preparation, few random layers -------

TOLERANCE = 1e-4
"""Relative tolerance of these metrics in ``test_fetched_metrics``."""


STRENGTH = {"patches_weight": 2.0, "qkv_weight": 3.0, "out_weight": 3.0}
STRENGTH |= {"class_token": 0.1, "positions": 0.1, "bias": 0.1}
"""Factors by the end of a tensor's name, so that patches count more than what is the same in all
pictures: with equal factors the embeddings of all pictures are nearly one."""


def filled(network: LayeredNetwork) -> LayeredNetwork:
    """Return a network after its empty tensors got random numbers of a usual size."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in network.state_dict().items():
        inputs = tensor[0].numel() if tensor.ndim > 1 else 1
        strength = next((k for end, k in STRENGTH.items() if name.endswith(end)), 1.0)
        values = torch.randn(tensor.shape, generator=generator)
        state[name] = strength * (2 / inputs) ** 0.5 * values
    network.load_state_dict(state, assign=True)
    return network


def convolutions(*last: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Conv2d(3, 12, 5, stride=2)
        middle = nn.Conv2d(12, 12, 3, stride=2)
    return nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), *last).requires_grad_(False)


def clip() -> LayeredNetwork:
    return filled(Vit(VitDesign(24, depth=2, heads=3, patch=8, side=32, projected=10), True))


def dino() -> LayeredNetwork:
    return filled(Vit(VitDesign(24, depth=2, heads=3, patch=8, side=32), False))


def inception() -> LayeredNetwork:
    network = InceptionPlaces()
    network.steps = convolutions()
    return network


def artscore() -> LayeredNetwork:
    network = ArtScoreNetwork()
    network.network = convolutions(nn.AdaptiveAvgPool2d(1), nn.Flatten(), _Sum())
    return network


class _Sum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=1, keepdim=True)


FETCHED: Mapping[str, Callable[[], LayeredNetwork]] = {
    "csd": clip,
    "clip_style": clip,
    "clip_content": clip,
    "dino_structure": dino,
    "sifid": inception,
    "artscore": artscore,
    "cfsd": lambda: filled(Vgg(VGG19_BLOCKS)),
}


@pytest.mark.parametrize("name", FETCHED)
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_input_of_a_network_that_users_fetch_is_noticed(name: str, change: str) -> None:
    bank = FeatureBank(CPU, load=lambda _, device: FETCHED[name]())
    right, wrong = (value(name, trio, bank) for trio in right_and_wrong(change))
    assert abs(wrong - right) > 10 * TOLERANCE * abs(right)


@pytest.mark.parametrize("name", ["csd", "clip_style", "clip_content", "dino_structure"])
def test_a_squashed_picture_in_place_of_the_networks_own_scaling_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An oblong picture is cropped by CLIP's preparation, and kept oblong by that of DINO."""
    trio = [to_tensor(p)[..., :48] for p in independent.triple("same_size")]
    right = value(name, trio, FeatureBank(CPU, load=lambda _, device: FETCHED[name]()))
    monkeypatch.setattr(
        Vit, "_fitted", lambda self, x: nn.functional.interpolate(x, (32, 32), mode="bilinear")
    )
    wrong = value(name, trio, FeatureBank(CPU, load=lambda _, device: FETCHED[name]()))
    assert abs(wrong - right) > 10 * TOLERANCE * abs(right)
