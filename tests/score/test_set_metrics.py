"""Set metrics against torchmetrics, with a small network instead of Inception."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import independent
from safetensors.torch import save_file

from nstbench.contracts import Picture
from nstbench.core.errors import UsageError, WeightsError
from nstbench.core.records import Scope
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.load import BACKBONES, load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.pictures.picture import to_tensor
from nstbench.plan.variants import metric_card
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths.feature_sets import RetrievalMetric
from nstbench.score.maths.frechet import GaussianSums, frechet_distance
from nstbench.score.scorer import Scorer

CPU = torch.device("cpu")
SETS = [n for n in registry.names("metrics") if registry.load("metrics", n).info.scope == Scope.SET]
# The layers of both differ from those of the small network below; see test_retrieval.py.
SETS = [n for n in SETS if not issubclass(registry.load("metrics", n), RetrievalMetric)]
DIMENSION = 6


class Small(LayeredNetwork):
    """Means and deviations of the three channels, named like Inception's last layer."""

    num_features = DIMENSION

    def __init__(self) -> None:
        super().__init__((), min_size=1)
        self.layers = ("pool3", "relu5_3")

    def forward(self, x: torch.Tensor, layers: Collection[str] | None = None) -> Any:
        flat = x.flatten(2)
        vectors = torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)
        if layers is None:
            return vectors
        return dict.fromkeys(layers, vectors[:, :, None, None])


def small_bank() -> FeatureBank:
    def load(name: str, device: torch.device) -> LayeredNetwork:
        return load_backbone(name, device) if name == "alexnet" else Small()

    return FeatureBank(CPU, load=load)


