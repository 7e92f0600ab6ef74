"""Tests of the facts about methods on the board: home metrics, training, packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nstbench.contracts import Method
from nstbench.core.records import ImageRecord
from nstbench.generate.conformance import method_checks
from nstbench.generate.method_timing import TimingRequest, time_method
from nstbench.generate.unit_inputs import read_input
from nstbench.pictures.picture import to_pixels
from nstbench.plan import variants as catalog
from nstbench.plan.config import MethodSpec
from nstbench.plugins import registry
from nstbench.plugins.programs.entry import Program
from nstbench.report.parts.rows import is_home
from nstbench.store.store import Store
from nstbench.training.trainable import TrainableMethod

CPU = torch.device("cpu")
COLOURS = np.array([[255, 0, 0], [0, 0, 255], [0, 255, 0]], dtype=np.uint8)


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, ImageRecord]:
    """A run folder with a picture of 64 px and its map: three labels in stripes."""
    labels = np.repeat(COLOURS[np.arange(64) // 22][None], 64, axis=0)
    Image.fromarray(labels).save(tmp_path / "map.png")
    Image.fromarray(to_pixels(method_checks.example().pixels)).save(tmp_path / "a.png")
    return tmp_path, ImageRecord("a", Path("a.png"), sha256="a", semantic_map=Path("map.png"))


def make(name: str, **params) -> Method:
    cls = registry.load("methods", name)
    return cls(cls.Params(**params))


def variants() -> Iterator[tuple[str, Method]]:
    """Return every method with its defaults, and with each network and loss it offers."""
    for name in registry.names("methods"):
        yield name, make(name)
        fields = registry.load("methods", name).Params.model_fields
        for field, values in (("network", ("vgg16", "vgg19", "own")), ("loss", ("gram",))):
            if field in fields:
                for value in values:
                    if value in getattr(fields[field].annotation, "__args__", ()):
                        yield f"{name}:{field}={value}", make(name, **{field: value})


def test_methods_with_bfloat16_state_it_as_a_deviation() -> None:
    for label, method in variants():
        if "precision" in type(method).Params.model_fields:
            assert "bfloat16" in " ".join(method.info.deviations), label


def test_starting_noise_is_a_stated_deviation() -> None:
    for label, method in variants():
        if getattr(method.params, "init", "") == "noise":
            assert "Noise starts are Gaussian" in " ".join(method.info.deviations), label


# --- home --------------------------------------------------------------------------------


def test_every_tag_is_the_home_of_a_metric_and_explained() -> None:
    known = {tag for card in catalog.metric_cards("all").values() for tag in card.home_for}
    page = Path(__file__).parents[2].joinpath("docs/metrics/README.md").read_text()
    for label, method in variants():
        for tag in method.trained_on():
            assert tag in known, f"{label}: {tag} marks nothing"
            assert f"`{tag}`" in page, f"{label}: {tag} is in no table of the page"
    assert known <= {tag for _, method in variants() for tag in method.trained_on()}


def test_facts_of_the_class_are_those_of_its_defaults() -> None:
    for name in registry.names("methods"):
        method = make(name)
        assert method.trained_on() == method.info.trained_on, name
        assert method.required_packages() == method.info.requires, name
        assert method.in_torch() == method.info.in_torch, name


STATISTICS = {"gram_distance", "style_loss", "style_moments", "sifd_vgg16", "style_retrieval"}
"""Metrics of statistics of VGG-16's activations."""


@pytest.mark.parametrize(
    ("spec", "homes"),
    [
        (MethodSpec(name="wct_2017"), STATISTICS | {"content_loss"}),
        (MethodSpec(name="adain_2017"), STATISTICS | {"content_loss"}),
        (MethodSpec(name="li_wand_2016"), {"swd_style", "patch_coverage", "content_loss"}),
        (
            MethodSpec(name="champandard_2016", params={"loss": "gram"}),
            STATISTICS | {"content_loss"},
        ),
        (MethodSpec(name="reinhard_2001"), set()),
    ],
    ids=lambda value: value.board_label if isinstance(value, MethodSpec) else "",
)
def test_metrics_that_are_home(spec: MethodSpec, homes: set[str]) -> None:
    card = catalog.make_variant(spec, {}).card
    metrics = catalog.metric_cards("all").values()
    assert {metric.name for metric in metrics if is_home(card, metric)} == homes


