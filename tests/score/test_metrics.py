"""Metrics against independent implementations, and general properties of metrics."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import independent
from test_fetched_metrics import FORMULAS

from nstbench.contracts import Features, Metric, MetricInfo, PairMetric, Picture, ScoringPair
from nstbench.core.errors import NstbenchError
from nstbench.core.records import Scope, Timing
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.load import BACKBONES, load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.nn.losses.gram import scoring_gram_matrix
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import fit, resize, to_tensor
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths.frechet import GaussianSums, frechet_distance
from nstbench.score.maths.lab_colour import rgb_to_lab
from nstbench.score.maths.sliced_wasserstein import directions, ordered, ordered_distance
from nstbench.score.scorer import Record, Scorer

REFERENCE = Path(__file__).parents[1] / "reference"
SWEEPS = sorted((Path(__file__).parents[3] / "shared/data/sweeps").glob("*/"))
CPU = torch.device("cpu")
PAIR_METRICS = list(independent.METRICS)


def make(name: str) -> Any:
    return registry.load("metrics", name)()


def scorer(*names: str) -> Scorer:
    return Scorer({name: make(name) for name in names}, CPU)


def picture(pixels: np.ndarray, name: str = "picture") -> Picture:
    return Picture(to_tensor(pixels), name)


def score(name: str, output: Picture, content: Picture, style: Picture) -> dict[str, float]:
    record = scorer(name).score_pair(output, content, style)[name]
    assert "values" in record, record
    values: dict[str, float] = record["values"]
    return values


@pytest.fixture
def trio() -> tuple[Picture, Picture, Picture]:
    output, content, style = map(picture, independent.triple("other_size"))
    return output, content, style


def reference_rows(name: str) -> list[dict[str, str]]:
    with (REFERENCE / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- references --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_equals_the_reference(name: str, network_weights: None) -> None:
    for case in independent.SIZES:
        found = score(name, *map(picture, independent.triple(case)))
        rows = [row for row in reference_rows(name) if row["case"] == case]
        assert {row["part"] for row in rows} == set(found)
        for row in rows:
            expected = float(row["value"])
            assert found[row["part"]] == pytest.approx(
                expected, rel=float(row["tolerance"]), abs=0
            ), (case, row["part"])


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIR_METRICS)
def test_reference_files_equal_the_output_of_their_command(
    name: str, network_weights: None
) -> None:
    metric, tolerance, source = independent.METRICS[name]
    rows = reference_rows(name)
    assert {(row["source"], float(row["tolerance"])) for row in rows} == {(source, tolerance)}
    values = metric(*independent.triple("same_size"))
    stored = {row["part"]: float(row["value"]) for row in rows if row["case"] == "same_size"}
    assert stored == pytest.approx(values, rel=1e-7)


def test_every_pair_metric_has_a_reference() -> None:
    scopes = {name: registry.load("metrics", name).info.scope for name in registry.names("metrics")}
    pair = {name for name, scope in scopes.items() if scope == Scope.PAIR}
    # Those of the second file need weights that a user fetches.
    assert pair == {*PAIR_METRICS, *FORMULAS}


def test_style_error_and_gram_distance_equal_numpy_on_the_same_activations(
    network_weights: None, trio: tuple[Picture, Picture, Picture]
) -> None:
    layers = independent.STYLE_VGG
    network = load_backbone("vgg16")
    with torch.inference_mode():
        flat = [
            {k: v[0].flatten(1).double().numpy() for k, v in network(p.pixels, layers).items()}
            for p in trio
        ]
    x, c, s = ({layer: independent.gram(f[layer]) for layer in layers} for f in flat)
    errors = [np.linalg.norm(x[n] - s[n]) / np.linalg.norm(c[n] - s[n]) for n in layers]
    distances = [
        ((x[n] - s[n]) ** 2).sum() / ((x[n] ** 2).sum() + (s[n] ** 2).sum()) for n in layers
    ]
    assert score("style_error", *trio)["vgg16"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert score("gram_distance", *trio)[""] == pytest.approx(np.mean(distances), rel=1e-6)


@pytest.mark.parametrize("positions", [(5, 7), (16, 32), (45, 61)])
def test_scoring_gram_matrix_is_as_good_as_float64(positions: tuple[int, int]) -> None:
    features = torch.rand(2, 48, *positions, generator=torch.Generator().manual_seed(0))
    flat = features.double().flatten(2)
    expected = flat @ flat.transpose(1, 2) / flat.shape[2]
    for layout in (torch.contiguous_format, torch.channels_last):
        found = scoring_gram_matrix(features.contiguous(memory_format=layout))
        assert found.dtype == torch.float64
        assert (found - expected).norm() < 2e-7 * expected.norm()


def test_frechet_distance_equals_torchmetrics() -> None:
    ensure_torchvision()
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flatten(torch.nn.Module):
        num_features = 12

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)

    generator = torch.Generator().manual_seed(0)
    real = torch.rand(40, 3, 2, 2, generator=generator)
    fake = torch.rand(25, 3, 2, 2, generator=generator) ** 2
    reference = FrechetInceptionDistance(Flatten(), normalize=True).set_dtype(torch.float64)
    sums = []
    for images, is_real in ((real, True), (fake, False)):
        reference.update(images, real=is_real)
        sums.append(GaussianSums.empty(12))
        sums[-1].update(images.flatten(1))
    assert frechet_distance(*sums) == pytest.approx(float(reference.compute()), rel=1e-6)


def test_frechet_distance_of_singular_covariances() -> None:
    generator = torch.Generator().manual_seed(0)
    few = GaussianSums.empty(64)
    few.update(torch.randn(5, 64, generator=generator))
    assert frechet_distance(few, few) == pytest.approx(0.0, abs=1e-6)
    line = GaussianSums.empty(2)
    line.update(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    other = GaussianSums.empty(2)
    other.update(torch.tensor([[3.0, -2.0], [3.0, 2.0]]))
    # Means (1, 0) and (3, 0); variances 2 along x and 8 along y, which do not overlap.
    assert frechet_distance(line, other) == pytest.approx(4 + 2 + 8, rel=1e-12)


def test_sliced_distance_of_a_shift_is_the_mean_projection_of_the_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(2, 5, 300, generator=generator)
    shift = torch.tensor([3.0, 0.0, -1.0, 0.0, 2.0])
    along = directions(40, 5)
    expected = (along @ shift).square().mean().sqrt().item()
    shuffled = (cloud + shift[None, :, None])[:, :, torch.randperm(300, generator=generator)]
    found = ordered_distance(ordered(cloud, along), ordered(shuffled, along))
    assert found.tolist() == pytest.approx([expected, expected], rel=1e-5)
    # Three copies of every vector have the quantiles of one, up to interpolation inside a copy.
    thrice = cloud.repeat_interleave(3, dim=2)
    found = ordered_distance(ordered(thrice, along), ordered(cloud, along))
    assert found.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_lab_equals_scikit_image() -> None:
    from skimage.color import rgb2lab

    pixels = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    pixels[0, :, 0, :5] = torch.tensor([0.0, 1.0, 0.002, 0.04, 0.5])
    expected = rgb2lab(pixels.double().permute(0, 2, 3, 1).numpy())
    found = rgb_to_lab(pixels.double()).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_self_similarity_ignores_new_colours_of_equal_areas(network_weights: None) -> None:
    halves = torch.zeros(1, 3, 128, 128)
    halves[..., 64:] = 1.0
    style = picture(independent.triple("same_size")[2])
    content, negative = Picture(halves, "halves"), Picture(1 - halves, "negative")
    mixed = Picture(halves[..., torch.arange(128).roll(32)], "moved")
    repainted = score("self_similarity", negative, content, style)[""]
    assert repainted < 0.5 * score("self_similarity", mixed, content, style)[""]


# --- properties --------------------------------------------------------------------------


def test_copies_of_content_and_style_have_known_scores(network_weights: None) -> None:
    _, content, style = map(picture, independent.triple("same_size"))
    parts = ("", "vgg16", "alexnet")
    names = ("total_error", "content_error", "style_error")
    for output, expected in ((content, (1.0, 0.0, 1.0)), (style, (1.0, 1.0, 0.0))):
        records = scorer(*names, "uef").score_pair(output, content, style)
        for name, value in zip(names, expected, strict=True):
            assert records[name]["values"] == pytest.approx(dict.fromkeys(parts, value), abs=1e-9)
        factor = records["uef"]["values"]
        assert factor[""] == pytest.approx(1 / factor["bar"], rel=1e-9)
        assert all(factor[part] >= 1 - 1e-9 for part in parts)


def test_resized_style_has_content_error_one(network_weights: None) -> None:
    _, content, style = map(picture, independent.triple("other_size"))
    output = Picture(resize(style.pixels, (content.height, content.width)), "style copy")
    assert score("content_error", output, content, style)[""] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        *("content_loss", "lpips_alex", "lpips_vgg", "ssim", "self_similarity"),
        *("lpips_gray", "cfsd_vgg16", "ms_ssim", "gmsd"),
    ],
)
def test_content_copy_is_perfect_for_content_metrics(name: str, network_weights: None) -> None:
    _, content, style = map(picture, independent.triple("same_size"))
    best = 1.0 if registry.load("metrics", name).info.higher_is_better else 0.0
    assert score(name, content, content, style)[""] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("name", ["style_loss", "gram_distance", "swd_style", "color_distance"])
def test_style_copy_is_perfect_for_style_metrics(name: str, network_weights: None) -> None:
    style = picture(independent.triple("other_size")[2])
    assert score(name, style, style, style)[""] == 0.0


def test_every_metric_is_monotonic_in_a_blend(network_weights: None) -> None:
    _, content, style = map(picture, independent.triple("same_size"))
    used = scorer(*PAIR_METRICS)
    rows = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        blend = Picture((1 - share) * content.pixels + share * style.pixels, f"{share}")
        records = used.score_pair(blend, content, style)
        rows.append({name: records[name]["values"][""] for name in PAIR_METRICS})
    for name in ("content_error", "content_loss", "lpips_alex", "lpips_vgg", "self_similarity"):
        assert np.all(np.diff([row[name] for row in rows]) > 0), name
    for name in (
        "style_error",
        "style_loss",
        "gram_distance",
        "swd_style",
        "color_distance",
        "ssim",
    ):
        assert np.all(np.diff([row[name] for row in rows]) < 0), name


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_batches_have_the_scores_of_their_members(
    name: str, network_weights: None, trio: tuple[Picture, Picture, Picture]
) -> None:
    output, content, style = trio
    flipped = output.pixels.flip(-1)
    batch = Picture(torch.cat([output.pixels, content.pixels, flipped]), "batch")
    metric = make(name)
    metric.load(CPU)
    with torch.inference_mode():
        pair = FeatureBank(CPU).pair(batch, content, style, metric.info.features)
        together = metric.compute(pair)
    for i, pixels in enumerate(batch.pixels):
        alone = score(name, Picture(pixels[None], "one"), content, style)
        for part, value in alone.items():
            assert together[part].shape == (3,)
            assert together[part][i].item() == pytest.approx(value, rel=1e-5, abs=1e-6), part


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_values_are_in_the_stated_range(
    name: str, network_weights: None, trio: tuple[Picture, Picture, Picture]
) -> None:
    low, high = registry.load("metrics", name).info.range
    assert low <= score(name, *trio)[""] <= high


def test_message_for_a_pair_without_contrast_names_it(network_weights: None) -> None:
    output, content, _ = map(picture, independent.triple("same_size"))
    same = replace(content, name="twin")
    records = scorer("uef", "content_error", "style_error", "ssim").score_pair(
        output, content, same
    )
    reasons = dict.fromkeys(("uef", "content_error"), "is laid out like content 'picture'")
    reasons["style_error"] = "content 'picture' and style 'twin' differ by less than"
    for name, reason in reasons.items():
        assert reason in records[name]["error"]
        assert "again" not in records[name]
    assert "values" in records["ssim"]


def test_too_small_pictures_have_a_clear_message(network_weights: None) -> None:
    small = Picture(torch.rand(1, 3, 10, 40), "small")
    other = Picture(torch.rand(1, 3, 10, 40), "other")
    records = scorer("ssim", "uef", "lpips_alex").score_pair(small, small, other)
    for name, least in (("ssim", "11 px"), ("uef", "16 x 16 px"), ("lpips_alex", "31 x 31 px")):
        assert least in records[name]["error"], records[name]
        assert "again" not in records[name]


@pytest.mark.slow
@pytest.mark.skipif(not SWEEPS, reason="the folder of published sweeps is missing")
@pytest.mark.parametrize("folder", SWEEPS, ids=lambda path: path.name)
def test_published_sweeps_are_ordered_at_every_step(folder: Path, network_weights: None) -> None:
    def read(name: str) -> Picture:
        return picture(fit(read_image(folder / name), 256, "crop"), name)

    content, style = read("content.jpg"), read("style.jpg")
    used = scorer("content_error", "style_error")
    records = [used.score_pair(read(f"{i}.jpg"), content, style) for i in range(6)]
    for part in ("", "vgg16", "alexnet"):
        lost = [record["content_error"]["values"][part] for record in records]
        missed = [record["style_error"]["values"][part] for record in records]
        assert np.all(np.diff(lost) > 0), (part, lost)
        assert np.all(np.diff(missed) < 0), (part, missed)


# --- the set metric ----------------------------------------------------------------------


def outputs(count: int) -> list[tuple[Picture, Picture, Picture]]:
    generator = torch.Generator().manual_seed(3)
    pictures = []
    for i in range(count):
        _, content, style = map(picture, independent.triple("same_size"))
        noisy = (content.pixels + 0.2 * torch.rand(1, 3, 96, 96, generator=generator)).clamp(0, 1)
        shifted = Picture(style.pixels.roll(10 * (i % 3), dims=1 + i % 3), f"style{i % 3}")
        pictures.append((Picture(noisy, f"{i}"), content, shifted))
    return pictures


def test_fd_vgg16_merges_and_counts_each_style_once(network_weights: None) -> None:
    trios = outputs(6)
    whole, first, second = scorer("fd_vgg16"), make("fd_vgg16"), make("fd_vgg16")
    network = load_backbone("vgg16")
    vectors, styles = GaussianSums.empty(512), GaussianSums.empty(512)
    bank = FeatureBank(CPU)
    with torch.inference_mode():
        for i, trio in enumerate(trios):
            assert whole.score_pair(*trio) == {}
            pair = bank.pair(*trio, first.info.features)
            (first if i < 2 else second).update(pair)
            vectors.update(network(trio[0].pixels, ["relu5_3"])["relu5_3"].mean(dim=(2, 3)))
            if i < 3:
                styles.update(network(trio[2].pixels, ["relu5_3"])["relu5_3"].mean(dim=(2, 3)))
    first.merge(second)
    expected = frechet_distance(vectors, styles)
    values = whole.set_scores()["fd_vgg16"]["values"]
    assert values == pytest.approx({"": expected, "n": 6.0, "styles": 3.0}, rel=1e-6)
    assert first.compute() == pytest.approx(values, rel=1e-9)


# --- the feature bank --------------------------------------------------------------------


class Counter:
    """Loads networks that record their input pictures."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def __call__(self, name: str, device: torch.device) -> LayeredNetwork:
        network = BACKBONES[name].build("max").with_weights(BACKBONES[name].weight)
        network.register_forward_pre_hook(
            lambda _, args: self.seen.append((name, tuple(args[0].shape)))
        )
        return network