def pictures(count: int, seed: int, power: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.rand(count, 3, 1, 1, generator=generator)
    noise = torch.rand(count, 3, 40, 40, generator=generator)
    return (0.6 * levels + 0.4 * noise) ** power


def trios(outputs: torch.Tensor, styles: torch.Tensor) -> list[tuple[Picture, Picture, Picture]]:
    """Return one pair per output; every style is used at least once."""
    content = Picture(to_tensor(independent.scene(40, 40)), "content")
    count = max(len(outputs), len(styles))
    return [
        (
            Picture(outputs[i % len(outputs)][None], f"output{i}"),
            content,
            Picture(styles[i % len(styles)][None], f"style{i}"),
        )
        for i in range(count)
    ]


def scored(name: str, outputs: torch.Tensor, styles: torch.Tensor) -> dict[str, Any]:
    used = Scorer({name: registry.load("metrics", name)()}, CPU, small_bank())
    for trio in trios(outputs, styles):
        used.score_pair(*trio)
    return used.set_scores()[name]


@pytest.mark.parametrize("name", ["fid", "fd_vgg16"])
def test_frechet_metrics_equal_torchmetrics(name: str) -> None:
    ensure_torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance

    outputs, styles = pictures(40, 0), pictures(15, 1, power=1.5)
    reference = FrechetInceptionDistance(Small(), normalize=True).set_dtype(torch.float64)
    reference.update(styles, real=True)
    reference.update(outputs, real=False)
    values = scored(name, outputs, styles)["values"]
    assert (values["n"], values["styles"]) == (40, 15)
    assert values[""] == pytest.approx(float(reference.compute()), rel=1e-6)


def test_kid_equals_torchmetrics_over_one_subset_of_all() -> None:
    ensure_torchvision()
    from torchmetrics.image.kid import KernelInceptionDistance

    outputs, styles = pictures(30, 0), pictures(30, 1, power=1.5)
    with warnings.catch_warnings():
        # The warning about features in memory does not matter here.
        warnings.simplefilter("ignore", UserWarning)
        reference = KernelInceptionDistance(Small(), subsets=1, subset_size=30, normalize=True)
    reference.update(styles, real=True)
    reference.update(outputs, real=False)
    expected = float(reference.compute()[0])
    assert scored("kid", outputs, styles)["values"][""] == pytest.approx(expected, rel=1e-3)


def test_kid_equals_its_formula_for_unequal_sets() -> None:
    outputs, styles = pictures(9, 0), pictures(5, 1, power=1.5)
    x, y = (Small()(p).double().numpy() for p in (outputs, styles))

    def mean(first: np.ndarray, second: np.ndarray, same: bool) -> float:
        values = [
            (first[i] @ second[j] / DIMENSION + 1) ** 3
            for i in range(len(first))
            for j in range(len(second))
            if not (same and i == j)
        ]
        return float(np.mean(values))

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert scored("kid", outputs, styles)["values"][""] == pytest.approx(expected, rel=1e-6)


def test_fid_inf_has_less_bias_than_fid() -> None:
    # Outputs and styles have the same distribution, so the true distance is 0.
    generator = torch.Generator().manual_seed(0)
    styles = torch.randn(20_000, DIMENSION, generator=generator, dtype=torch.float64)
    metric = registry.load("metrics", "fid_inf")()
    plain, infinite = [], []
    for _ in range(20):
        outputs = torch.randn(60, DIMENSION, generator=generator, dtype=torch.float64)
        sums = [GaussianSums.empty(DIMENSION) for _ in range(2)]
        sums[0].update(outputs)
        sums[1].update(styles)
        plain.append(frechet_distance(*sums))
        infinite.append(metric.value(outputs, styles))
    assert abs(np.mean(infinite)) < 0.3 * np.mean(plain)


def test_fid_inf_varies_the_number_of_outputs_and_needs_enough() -> None:
    record = scored("fid_inf", pictures(29, 0), pictures(3, 1))
    assert record == {"error": "needs at least 30 outputs, got 29"}


def test_artfid_is_the_product_of_its_parts(network_weights: None) -> None:
    outputs, styles = pictures(8, 0), pictures(4, 1, power=1.5)
    values = scored("artfid", outputs, styles)["values"]
    fid = scored("fid", outputs, styles)["values"][""]
    lpips = Scorer({"lpips_alex": registry.load("metrics", "lpips_alex")()}, CPU)
    distances = [
        lpips.score_pair(*trio)["lpips_alex"]["values"][""] for trio in trios(outputs, styles)
    ]
    assert values["fid"] == pytest.approx(fid, rel=1e-9)
    assert values["lpips"] == pytest.approx(np.mean(distances), rel=1e-6)
    assert values[""] == pytest.approx((1 + np.mean(distances)) * (1 + fid), rel=1e-6)


def reference_rows(name: str) -> dict[str, tuple[float, float]]:
    """Return part -> value and tolerance of a reference file."""
    path = Path(independent.__file__).parent / f"{name}.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["part"]: (float(row["value"]), float(row["tolerance"])) for row in rows}


def test_every_set_metric_has_a_reference() -> None:
    assert set(SETS) == set(independent.SET_METRICS)


@pytest.mark.parametrize("name", SETS)
def test_equals_the_reference_in_any_order(name: str, network_weights: None) -> None:
    outputs, content, styles = independent.set_pictures()
    bank = FeatureBank(CPU) if name == "fd_vgg16" else small_bank()
    used = Scorer({name: registry.load("metrics", name)()}, CPU, bank)
    found = []
    for order in (range(len(outputs)), reversed(range(len(outputs)))):
        used.reset()
        for i in order:
            pictures = (outputs[i], content, styles[i % len(styles)])
            used.score_pair(*(Picture(to_tensor(p), f"{i}") for p in pictures))
        found.append(used.set_scores()[name]["values"])
    for part, (value, tolerance) in reference_rows(name).items():
        assert found[0][part] == pytest.approx(value, rel=tolerance), part
    assert found[0] == pytest.approx(found[1], rel=1e-7)


@pytest.mark.parametrize("name", SETS)
def test_merged_workers_have_the_value_of_the_whole_set(name: str, network_weights: None) -> None:
    outputs, styles = pictures(36, 0), pictures(7, 1, power=1.5)
    cls, bank = registry.load("metrics", name), small_bank()
    workers = [cls() for _ in range(4)]
    whole = cls()
    for metric in (*workers, whole):
        metric.load(CPU)
    with torch.inference_mode():
        for i, trio in enumerate(trios(outputs, styles)):
            pair = bank.pair(*trio, cls.info.features)
            whole.update(pair)
            # The last worker gets no pictures, as on a machine with idle devices.
            workers[i % 3].update(pair)
    merged = workers.pop()
    for worker in reversed(workers):
        before = worker.compute() if name != "fid_inf" else None
        merged.merge(worker)
        assert before is None or worker.compute() == before
    assert merged.compute() == pytest.approx(whole.compute(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_message_for_too_few_pictures_states_the_number(name: str, network_weights: None) -> None:
    record = scored(name, pictures(1, 0), pictures(1, 1))
    assert "at least" in record["error"]
    empty = Scorer({name: registry.load("metrics", name)()}, CPU, small_bank())
    assert "error" in empty.set_scores()[name]


@pytest.mark.parametrize(("name", "remedy"), [("fid", "fetch inception"), ("artfid", "Get https")])
def test_without_inception_the_board_states_how_to_get_it(
    name: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    state = metric_card(name).availability
    if "not installed" in state.reason:
        pytest.skip(state.reason)
    assert not state.ok
    assert remedy in state.remedy


# --- the networks ------------------------------------------------------------------------


@pytest.fixture
def own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSTBENCH_WEIGHTS", str(tmp_path))
    return tmp_path


def randomised(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Fill convolutions with random weights that preserve the scale of activations."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    return network.state_dict()


def test_inception_equals_that_of_torch_fidelity(own_weights: Path) -> None:
    pytest.importorskip("torch_fidelity", reason="FID needs `pip install torch-fidelity`")
    ensure_torchvision()
    import importlib

    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    torch.save({}, own_weights / "empty.pth")
    blank = type(
        "Blank",
        (module.FeatureExtractorInceptionV3,),
        {"load_state_dict": lambda self, state: None},
    )
    reference = blank(
        "blank", ["2048"], feature_extractor_weights_path=str(own_weights / "empty.pth")
    )
    save_file(randomised(reference), own_weights / "inception.safetensors")
    pixels = torch.randint(0, 256, (2, 3, 50, 70), dtype=torch.uint8)
    network = load_backbone("inception")
    with torch.inference_mode():
        expected = reference(pixels)[0]
        found = network(pixels / 255, ["pool3"])["pool3"]
    assert expected.std() > 0
    torch.testing.assert_close(found[:, :, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_art_inception_returns_the_means_of_torchvisions_last_layer(own_weights: Path) -> None:
    ensure_torchvision()
    from torchvision.models import inception_v3

    reference = inception_v3(
        weights=None, aux_logits=False, transform_input=False, init_weights=False
    ).eval()
    state = randomised(reference)
    means: list[torch.Tensor] = []
    reference.avgpool.register_forward_hook(lambda *args: means.append(args[2]))
    # The authors' checkpoint has a classifier of another size, and auxiliary layers.
    extra = {"fc.weight": torch.zeros(3, 2048), "AuxLogits.fc.bias": torch.zeros(3)}
    save_file({**state, **extra}, own_weights / "art_inception.safetensors")
    network = load_backbone("art_inception")
    x = torch.rand(1, 3, 96, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        reference(x)
        found = network(x, ["pool3"])["pool3"]
    assert means[0].std() > 0
    torch.testing.assert_close(found, means[0], rtol=1e-4, atol=1e-5)

    del state["Mixed_7c.branch1x1.conv.weight"]
    save_file(state, own_weights / "art_inception.safetensors")
    with pytest.raises(WeightsError, match=r"no tensor Mixed_7c\.branch1x1\.conv\.weight"):
        load_backbone("art_inception")


def test_only_vgg_supports_average_pooling() -> None:
    for name in ("alexnet", "inception", "art_inception"):
        with pytest.raises(UsageError, match="max pooling only"):
            BACKBONES[name].build("average")