@pytest.mark.parametrize("name", ["gatys_2015", "johnson_2016", "dumoulin_2017", "wct_2017"])
def test_tags_name_the_network_of_the_parameters(name: str) -> None:
    card = catalog.make_variant(MethodSpec(name=name, params={"network": "vgg19"}), {}).card
    assert {tag.partition("-")[0] for tag in card.trained_on} == {"vgg19"}
    assert len(card.trained_on) == len(make(name).info.trained_on)


# --- training ----------------------------------------------------------------------------


def test_only_methods_without_training_took_no_time() -> None:
    for name in registry.names("methods"):
        cls = registry.load("methods", name)
        trains = issubclass(cls, TrainableMethod)
        assert make(name).training_seconds() == (None if trains else 0.0), name
    magenta = make("ghiasi_2017")
    assert magenta.training_seconds() is None, "the authors' 8 million steps are not nothing"
    registry.add_program(Program(name="theirs", command="run {content} {style} {output}"))
    assert make("theirs").training_seconds() is None


def test_training_time_of_other_authors_weights_is_unknown() -> None:
    class Foreign(Method):
        """A method whose weights other authors trained."""

        info = make("ghiasi_2017").info

        def prepare(self, style) -> None:
            """Do nothing."""

        def stylize(self, content, *, generator, on_step):
            """Return the content."""
            return content.pixels

    assert Foreign(Foreign.Params()).training_seconds() is None


def test_a_checkpoint_states_its_training_time() -> None:
    method = method_checks.make(registry.load("methods", "johnson_2016"))
    method.prepare(method_checks.example(kind=1))
    assert method.training_seconds() == method.opened.card.total_seconds == 0.0


# --- packages and the counter ------------------------------------------------------------


def test_a_missing_package_makes_a_method_unavailable(
    monkeypatch: pytest.MonkeyPatch, network_weights: None
) -> None:
    cls = registry.load("methods", "ghiasi_2017")
    assert catalog.make_variant(MethodSpec(name="ghiasi_2017"), {}).card.availability.ok
    monkeypatch.setattr(cls, "required_packages", lambda self: ("torch", "no_such_package"))
    state = catalog.make_variant(MethodSpec(name="ghiasi_2017"), {}).card.availability
    assert (state.ok, state.remedy) == (False, "pip install no_such_package")


def test_the_operations_of_both_networks_are_counted(
    mapped: tuple[Path, ImageRecord], network_weights: None
) -> None:
    folder, record = mapped
    counts = []
    for network in ("own", "magenta"):
        request = TimingRequest(
            "k", network, "ghiasi_2017", {"network": network}, record, record, size=64, repeats=1
        )
        counts.append(time_method(request, Store(folder), CPU, 1).flops)
    assert counts[0] > 1e8
    # convolutions at 384 px: two of 9 x 9, two contracting, ten residual and two expanding; heads
    side = 384**2
    outer = 2 * 81 * 3 * 8 * side
    inner = 9 * (8 * 16 * side / 4 + 16 * 32 * side / 16 + 10 * 32 * 32 * side / 16)
    expanding = 9 * (32 * 16 * side / 4 + 16 * 8 * side)
    heads = 100 * 2 * (10 * 32 + 16 + 8 + 3)
    assert counts[1] == pytest.approx(2 * (outer + inner + expanding + heads))


# --- pictures at another size ------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 64, 96, 48])
def test_maps_are_fitted_with_their_pictures(
    mapped: tuple[Path, ImageRecord], size: int | None
) -> None:
    picture = read_input(*mapped, CPU, size)
    side = size or 64
    assert picture.pixels.shape == picture.semantic_map.shape == (1, 3, side, side)
    row = to_pixels(picture.semantic_map)[side // 2]
    assert {tuple(colour) for colour in row} == {tuple(colour) for colour in COLOURS}
    shares = [np.mean((row == colour).all(axis=-1)) for colour in COLOURS]
    assert shares == pytest.approx([22 / 64, 22 / 64, 20 / 64], abs=1 / side)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("gatys_2015", {"masks": "maps"}),
        ("champandard_2016", {"coarse_scales": [], "coarse_iterations": []}),
    ],
)
def test_methods_with_maps_are_timed_at_another_size(
    mapped: tuple[Path, ImageRecord], name: str, params: dict, network_weights: None
) -> None:
    folder, record = mapped
    request = TimingRequest(
        "k", name, name, {"iterations": 1, **params}, record, record, size=48, repeats=1
    )
    timing = time_method(request, Store(folder), CPU, 1)
    assert len(timing.latency) == 1
    assert timing.training == 0.0
