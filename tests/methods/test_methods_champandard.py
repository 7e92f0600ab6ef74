"""Tests of Champandard 2016 and Li & Wand 2016: matches, maps and regions."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nstbench.core.errors import ImageError
from nstbench.core.records import ImageRecord
from nstbench.generate.conformance.method_checks import call, example
from nstbench.nn.losses.gram import gram_matrix
from nstbench.nn.losses.patches import StylePatches, match
from nstbench.nn.losses.semantic import one_hot, read_labels
from nstbench.nn.losses.terms import CAFFE_SCALE
from nstbench.pictures.picture import load_picture
from nstbench.plugins import registry

CPU = torch.device("cpu")
SEMANTIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "semantic"
SMALL = {"coarse_scales": (), "coarse_iterations": (), "precision": "float32", "init": "content"}

pytestmark = pytest.mark.usefixtures("network_weights")


def loaded(name="champandard_2016", **params):
    cls = registry.load("methods", name)
    method = cls(cls.Params(**{**SMALL, **params}))
    method.load(CPU)
    return method


def run(content, style, name="champandard_2016", **params):
    method = loaded(name, **params)
    method.prepare(style)
    steps = []
    return call(method, content, steps=steps), steps


def portrait(name, size):
    """Return one of neural-doodle's portraits with its map, or skip."""
    path = SEMANTIC / f"{name}.jpg"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    labels = path.with_name(f"{name}_sem.png")
    return load_picture(ImageRecord(name, path, semantic_map=labels), size, "crop")


def two_toned():
    """A style with a striped red half and a dotted blue half."""
    style = example(kind=1)
    pixels = style.pixels.clone()
    pixels[..., :32] *= torch.tensor([1.0, 0.2, 0.2]).view(3, 1, 1)
    pixels[..., 32:] *= torch.tensor([0.2, 0.2, 1.0]).view(3, 1, 1)
    return replace(style, pixels=pixels)


def redness(pixels):
    """Return how much redder the left half is than the right half."""
    difference = pixels[:, 0] - pixels[:, 2]
    return float(difference[..., 4:28].mean() - difference[..., 36:60].mean())


@pytest.mark.parametrize("loss", ["patches", "gram"])
def test_regions_take_the_style_of_their_label(loss):
    weight = {"patches": 10.0, "gram": 3.0}[loss]
    params = {"loss": loss, "iterations": 30, "content_weight": 1e-6, "semantic_weight": weight}
    style = two_toned()
    crossed = replace(style, semantic_map=style.semantic_map.flip(3))
    straight = redness(run(example(), style, **params)[0])
    assert straight > redness(run(example(), crossed, **params)[0]) + 0.15


def test_losses_are_means_on_caffes_scale():
    content, style = example(), example(kind=1)
    _, steps = run(content, style, init="style", iterations=1, semantic_weight=0.0)
    losses = {name: float(value) for name, value in steps[0].losses.items()}
    network = loaded().network
    with torch.no_grad():
        ours = network(style.pixels, ["relu4_2"])["relu4_2"]
        wanted = network(content.pixels, ["relu4_2"])["relu4_2"]
    expected = float((ours - wanted).double().square().mean()) * CAFFE_SCALE**2
    assert losses["content"] == pytest.approx(expected, rel=1e-3)
    assert losses["style"] < 1e-3 * losses["content"]  # the style matches itself
    parts = 10 * losses["content"] + 25 * losses["style"] + losses["tv"]
    assert losses["total"] == pytest.approx(parts, rel=1e-4)


def test_maps_are_required_unless_maps_is_auto():
    cls = registry.load("methods", "champandard_2016")
    assert cls(cls.Params()).needs_maps()
    assert not cls(cls.Params(maps="auto")).needs_maps()
    bare, style = replace(example(), semantic_map=None), example(kind=1)
    output, _ = run(bare, style, maps="auto", iterations=2)
    assert output.shape == bare.pixels.shape


def test_the_gram_loss_has_other_defaults():
    params = registry.load("methods", "champandard_2016").Params
    gram = params(loss="gram")
    assert len(gram.style_layers) == 5
    assert (gram.content_weight, gram.style_weight, gram.tv_weight) == (1e-4, 1.0, 0.0)
    assert params(**gram.model_dump()) == gram
    assert params().style_layers == ("relu3_1", "relu4_1")


