"""The bar of a pair is computed once, for all runs; damaged files are made again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference import independent

from nstbench.contracts import Picture
from nstbench.nn.backbones.load import load_backbone
from nstbench.pictures.picture import to_tensor
from nstbench.score import pair_cache
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths.universal_factor import FEATURES, universal_factors
from nstbench.score.pair_cache import PairCache

CPU = torch.device("cpu")
CODE = "nstbench.score.maths.universal_factor"


class Runs:
    """Scores one output, each time with a new bank and the same folder; counts passes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.passes = folder, 0

    def score(self, style: int = 0) -> dict[str, torch.Tensor]:
        self.passes = 0
        bank = FeatureBank(CPU, load=self._load, lasting=PairCache(self.folder, CPU).tensor)
        content = Picture(to_tensor(independent.scene(64, 64)), "content", "c")
        shifted = independent.texture(64, 64).copy()
        shifted[..., 0] = shifted[..., 0] // (style + 1)
        with torch.inference_mode():
            pair = bank.pair(
                Picture(content.pixels.flip(1), "output"),
                content,
                Picture(to_tensor(shifted), "style", f"s{style}"),
                FEATURES,
            )
            return universal_factors(pair)

    def _load(self, name: str, device: torch.device) -> torch.nn.Module:
        network = load_backbone(name, device)
        network.register_forward_pre_hook(self._count)
        return network

    def _count(self, *_: object) -> None:
        self.passes += 1


@pytest.fixture
def runs(tmp_path: Path, network_weights: None) -> Runs:
    return Runs(tmp_path / "pairs")


def files(runs: Runs) -> list[Path]:
    return sorted(runs.folder.rglob("*.json"))


def test_a_later_run_reads_the_bar_and_has_the_same_values(runs: Runs) -> None:
    first, first_passes = runs.score(), runs.passes
    again = runs.score()
    assert len(files(runs)) == 1
    assert {k: v.tolist() for k, v in first.items()} == {k: v.tolist() for k, v in again.items()}
    # four answers on two networks, at 64 px and at a short side of 256 px
    assert first_passes - runs.passes == 16


def test_another_style_has_another_file(runs: Runs) -> None:
    bars = [runs.score(style)["bar"].item() for style in (0, 1)]
    assert len(files(runs)) == 2
    assert bars[0] != bars[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: text.replace("0.", "0.1", 1),
        lambda text: text.replace('"shape"', '"form"'),
    ],
)
def test_a_damaged_file_is_made_again(runs: Runs, damage) -> None:
    first, passes = runs.score()["bar"].item(), runs.passes
    (file,) = files(runs)
    sound = file.read_text()
    file.write_text(damage(sound))
    assert runs.score()["bar"].item() == first
    assert runs.passes == passes
    assert file.read_text() == sound


def test_a_folder_that_cannot_be_written_changes_nothing(runs: Runs) -> None:
    expected = runs.score()["bar"].item()
    runs.folder = files(runs)[0] / "no folder"
    assert runs.score()["bar"].item() == expected


def test_the_key_covers_code_weights_and_device(tmp_path, network_weights, monkeypatch) -> None:
    made: list[int] = []

    def make() -> torch.Tensor:
        made.append(1)
        return torch.tensor([0.1, 2.0], dtype=torch.float64)

    def tensor(device: str = "cpu", code: str = CODE) -> list[float]:
        cache = PairCache(tmp_path, torch.device(device))
        return cache.tensor("numbers", ("c", "s"), ("vgg16",), make, code).tolist()

    assert tensor() == tensor() == [0.1, 2.0]
    assert len(made) == 1
    monkeypatch.setattr(pair_cache, "checksum", lambda weight: "other")
    tensor()
    assert len(made) == 2
    monkeypatch.setattr(pair_cache, "_source", lambda code: "other")
    tensor()
    assert len(made) == 3
    # code outside nstbench has no checksum here
    tensor(code="my_metric")
    tensor(code="my_metric")
    assert len(made) == 5


def test_values_that_are_not_finite_are_not_stored(tmp_path: Path, network_weights: None) -> None:
    cache = PairCache(tmp_path, CPU)
    bad = torch.tensor([float("nan")], dtype=torch.float64)
    cache.tensor("numbers", ("c",), ("vgg16",), lambda: bad, CODE)
    assert not list(tmp_path.rglob("*.json"))
