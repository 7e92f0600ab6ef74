"""Features that do not fit into memory are written to disk and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nstbench.contracts import Features, Picture
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.feature_spill import Overflow

CPU = torch.device("cpu")
NEEDS = [
    Features("vgg16", ("relu1_1", "relu2_1"), ("content",)),
    Features("vgg16", ("relu2_2",), ("content",), gram=True),
]


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    maps = torch.rand(2, 5, 7, 3)
    return {
        "maps": maps,
        "channels last": maps.to(memory_format=torch.channels_last),
        "half": maps.bfloat16(),
        "double": maps.double()[0],
        "part": maps[:, 1:4, ::2],
        "expanded": maps[:1].expand(4, -1, -1, -1),
        "flags": maps[0, 0] > 0.5,
        "scalar": torch.tensor(3, dtype=torch.int64),
        "nothing": torch.empty(0, 4),
    }


def test_tensors_are_read_back_bit_by_bit(tmp_path):
    overflow = Overflow(tmp_path / "new" / "folder")
    first, second = overflow.write(tensors()), overflow.write({"maps": torch.ones(3)})
    assert first is not None
    assert second is not None
    assert torch.equal(overflow.read(second)["maps"], torch.ones(3))
    found = overflow.read(first)
    assert list(found) == list(tensors())
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert found["channels last"].stride() == tensors()["channels last"].stride()


def test_no_file_remains_in_the_folder(tmp_path):
    overflow = Overflow(tmp_path)
    places = overflow.write(tensors())
    assert places is not None
    assert list(tmp_path.iterdir()) == []
    overflow.close()
    again = overflow.write({"maps": torch.ones(3)})
    assert again is not None
    assert again["maps"].offset == 0


def test_the_budget_is_a_limit(tmp_path):
    overflow = Overflow(tmp_path, budget=50)
    assert overflow.write({"a": torch.ones(10)}) is not None
    assert overflow.write({"b": torch.ones(3)}) is None
    found = overflow.write({"c": torch.full((2,), 7.0)})
    assert found is not None
    assert overflow.read(found)["c"].tolist() == [7, 7]


def test_a_failed_write_is_not_an_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    overflow = Overflow(tmp_path / "file")
    assert overflow.write({"a": torch.ones(10)}) is None
    (tmp_path / "file").unlink()
    assert overflow.write({"a": torch.ones(10)}) is None, "no further write is attempted"
    overflow.close()
    assert overflow.write({"a": torch.ones(10)}) is not None


class Watched:
    """Loads networks and counts the layers that they compute for each picture."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    def __call__(self, name: str, device: torch.device) -> LayeredNetwork:
        network = load_backbone(name, device)
        network.register_forward_pre_hook(lambda _, given: self.asked.append(set(given[1])))
        return network


def pictures(count: int) -> list[Picture]:
    generator = torch.Generator().manual_seed(0)
    return [Picture(torch.rand(1, 3, 32, 32, generator=generator), f"p{i}") for i in range(count)]


def features(bank: FeatureBank, content: Picture, needs: list[Features]) -> list[torch.Tensor]:
    pair = bank.pair(content, content, content, needs)
    maps = pair.features("vgg16", "content")
    return [*(maps[name] for name in sorted(maps)), pair.gram("vgg16", "content", "relu2_2")]


@pytest.mark.parametrize("kept", [True, False])
def test_features_are_computed_again_only_if_they_are_not_on_disk(network_weights, tmp_path, kept):
    watched = Watched()
    bank = FeatureBank(CPU, 1, watched, tmp_path if kept else None)
    reference = FeatureBank(CPU)
    with torch.inference_mode():
        for turn in range(3):
            for content in pictures(3):
                found = features(bank, content, NEEDS)
                expected = features(reference, content, NEEDS)
                assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
            assert len(watched.asked) == 3 * (1 if kept else turn + 1)


def test_an_extended_entry_is_written_again(network_weights, tmp_path):
    watched = Watched()
    bank = FeatureBank(CPU, 1, watched, tmp_path)
    one, other = pictures(2)
    more = [*NEEDS, Features("vgg16", ("relu3_1",), ("content",))]
    with torch.inference_mode():
        for needs in (NEEDS, NEEDS, more, more, NEEDS):
            found = features(bank, one, needs)
            features(bank, other, NEEDS)
    assert watched.asked == [
        {"relu1_1", "relu2_1", "relu2_2"}, {"relu1_1", "relu2_1", "relu2_2"}, {"relu3_1"},
    ]  # fmt: skip
    assert len(found) == 4


def test_features_are_computed_again_if_the_disk_fails(network_weights, tmp_path, monkeypatch):
    watched = Watched()
    bank = FeatureBank(CPU, 1, watched, tmp_path)

    def broken(self: Overflow, places: object) -> None:
        raise OSError("input/output error")

    one, other = pictures(2)
    with torch.inference_mode():
        first = features(bank, one, NEEDS)
        features(bank, other, NEEDS)
        monkeypatch.setattr(Overflow, "read", broken)
        again = features(bank, one, NEEDS)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(watched.asked) == 3


def test_a_cleared_bank_is_empty(network_weights, tmp_path: Path):
    watched = Watched()
    bank = FeatureBank(CPU, 1, watched, tmp_path)
    one, other = pictures(2)
    with torch.inference_mode():
        for content in (one, other):
            features(bank, content, NEEDS)
        bank.clear()
        features(bank, one, NEEDS)
    assert len(watched.asked) == 3
