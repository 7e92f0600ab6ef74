"""Fixtures that several test modules share."""

from __future__ import annotations

import numpy as np
import pytest
from file_rights import bound_by_permissions
from PIL import Image

from nstbench.plugins import registry


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")


@pytest.fixture(autouse=True)
def _no_added_plugins():
    """Forget the plug-in files and programs that a test registers."""
    registry.forget_added()
    yield
    registry.forget_added()


@pytest.fixture
def picture_folders(tmp_path):
    """Two folders with two small pictures each: smooth contents, textured styles."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:80, 0:96] / 96
    for role in ("contents", "styles"):
        (tmp_path / role).mkdir()
        for index in range(2):
            if role == "contents":
                pixels = np.stack([rows, columns, 0.3 + 0.4 * np.sin(7 * rows * (index + 1))], -1)
            else:
                waves = np.sin((20 + 15 * index) * (rows + (index - 0.5) * columns))
                pixels = 0.5 + 0.4 * waves[..., None] * rng.uniform(-1, 1, 3)
                pixels = pixels + rng.normal(0, 0.05, pixels.shape)
            image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
            image.save(tmp_path / role / f"{role[0]}{index}.png")
    return tmp_path / "contents", tmp_path / "styles"


@pytest.fixture
def without_rights(tmp_path):
    """Return an empty folder, and be bound by file permissions meanwhile, as root, too."""
    with bound_by_permissions():
        yield tmp_path


@pytest.fixture(scope="session")
def network_weights():
    """Have VGG-16, AlexNet and the LPIPS heads in the cache, or skip with the reason."""
    from nstbench.nn.backbones.load import SHARED_WEIGHTS
    from nstbench.nn.weights import cache as weights

    for weight in SHARED_WEIGHTS:
        if not any(source.automatic for source in weight.sources):
            continue
        state = weights.availability(weight)
        if not state.ok:
            pytest.skip(f"weights {weight.name}: {state.reason}")
        weights.fetch(weight)
