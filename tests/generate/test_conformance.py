"""The contract, checked on every registered plug-in; new files are included automatically."""

from __future__ import annotations

import pytest
import torch

from nstbench.core.records import Role
from nstbench.generate import conformance
from nstbench.nn.backbones.vgg import VGG16
from nstbench.nn.weights import cache as weights
from nstbench.plan.config import MethodSpec
from nstbench.plan.variants import make_variant, metric_card
from nstbench.plugins import registry
from nstbench.training.checkpoints import Card
from nstbench.training.trainable import TrainableMethod

METHODS = registry.names("methods")
METRICS = registry.names("metrics")
DATASETS = registry.names("datasets")


@pytest.fixture(scope="module")
def available():
    """Return the class of a method; skip with the reason if it cannot be used here."""

    def get(name):
        state = make_variant(MethodSpec(name=name), {}).card.availability
        if not state.ok:
            pytest.skip(f"{name}: {state.reason}. {state.remedy}")
        cls = registry.load("methods", name)
        state = weights.availability(VGG16)
        if issubclass(cls, TrainableMethod) and not state.ok:
            pytest.skip(f"{name} cannot be trained: {state.reason}")
        return cls

    return get


def test_there_are_plugins_of_every_kind():
    for kind in registry.KINDS:
        assert registry.names(kind), kind


@pytest.mark.parametrize("check", conformance.METHOD_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_method(name, check, available):
    check(available(name))


@pytest.mark.parametrize("name", METRICS)
def test_metric_states_its_facts(name):
    cls = registry.load("metrics", name)
    info = cls.info
    assert info.title
    assert info.citation
    assert info.description
    assert info.range[0] < info.range[1]
    assert info.version >= 1
    assert cls.__doc__
    card = metric_card(name)
    assert card.availability.ok or card.availability.reason


def test_each_role_has_one_metric():
    roles = [metric_card(name).role for name in METRICS]
    for role in ("quality", "content", "style", "speed", "memory"):
        assert roles.count(role) == 1, role


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_states_its_facts(name):
    info = registry.load("datasets", name).info
    assert info.title
    assert info.description
    assert info.licence
    assert info.citation or info.opens_paths, "only pictures of the user have no citation"
    assert info.roles
    assert set(info.roles) <= set(Role)


@pytest.mark.parametrize("name", METHODS)
def test_method_states_its_licence(name):
    assert registry.load("methods", name).info.licence


def test_shipped_checkpoints_state_their_licence():
    folder = registry.folder("methods") / "weights"
    cards = [Card.model_validate_json(p.read_text()) for p in folder.glob("*.json")]
    assert cards
    assert all(card.licence for card in cards)


class TestNonConformingMethods:
    """Each check finds the mistake that it is made for."""

    @pytest.fixture
    def mistaken(self):
        base = registry.load("methods", "content_copy")

        def make(**members):
            return type("Mistaken", (base,), {"__doc__": "A mistake.", **members})

        return make

    def test_wrong_shape(self, mistaken):
        cls = mistaken(stylize=lambda self, content, **_: content.pixels[..., :-1])
        with pytest.raises(Exception, match="shape"):
            conformance.returns_a_picture(cls)

    def test_unseeded(self, mistaken):
        cls = mistaken(stylize=lambda self, content, **_: torch.rand_like(content.pixels))
        with pytest.raises(conformance.ConformanceError, match="generator"):
            conformance.repeats_under_a_seed(cls)
        with pytest.raises(conformance.ConformanceError, match="global generator"):
            conformance.leaves_the_world_alone(cls)

    def test_changes_input(self, mistaken):
        cls = mistaken(stylize=lambda self, content, **_: content.pixels.mul_(0.5))
        with pytest.raises(conformance.ConformanceError, match="content picture"):
            conformance.leaves_its_input_alone(cls)

    def test_remembers_a_style(self, mistaken):
        def prepare(self, style):
            self.first = getattr(self, "first", style)

        cls = mistaken(prepare=prepare, stylize=lambda self, content, **_: self.first.pixels)
        with pytest.raises(conformance.ConformanceError, match="prepared before"):
            conformance.forgets_the_last_style(cls)

    def test_prints(self, mistaken):
        def stylize(self, content, **_):
            print("hello")
            return content.pixels.clone()

        with pytest.raises(conformance.ConformanceError, match="prints"):
            conformance.leaves_the_world_alone(mistaken(stylize=stylize))
