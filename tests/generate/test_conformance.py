"""The contract, checked on every registered plug-in; new files are included automatically."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nstbench.core.records import Role
from nstbench.generate.conformance import method_checks, metric_checks
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


@pytest.mark.parametrize("check", method_checks.METHOD_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_method(name, check, available):
    check(available(name))


@pytest.mark.parametrize("check", metric_checks.METRIC_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METRICS)
def test_metric(name, check):
    state = metric_card(name).availability
    if check is not metric_checks.states_its_facts and not state.ok:
        pytest.skip(f"{name}: {state.reason}. {state.remedy}")
    check(registry.load("metrics", name))


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
            method_checks.returns_a_picture(cls)

    def test_unseeded(self, mistaken):
        cls = mistaken(stylize=lambda self, content, **_: torch.rand_like(content.pixels))
        with pytest.raises(method_checks.ConformanceError, match="generator"):
            method_checks.repeats_under_a_seed(cls)
        with pytest.raises(method_checks.ConformanceError, match="global generator"):
            method_checks.leaves_the_world_alone(cls)

    def test_changes_input(self, mistaken):
        cls = mistaken(stylize=lambda self, content, **_: content.pixels.mul_(0.5))
        with pytest.raises(method_checks.ConformanceError, match="content picture"):
            method_checks.leaves_its_input_alone(cls)

    def test_remembers_a_style(self, mistaken):
        def prepare(self, style):
            self.first = getattr(self, "first", style)

        cls = mistaken(prepare=prepare, stylize=lambda self, content, **_: self.first.pixels)
        with pytest.raises(method_checks.ConformanceError, match="prepared before"):
            method_checks.forgets_the_last_style(cls)

    def test_prints(self, mistaken):
        def stylize(self, content, **_):
            print("hello")
            return content.pixels.clone()

        with pytest.raises(method_checks.ConformanceError, match="prints"):
            method_checks.leaves_the_world_alone(mistaken(stylize=stylize))


class TestNonConformingMetrics:
    """Each check finds the mistake that it exists for."""

    @pytest.fixture
    def mistaken(self):
        def make(name="color_distance", facts=None, **members):
            base = registry.load("metrics", name)
            info = replace(base.info, **(facts or {}))
            return type("Mistaken", (base,), {"__doc__": "A mistake.", "info": info, **members})

        return make

    def test_empty_citation(self, mistaken):
        with pytest.raises(method_checks.ConformanceError, match="citation"):
            metric_checks.states_its_facts(mistaken(facts={"citation": ""}))

    @pytest.mark.parametrize("facts", [{"ideal": "content"}, {"higher_is_better": True}])
    def test_wrong_ideal_or_direction(self, mistaken, facts):
        with pytest.raises(method_checks.ConformanceError, match="a copy of the"):
            metric_checks.gives_its_ideal_the_best_value(mistaken(facts=facts))

    def test_best_value_outside_of_the_stated_range(self, mistaken):
        cls = mistaken(facts={"range": (-10.0, 100.0)})
        with pytest.raises(method_checks.ConformanceError, match="the best value is -10"):
            metric_checks.gives_its_ideal_the_best_value(cls)

    def test_value_outside_of_the_stated_range(self, mistaken):
        with pytest.raises(method_checks.ConformanceError, match="range"):
            metric_checks.stays_in_its_range(mistaken(facts={"range": (0.0, 1e-6)}))

    def test_changes_its_input(self, mistaken):
        def compute(self, pair):
            return {"": pair.output.pixels.mul_(0.5).mean(dim=(1, 2, 3))}

        with pytest.raises(method_checks.ConformanceError, match="changes output"):
            metric_checks.leaves_its_input_alone(mistaken(compute=compute))

    def test_mixes_the_outputs_of_a_batch(self, mistaken):
        def compute(self, pair):
            return {"": pair.output.pixels.mean().expand(len(pair.output.pixels))}

        with pytest.raises(method_checks.ConformanceError, match="of a batch"):
            metric_checks.scores_a_batch_like_single_pairs(mistaken(compute=compute))

    def test_one_value_for_a_batch(self, mistaken):
        def compute(self, pair):
            return {"": pair.output.pixels.mean()[None]}

        with pytest.raises(method_checks.ConformanceError, match="shape"):
            metric_checks.scores_a_batch_like_single_pairs(mistaken(compute=compute))

    def test_divides_by_zero_on_flat_pictures(self, mistaken):
        def compute(self, pair):
            return {"": 1 / pair.output.pixels.std(dim=(1, 2, 3))}

        with pytest.raises(method_checks.ConformanceError, match="flat output: part '' is inf"):
            metric_checks.is_finite_on_flat_pictures(mistaken(compute=compute))

    def test_draws_random_numbers(self, mistaken):
        cls = mistaken(compute=lambda self, pair: {"": torch.rand(1)})
        with pytest.raises(method_checks.ConformanceError, match="two calls"):
            metric_checks.repeats_itself(cls)

    def test_verdicts_name_the_check_and_its_demand(self, mistaken):
        cls = mistaken(facts={"title": ""})
        verdicts = list(method_checks.verdicts(cls, metric_checks.METRIC_CHECKS))
        assert [verdict.check for verdict in verdicts if verdict.problem] == ["states_its_facts"]
        assert len(verdicts) == len(metric_checks.METRIC_CHECKS)