def test_each_network_processes_each_picture_once(network_weights: None) -> None:
    counter = Counter()
    # The grey pictures of this metric are others, so AlexNet processes them as well.
    names = [name for name in (*PAIR_METRICS, "fd_vgg16") if name != "lpips_gray"]
    used = Scorer({name: make(name) for name in names}, CPU, FeatureBank(CPU, load=counter))
    # At 256 px places are compared in the picture as it is.
    content, style = (
        picture(make_(256, 256)) for make_ in (independent.scene, independent.texture)
    )
    output = Picture(0.5 * content.pixels + 0.5 * style.pixels.flip(-1), "output")
    answers = 4
    used.score_pair(output, content, style)
    # Output, content and style, whose resized copy is the style itself; the trivial answers.
    passes = 3 + answers
    assert sorted(name for name, _ in counter.seen) == ["alexnet"] * passes + ["vgg16"] * passes
    used.score_pair(content, content, style)
    assert len(counter.seen) == 2 * (passes + 1)
    small = Picture(style.pixels[..., :80], "small")
    used.score_pair(output, content, small)
    # The output again, the new style in its own and in the content's shape, the new pair's answers.
    assert len(counter.seen) == 2 * (passes + 1) + 2 * (3 + answers)


def test_grey_pictures_are_processed_once_and_the_content_is_kept(network_weights: None) -> None:
    counter = Counter()
    used = Scorer({"lpips_gray": make("lpips_gray")}, CPU, FeatureBank(CPU, load=counter))
    output, content, style = map(picture, independent.triple("same_size"))
    used.score_pair(output, content, style)
    assert [name for name, _ in counter.seen] == ["alexnet"] * 2
    used.score_pair(content, content, style)
    assert len(counter.seen) == 3


