"""Tests of AdaIN, WCT, CycleGAN and the own network of Ghiasi et al. after a few steps."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from nstbench.contracts import Picture
from nstbench.core.records import ImageRecord, Role
from nstbench.generate.conformance.method_checks import CPU, call, example, trained_quickly
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.backbones.vgg import VGG16
from nstbench.nn.generators.decoder import build_decoder, encode, mirror_weights, reflect_borders
from nstbench.nn.generators.style_prediction import ArbitraryStyleNetwork
from nstbench.nn.losses.feature_transforms import channel_moments
from nstbench.nn.losses.gram import gram_matrix
from nstbench.nn.weights import cache as weights
from nstbench.pictures.picture import to_tensor, write_png
from nstbench.plugins import registry
from nstbench.training.steps.plain import plain_step
from nstbench.training.trainable import StyleUse, Task
from nstbench.training.trainable import Training as TrainingBase

QUICK = {
    "adain_2017": {},
    "wct_2017": {"levels": [3, 2, 1], "feature_weight": 0.01},
    "cyclegan_2017": {"width": 4, "blocks": 6},
    "ghiasi_2017": {"network": "own", "width": 0.25},
}
# These losses fall within a few steps on two fixed pictures. Adversarial losses do not.
FALLING = {
    "adain_2017": "total",
    "wct_2017": "reconstruction",
    "cyclegan_2017": "cycle",
    "ghiasi_2017": "total",
}


@pytest.fixture(autouse=True)
def _vgg():
    state = weights.availability(VGG16)
    if not state.ok:
        pytest.skip(f"{state.reason}. {state.remedy}")


def _method(name: str, **params):
    cls = registry.load("methods", name)
    method = cls(cls.Params(**{**cls.quick, **params}))
    method.library = trained_quickly(cls)
    method.load(CPU)
    return method


def _stylized(name: str, style: Picture, **params) -> torch.Tensor:
    method = _method(name, **params)
    method.prepare(style)
    return call(method, example(48, 64))


def _training(name: str, steps: int = 40) -> TrainingBase:
    cls = registry.load("methods", name)
    method = cls(cls.Params(**QUICK[name]))
    recipe = replace(cls.recipe, size=64, batch=2, style_size=64, learning_rate=1e-3, steps=steps)
    torch.manual_seed(0)
    task = Task(recipe, CPU, (), _nothing, precision="float32")
    return method.training(task)


def _nothing():
    return torch.autocast("cpu", enabled=False)


def _run(training: TrainingBase, name: str, steps: range) -> list[dict[str, float]]:
    contents = torch.cat([example().pixels, example().pixels.flip(3)])
    styles = torch.cat([example(kind=kind).pixels for kind in (1, 2)])
    use = registry.load("methods", name).recipe.styles
    history = []
    for index in steps:
        losses = plain_step(training, index, contents, styles if use == StyleUse.STREAM else None)
        for schedule in training.schedulers.values():
            schedule.step()
        history.append({key: float(value) for key, value in losses.items()})
    return history


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_training_lowers_its_loss(name):
    history = _run(_training(name), name, range(20))
    # WCT trains one decoder after the other; of forty steps, these train the second.
    first, last = (
        (history[8:10], history[12:14]) if name == "wct_2017" else (history[:10], history[-10:])
    )
    means = [np.mean([losses[FALLING[name]] for losses in part]) for part in (first, last)]
    assert means[1] < 0.9 * means[0]


@pytest.mark.parametrize(
    "name", ["cyclegan_2017", pytest.param("ghiasi_2017", marks=pytest.mark.slow)]
)
def test_training_continues_bit_for_bit_from_its_state(name):
    whole, broken, resumed = (_training(name) for _ in range(3))
    _run(whole, name, range(4))
    _run(broken, name, range(2))
    for kind in ("networks", "optimisers", "schedulers"):
        for key, part in getattr(resumed, kind).items():
            part.load_state_dict(copy.deepcopy(getattr(broken, kind)[key].state_dict()))
    resumed.load_state(copy.deepcopy(broken.state()))
    _run(resumed, name, range(2, 4))
    for key, tensor in whole.weights().items():
        assert torch.equal(tensor, resumed.weights()[key]), key


# --- AdaIN -------------------------------------------------------------------------------------


def test_adain_of_strength_zero_ignores_the_style():
    plain = _stylized("adain_2017", example(kind=1), alpha=0.0)
    assert torch.equal(plain, _stylized("adain_2017", example(kind=2), alpha=0.0))
    assert not torch.equal(plain, _stylized("adain_2017", example(kind=1)))


def test_adain_mixes_styles(tmp_path):
    first, second = example(kind=1), example(kind=2)
    write_png(tmp_path / "second.png", _grey_levels(second))
    stored = Picture(to_tensor(_grey_levels(second)), "second")
    given = []

    def decoded(style: Picture, **params) -> torch.Tensor:
        """Return the input of the decoder."""
        method = _method("adain_2017", **params)
        method.prepare(style)
        method._network.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        call(method, example())
        return given.pop()

    extra = {"extra_styles": [tmp_path / "second.png"]}
    mixed = decoded(first, **extra, style_mix=[3, 1])
    wanted = 0.75 * decoded(first) + 0.25 * decoded(stored)
    torch.testing.assert_close(mixed, wanted, rtol=1e-4, atol=1e-3)
    equal = (decoded(first) + decoded(stored)) / 2
    torch.testing.assert_close(decoded(first, **extra), equal, rtol=1e-4, atol=1e-3)


def test_adain_refuses_mixes_that_do_not_fit():
    cls = registry.load("methods", "adain_2017")
    for mix in ([0.5, 0.5], [-1.0], [0.0]):
        with pytest.raises(ValueError, match="style_mix"):
            cls.Params(style_mix=mix)


def test_adain_decodes_features_with_the_styles_statistics():
    method = _method("adain_2017")
    method.prepare(example(kind=1))
    given = []
    method._network.decoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    call(method, example())
    encoder = reflect_borders(load_backbone("vgg16"))
    wanted = channel_moments(encode(encoder, example(kind=1).pixels, ["relu4_1"])["relu4_1"])
    for found, expected in zip(channel_moments(given[0].double()), wanted, strict=True):
        # Channels that are constant in the content cannot be given a deviation.
        close = torch.isclose(found.float(), expected, rtol=1e-4, atol=1e-4)
        assert float(close.float().mean()) > 0.75
    torch.testing.assert_close(given[0].mean((2, 3)), wanted[0].flatten(1), rtol=1e-4, atol=1e-4)


def _grey_levels(picture: Picture) -> np.ndarray:
    return picture.pixels[0].permute(1, 2, 0).mul(255).round().byte().numpy()


# --- WCT -----------------------------------------------------------------------------------------


def test_wct_of_strength_zero_ignores_the_style():
    plain = _stylized("wct_2017", example(kind=1), alpha=0.0)
    assert torch.equal(plain, _stylized("wct_2017", example(kind=2), alpha=0.0))
    assert not torch.equal(plain, _stylized("wct_2017", example(kind=1)))


def test_wct_reports_a_step_per_level_and_takes_levels_downwards_only():
    steps = []
    method = _method("wct_2017", levels=[4, 2])
    method.prepare(example(kind=1))
    call(method, example(), steps=steps)
    assert [(step.index, step.total) for step in steps] == [(1, 2), (2, 2)]
    cls = registry.load("methods", "wct_2017")
    for levels in ([1, 2], [3, 3], []):
        with pytest.raises(ValueError, match="levels"):
            cls.Params(levels=levels)


def test_wct_trains_all_levels_one_after_the_other():
    training = _training("wct_2017", steps=10)
    before = {key: tensor.clone() for key, tensor in training.weights().items()}
    turns = []
    for index in range(1, 10):
        _run(training, "wct_2017", range(index, index + 1))
        after = {key: tensor.clone() for key, tensor in training.weights().items()}
        turns.append({key.split(".")[0] for key in after if (after[key] != before[key]).any()})
        before = after
    order = [1, 2, 2, 3, 4, 4, 4, 5, 5]
    assert turns == [{f"relu{level}_1"} for level in order]


def test_wct_trains_the_levels_of_a_checkpoint_in_turns():
    """Any part of the training has the levels in the same shares, whatever its length."""
    training = _training("wct_2017", steps=10)
    training.fresh = False
    for first in (0, 500, 123_456):
        levels = [training.phase(index) for index in range(first, first + 200)]
        shares = [levels.count(level) / 200 for level in (1, 2, 3, 4, 5)]
        assert shares == pytest.approx([0.2, 0.15, 0.15, 0.25, 0.25], abs=0.02)


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1"])
def test_mirrored_weights_begin_with_the_pictures_colours_and_contrast(layer):
    encoder = reflect_borders(load_backbone("vgg16"))
    pixels = example(96, 96).pixels
    decoder = build_decoder("vgg16", layer, CPU)
    mirror_weights(decoder, encoder, layer, pixels)
    with torch.no_grad():
        output = decoder(encode(encoder, pixels, [layer])[layer])
    torch.testing.assert_close(output.mean((2, 3)), pixels.mean((2, 3)), rtol=0, atol=1e-3)
    spread = (output - output.mean()).square().mean().sqrt() / pixels.std()
    assert 0.8 < float(spread) < 1.25
    # The weights of each convolution are the encoder's with inputs and outputs swapped.
    *_, last = (step for step in decoder if isinstance(step, torch.nn.Conv2d))
    twin = encoder.get_submodule("conv1_1").weight.transpose(0, 1).flip(-2, -1)
    ratio = last.weight / twin
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0)


# --- CycleGAN ------------------------------------------------------------------------------------


def test_cyclegan_lowers_its_learning_rate_in_the_second_half():
    module = registry.load("methods", "cyclegan_2017").__module__
    factor = __import__("sys").modules[module].learning_rate
    assert [factor(step, 200) for step in (0, 100, 150, 200)] == [1.0, 1.0, 0.5, 0.0]
    schedules = _training("cyclegan_2017").schedulers
    assert set(schedules) == {"generators", "discriminators"}
    for schedule in schedules.values():
        assert [schedule.lr_lambdas[0](step) for step in (10, 30, 40)] == [1.0, 0.5, 0.0]


def test_cyclegan_recipe_is_the_papers():
    cls = registry.load("methods", "cyclegan_2017")
    assert (cls.recipe.size, cls.recipe.batch, cls.recipe.learning_rate) == (256, 1, 2e-4)
    training = cls(cls.Params()).training(
        Task(replace(cls.recipe, style_size=256), CPU, (), _nothing)
    )
    sizes = [sum(p.numel() for p in net.parameters()) for net in training.networks.values()]
    assert sizes == [11_378_179, 11_378_179, 2_764_737, 2_764_737]
    for optimiser in training.optimisers.values():
        assert optimiser.param_groups[0]["betas"] == (0.5, 0.999)


def test_cyclegan_covers_the_collections_that_it_was_trained_on(tmp_path):
    method = _method("cyclegan_2017")
    known = ImageRecord("other", tmp_path / "other.png", collection="example1")
    assert method.supports(known).ok
    unknown = method.supports(replace(known, collection="cubism"))
    assert not unknown.ok
    assert "train" in unknown.remedy


def test_cyclegan_step_restores_gradients_and_fills_the_pools():
    training = _training("cyclegan_2017")
    _run(training, "cyclegan_2017", range(1))
    assert all(p.requires_grad for net in training.networks.values() for p in net.parameters())
    for pool in training.state().values():
        assert pool.shape == (50, 3, 64, 64)
        assert [bool(picture.any()) for picture in pool] == [True] * 2 + [False] * 48


# --- Ghiasi et al., the own network ------------------------------------------------------------


def test_ghiasi_predicts_2758_values_and_normalises_contracting_layers_by_batch():
    network = ArbitraryStyleNetwork()
    assert network.transformer.conditioned_values == 2_758
    assert network.heads.weight.shape == (2_758, 100)
    batch_norms = [n for n, m in network.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(batch_norms) == 3
    assert all(".contract." in name for name in batch_norms)


def test_ghiasi_embedding_interpolation_begins_at_the_contents_own():
    outputs = [
        _stylized("ghiasi_2017", example(kind=kind), interpolation=share)
        for kind in (1, 2)
        for share in (0.0, 1.0)
    ]
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[1], outputs[3])


def test_ghiasi_names_the_network_that_can_be_trained():
    cls = registry.load("methods", "ghiasi_2017")
    with pytest.raises(Exception, match="network=own"):
        cls(cls.Params()).training(Task(cls.recipe, CPU, (), _nothing))


@pytest.mark.slow
def test_ghiasi_embedding_interpolation_moves_the_style_error_monotonically():
    """Mean Gram distance over pairs of starter pictures, with Magenta's trained networks."""
    from nstbench.pictures.picture import load_picture
    from nstbench.plan.variants import open_dataset

    cls = registry.load("methods", "ghiasi_2017")
    for weight in cls(cls.Params()).required_weights():
        if not (state := weights.availability(weight)).ok:
            pytest.skip(f"{weight.name}: {state.reason}")
    starter = open_dataset("starter", "dataset")
    pictures = {
        role: [load_picture(r, 192, "inside", "cpu") for r in starter.load(role).images[:3]]
        for role in (Role.CONTENT, Role.STYLE)
    }
    encoder = load_backbone("vgg16")

    def grams(pixels: torch.Tensor) -> list[torch.Tensor]:
        found = encode(encoder, pixels, ["relu1_1", "relu2_1", "relu3_1", "relu4_1"])
        return [gram_matrix(features, "n") for features in found.values()]

    errors = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        method = cls(cls.Params(interpolation=share))
        method.load(CPU)
        distances = []
        for style in pictures[Role.STYLE]:
            method.prepare(style)
            wanted = grams(style.pixels)
            for content in pictures[Role.CONTENT]:
                found = grams(call(method, content))
                distances.append(
                    np.mean(
                        [
                            float((a - b).norm() / b.norm())
                            for a, b in zip(found, wanted, strict=True)
                        ]
                    )
                )
        errors.append(np.mean(distances))
    assert (np.diff(errors) < 0).all(), errors