def test_pictures_too_small_for_patches_are_refused():
    tiny = example(16, 16)
    with pytest.raises(ImageError, match="do not fit"):
        run(tiny, example(kind=1), iterations=1)


def test_li_and_wand_pull_towards_the_style_without_maps():
    content, style = replace(example(), semantic_map=None), example(kind=1)
    _, steps = run(content, style, "li_wand_2016", iterations=25)
    style_losses = [float(step.losses["style"]) for step in steps]
    assert style_losses[-1] < 0.5 * style_losses[0]


def centre_labels(labels, features):
    """Return the label at the centre of every 3 x 3 patch of activations."""
    size = features.shape[-2:]
    inner = torch.nn.functional.adaptive_avg_pool2d(labels.float(), size)[..., 1:-1, 1:-1]
    return inner.argmax(dim=1).flatten()


def test_guidance_makes_matches_stay_within_their_class():
    """The share of matches in the same class grows with the weight of maps to 95 % or more."""
    network = loaded().network
    for content_name, style_name in (("seth", "gogh"), ("mia", "renoir"), ("freddie", "gogh")):
        content, style = portrait(content_name, 128), portrait(style_name, 128)
        labels = read_labels(content.semantic_map, style.semantic_map)
        maps = one_hot(labels.content, labels.count), one_hot(labels.style, labels.count)
        with torch.no_grad():
            ours = network(content.pixels, ["relu3_1"])["relu3_1"]
            theirs = network(style.pixels, ["relu3_1"])["relu3_1"]
        classes = centre_labels(maps[0], ours), centre_labels(maps[1], theirs)
        reachable = torch.isin(classes[0], classes[1])
        shares = []
        for weight in (0.0, 0.02, 0.1, 0.5, 2.0):
            patches = StylePatches.of(theirs, maps[1], weight)
            same = classes[0] == classes[1][match(ours, patches, maps[0])]
            shares.append(float(same[reachable].float().mean()))
        assert shares == sorted(shares), (content_name, shares)
        assert shares[0] < 0.8, (content_name, shares)
        assert shares[-1] >= 0.95, (content_name, shares)


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("mia", "renoir"), ("seth", "gogh"), ("freddie", "gogh")])
def test_regions_come_closer_to_their_own_style_than_with_gatys(pair):
    """Mean Gram distance between regions of one label, over layers of VGG-16."""
    content, style = portrait(pair[0], 96), portrait(pair[1], 96)
    labels = read_labels(content.semantic_map, style.semantic_map)
    guided, _ = run(content, style, loss="gram", iterations=60)
    plain, _ = run(content, style, "gatys_2015", iterations=60)
    network = loaded().network

    def distance(output):
        found = []
        layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
        with torch.no_grad():
            ours, theirs = network(output, layers), network(style.pixels, layers)
        for label in labels.shared():
            for name in layers:
                a = _region_gram(ours[name], labels.content == label)
                b = _region_gram(theirs[name], labels.style == label)
                found.append(float((a - b).square().sum() / (a.square() + b.square()).sum()))
        return sum(found) / len(found)

    assert distance(guided) < 0.9 * distance(plain)


def _region_gram(features, inside):
    size = (features.shape[-2], features.shape[-1])
    mask = torch.nn.functional.adaptive_avg_pool2d(inside[:, None].float(), size)
    return gram_matrix(features * mask) / mask.square().mean()


_AT_512_PX = """
from pathlib import Path
import torch
torch.set_num_threads(1)
from nstbench.plugins import registry
from nstbench.generate.conformance.method_checks import call, example
method = registry.load("methods", "champandard_2016")
method = method(method.Params(coarse_scales=(), coarse_iterations=(), iterations=1))
method.load(torch.device("cpu"))
method.prepare(example(512, 512, kind=1))
call(method, example(512, 512), steps=[])
# getrusage would include the memory of the parent process
(peak,) = (line for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read off Linux's /proc"
)
def test_512_pixels_fit_into_memory():
    """All similarities of relu3_1 at once would need another 1 GiB, and 300 MiB per key."""
    found = subprocess.run(
        [sys.executable, "-c", _AT_512_PX], capture_output=True, text=True, check=True
    )
    assert float(found.stdout) < 1.6