def test_one_metric_runs_only_the_layers_that_it_needs(network_weights: None) -> None:
    counter = Counter()
    used = Scorer({name: make(name) for name in PAIR_METRICS}, CPU, FeatureBank(CPU, load=counter))
    output, content, style = map(picture, independent.triple("same_size"))
    found = used.score_pair(output, content, style, only={"lpips_alex"})
    assert list(found) == ["lpips_alex"]
    assert [name for name, _ in counter.seen] == ["alexnet"] * 2
    assert list(used.score_pair(output, content, style, only={"ssim"})) == ["ssim"]
    assert len(counter.seen) == 2


def test_only_declared_layers_are_kept(
    network_weights: None, trio: tuple[Picture, Picture, Picture]
) -> None:
    needs = [
        Features("vgg16", ("relu2_1",), ("output",)),
        Features("vgg16", ("relu1_1", "relu2_1"), ("output",), gram=True),
    ]
    pair = FeatureBank(CPU).pair(*trio, needs)
    assert list(pair.features("vgg16", "output")) == ["relu2_1"]
    assert pair.gram("vgg16", "output", "relu1_1").shape == (1, 64, 64)
    with pytest.raises(KeyError, match="relu3_1"):
        pair.gram("vgg16", "output", "relu3_1")
    with pytest.raises(KeyError, match="'style'"):
        pair.features("vgg16", "style")
    with pytest.raises(ValueError, match="'outputs'"):
        FeatureBank(CPU).pair(*trio, [Features("vgg16", ("relu1_1",), ("outputs",))])


