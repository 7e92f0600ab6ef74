"""Wrong preprocessing changes each network metric by more than its tolerance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from reference import independent

from nstbench.contracts import Picture
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.score.scorer import Scorer

CPU = torch.device("cpu")
NAMES = ["cfsd_vgg16", "lpips_gray", "sifd_vgg16", "style_moments", "patch_coverage"]
NAMES += ["lpips_alex", "lpips_vgg", "self_similarity", "gram_distance", "swd_style"]


def value(name: str, trio: list[torch.Tensor]) -> float:
    used = Scorer({name: registry.load("metrics", name)()}, CPU)
    record = used.score_pair(*(Picture(pixels, "p") for pixels in trio))[name]
    return float(record["values"][""])


def resized(pixels: np.ndarray) -> np.ndarray:
    """Return the picture after a detour over half its size without interpolation."""
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.NEAREST)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["range", "resize", "channels"])
def test_a_wrong_input_is_noticed(name: str, change: str, network_weights: None) -> None:
    trio = independent.triple("same_size")
    right = value(name, [to_tensor(p) for p in trio])
    if change == "range":
        wrong = [2 * to_tensor(p) - 1 for p in trio]
    elif change == "resize":
        wrong = [to_tensor(resized(p)) for p in trio]
    else:
        wrong = [to_tensor(p).flip(1) for p in trio]
    tolerance = independent.METRICS[name][1]
    assert abs(value(name, wrong) - right) > 10 * tolerance * abs(right)
