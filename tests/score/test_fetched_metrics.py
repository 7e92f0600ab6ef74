"""Metrics whose weights a user fetches, on small networks in place of the published ones."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pytest
import torch
from reference import independent
from scipy.special import log_softmax

from nstbench.contracts import Picture
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.pictures.picture import to_tensor
from nstbench.plan.variants import metric_card
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank
from nstbench.score.maths import feature_similarity
from nstbench.score.scorer import Scorer

CPU = torch.device("cpu")


class Small(LayeredNetwork):
    """One random convolution, from which every layer is made in the shape that it has."""

    def __init__(self) -> None:
        super().__init__((), min_size=1)
        self.layers = ("embedding", "keys", "score", "conv4a", "relu3_1")
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(12, 3, 5, 5, generator=generator)

    def forward(self, x: torch.Tensor, layers: Collection[str]) -> dict[str, torch.Tensor]:
        maps = torch.nn.functional.conv2d(x, self.kernel, stride=6).relu()
        found = {
            "embedding": maps.mean(dim=(2, 3), keepdim=True),
            "keys": maps.flatten(2)[..., None],
            "score": maps.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1),
            "conv4a": maps,
            "relu3_1": maps,
        }
        return {layer: found[layer] for layer in layers}


def layer(pixels: np.ndarray, name: str) -> np.ndarray:
    """Return a layer of the small network as float64 (C, N)."""
    features = Small()(to_tensor(pixels), [name])[name]
    return features[0].flatten(1).double().numpy()


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = (layer(p, "embedding").ravel() for p in (first, second))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def structure(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> float:
    x, c = (k / np.linalg.norm(k, axis=0) for k in (layer(p, "keys") for p in (output, content)))
    return float(((x.T @ x - c.T @ c) ** 2).mean())


def sifid(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> float:
    x, s = (layer(p, "conv4a") for p in (output, style))
    first, second = np.cov(x), np.cov(s)
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(min=0)).sum()
    means = ((x.mean(axis=1) - s.mean(axis=1)) ** 2).sum()
    return float(means + np.trace(first + second) - 2 * roots)


def cfsd(output: np.ndarray, content: np.ndarray, style: np.ndarray) -> float:
    rows = []
    for pixels in (output, content):
        f = layer(pixels, "relu3_1").T
        rows.append(log_softmax(f @ f.T / f.shape[1] ** 2, axis=1))
    return float((np.exp(rows[1]) * (rows[1] - rows[0])).sum())


Formula = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
FORMULAS: dict[str, Formula] = {
    "csd": lambda x, c, s: cosine(x, s),
    "clip_style": lambda x, c, s: cosine(x, s),
    "clip_content": lambda x, c, s: cosine(x, c),
    "dino_structure": structure,
    "sifid": sifid,
    "cfsd": cfsd,
    "artscore": lambda x, c, s: float(layer(x, "score").item()),
}


def score(name: str, trio: independent.Triple) -> dict[str, float]:
    bank = FeatureBank(CPU, load=lambda name, device: Small())
    used = Scorer({name: registry.load("metrics", name)()}, CPU, bank)
    record = used.score_pair(*(Picture(to_tensor(p), "p") for p in trio))[name]
    values: dict[str, float] = record["values"]
    return values


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("case", independent.SIZES)
def test_equals_the_formula_on_the_same_features(name: str, case: str) -> None:
    trio = independent.triple(case)
    assert score(name, trio)[""] == pytest.approx(FORMULAS[name](*trio), rel=1e-4)


def test_cfsd_states_the_mean_over_places_too() -> None:
    values = score("cfsd", independent.triple("same_size"))
    assert values["mean"] == pytest.approx(values[""] / 16**2, rel=1e-12)


def test_cfsd_is_the_same_if_the_blocks_of_a_content_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trio = independent.triple("other_size")
    kept = score("cfsd", trio)[""]
    monkeypatch.setattr(feature_similarity, "MOST_KEPT", 0)
    monkeypatch.setattr(feature_similarity, "_BLOCK", 40)
    assert score("cfsd", trio)[""] == pytest.approx(kept, rel=1e-6)


def test_cfsd_of_a_second_output_uses_what_was_kept_of_its_content() -> None:
    bank = FeatureBank(CPU, load=lambda name, device: Small())
    used = Scorer({"cfsd": registry.load("metrics", "cfsd")()}, CPU, bank)
    trio = independent.triple("same_size")
    content, style = (Picture(to_tensor(pixels), "p") for pixels in trio[1:])
    for name, pixels in (("style", trio[2]), ("output", trio[0])):
        picture = Picture(to_tensor(pixels), name)
        value = used.score_pair(picture, content, style)["cfsd"]["values"][""]
        assert value == pytest.approx(cfsd(pixels, *trio[1:]), rel=1e-4)
    copy = Picture(content.pixels.clone(), "copy")
    assert used.score_pair(copy, content, style)["cfsd"]["values"][""] == 0


@pytest.mark.parametrize("name", FORMULAS)
def test_without_weights_the_card_says_how_to_get_them(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    state = metric_card(name).availability
    assert not state.ok
    assert "nstbench weights fetch" in state.remedy or "https://" in state.remedy
    assert "\n" not in f"{state.reason} {state.remedy}"


@pytest.mark.parametrize("name", FORMULAS)
def test_weights_state_licence_origin_and_a_pinned_source(name: str) -> None:
    for weight in metric_card(name).weights:
        assert weight.licence
        assert weight.origin.startswith("https://")