def test_bank_stays_within_its_budget(network_weights: None) -> None:
    counter = Counter()
    needs = [Features("alexnet", ("conv1",), ("output", "content", "style"))]
    one = 64 * 23 * 23 * 4
    bank = FeatureBank(CPU, budget=2 * one, load=counter)
    generator = torch.Generator().manual_seed(0)
    contents = [Picture(torch.rand(1, 3, 96, 96, generator=generator), f"{i}") for i in range(3)]

    def visit(content: Picture) -> int:
        before = len(counter.seen)
        bank.pair(content, content, content, needs).features("alexnet", "content")
        return len(counter.seen) - before

    assert [visit(contents[i]) for i in (0, 1, 0, 2, 0, 1)] == [1, 1, 0, 1, 0, 1]


def test_pictures_of_equal_checksum_and_different_shape_are_different(
    network_weights: None,
) -> None:
    bank = FeatureBank(CPU)
    needs = [Features("alexnet", ("conv1",), ("content",))]
    for width in (64, 96):
        content = Picture(torch.rand(1, 3, 64, width), "content", sha256="same")
        found = bank.pair(content, content, content, needs).features("alexnet", "content")
        expected = load_backbone("alexnet")(content.pixels, ["conv1"])["conv1"]
        torch.testing.assert_close(found["conv1"], expected, rtol=0, atol=0)


# --- the scorer --------------------------------------------------------------------------

INFO = MetricInfo("Odd", Scope.PAIR, False, (0.0, 1.0), "none", "none")


class Raises(PairMetric):
    """A plug-in whose ``compute`` raises an exception."""

    info = INFO

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        raise RuntimeError("out of ideas")


class Nan(PairMetric):
    """A plug-in whose value is NaN."""

    info = INFO

    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        return {"": torch.ones(1), "odd": torch.tensor([float("nan")])}


class Unloadable(Nan):
    """A plug-in whose ``load`` raises an exception."""

    def load(self, device: torch.device) -> None:
        raise NstbenchError("its weights are missing")


class CrashingSet(registry.load("metrics", "fd_vgg16")):  # type: ignore[misc]
    """A set metric whose ``update`` raises an exception."""

    info = replace(registry.load("metrics", "fd_vgg16").info, features=())

    def update(self, pair: ScoringPair) -> None:
        raise RuntimeError("no room")


def test_a_failing_metric_does_not_affect_the_others() -> None:
    metrics: dict[str, Metric] = {
        "raises": Raises(),
        "nan": Nan(),
        "unloadable": Unloadable(),
        "crashing": CrashingSet(),
        "ssim": make("ssim"),
    }
    used = Scorer(metrics, CPU)
    output, content, style = map(picture, independent.triple("same_size"))
    records: dict[str, Record] = used.score_pair(output, content, style)
    assert records["raises"] == {"error": "RuntimeError: out of ideas", "again": True}
    assert records["nan"] == {"error": "odd is not a finite number"}
    assert records["unloadable"] == {"error": "its weights are missing", "again": True}
    assert records["ssim"]["values"][""] > 0
    no_room = {"error": "RuntimeError: no room", "again": True}
    assert used.set_scores() == {"crashing": no_room}
    used.reset()
    assert "no output yet" in used.set_scores()["crashing"]["error"]


# --- timing metrics ----------------------------------------------------------------------

TIMING = Timing(
    method="m", plugin="m", size=256, device="cpu", latency=(4.0, 1.0, 2.0, 3.0), first_call=9.0,
    load=0.5, prepare=(0.1, 0.3, 0.2), peak_memory=2**20, parameters=1000, calibration=(0.1,),
    environment={}, training=60.0, flops=4_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("latency", {"": 2.5, "q25": 1.75, "q75": 3.25, "min": 1.0, "n": 4.0}),
        ("throughput", {"": 0.4}),
        ("load_seconds", {"": 0.5}),
        ("prepare_seconds", {"": 0.2, "n": 3.0}),
        ("train_seconds", {"": 60.0}),
        ("peak_memory", {"": 1048576.0}),
        ("parameters", {"": 1000.0}),
        ("flops", {"": 4000.0}),
    ],
)
def test_timing_metrics_read_the_record(name: str, expected: dict[str, float]) -> None:
    assert make(name).compute(TIMING) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name",
    ["latency", "throughput", "prepare_seconds", "peak_memory", "parameters", "flops",
     "train_seconds"],
)  # fmt: skip
def test_missing_measurements_have_no_value(name: str) -> None:
    unknown = dict.fromkeys(("peak_memory", "parameters", "flops", "training"))
    empty = replace(TIMING, latency=(), prepare=(), **unknown)
    assert make(name).compute(empty) == {}
