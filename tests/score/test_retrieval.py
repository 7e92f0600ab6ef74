"""Retrieval of the own style and the own content among all of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import independent

from nstbench.contracts import Picture
from nstbench.pictures.picture import to_tensor
from nstbench.plugins import registry
from nstbench.score.scorer import Scorer

CPU = torch.device("cpu")
NAMES = ("style_retrieval", "content_retrieval")


def pictures(count: int, seed: int, side: int = 64) -> list[np.ndarray]:
    """Return uint8 pictures of blocks in random colours, each with other places and colours."""
    rng = np.random.default_rng(seed)
    blocks = rng.random((count, 4, 4, 3)) * rng.random((count, 1, 1, 3))
    return [independent.to_uint8(np.kron(b, np.ones((side // 4, side // 4, 1)))) for b in blocks]


def scored(trios: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, dict]:
    used = Scorer({name: registry.load("metrics", name)() for name in NAMES}, CPU)
    for trio in trios:
        used.score_pair(*(Picture(to_tensor(p), "p") for p in trio))
    return used.set_scores()


def moments(pixels: np.ndarray) -> list[np.ndarray]:
    layers = independent.activations("vgg16", independent.as_tensor(pixels))
    return [
        np.concatenate([f.mean(axis=1), np.sqrt(f.var(axis=1) + 1e-5)])
        for f in (layers[name] for name in independent.STYLE_VGG)
    ]


def style_distance(first: np.ndarray, second: np.ndarray) -> float:
    pairs = zip(moments(first), moments(second), strict=True)
    return float(np.mean([((a - b) ** 2).sum() / ((a @ a) + (b @ b)) for a, b in pairs]))


def content_distance(first: np.ndarray, second: np.ndarray) -> float:
    vectors = []
    for pixels in (first, second):
        side = pixels.shape[0] // 8
        features = independent.activations("vgg16", independent.as_tensor(pixels))["relu4_1"]
        units = independent.place_vectors(features).reshape(-1, 4, side // 4, 4, side // 4)
        vectors.append(units.mean(axis=(2, 4)).ravel())
    a, b = vectors
    return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_scores_equal_ranks_by_distances_in_numpy(network_weights: None) -> None:
    contents, styles = pictures(3, 0), pictures(3, 1)
    trios = [
        (independent.to_uint8((0.5 * c + 0.5 * styles[(j + i) % 3]) / 255), c, styles[j])
        for i, c in enumerate(contents)
        for j in range(3)
    ]
    found = scored(trios)
    for name, distance, k, targets in (
        ("style_retrieval", style_distance, 2, styles),
        ("content_retrieval", content_distance, 1, contents),
    ):
        shares = []
        for trio in trios:
            own = distance(trio[0], trio[k])
            others = [distance(trio[0], t) for t in targets if not np.array_equal(t, trio[k])]
            shares.append(np.mean([0.5 * (d == own) + (d > own) for d in others]))
        values = found[name]["values"]
        assert values[""] == pytest.approx(np.mean(shares), abs=1e-9)
        assert values["first"] == pytest.approx(np.mean(np.array(shares) == 1), abs=1e-9)
        assert (values["n"], values["pictures"]) == (9, 3)
    assert found["style_retrieval"]["values"][""] < 1


def test_copies_are_perfect_in_one_and_at_chance_in_the_other(network_weights: None) -> None:
    contents, styles = pictures(3, 0), pictures(4, 1)
    pairs = [(c, s) for c in contents for s in styles]
    of_content = scored([(c, c, s) for c, s in pairs])
    of_style = scored([(s, c, s) for c, s in pairs])
    assert of_content["content_retrieval"]["values"][""] == 1
    assert of_style["style_retrieval"]["values"][""] == 1
    # Each content has the same order of styles, so its places are 0, 1/3, 2/3 and 1.
    assert of_content["style_retrieval"]["values"][""] == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_has_no_rank_also_under_two_names(name: str, network_weights: None) -> None:
    content, style = pictures(1, 0)[0], pictures(1, 1)[0]
    record = scored([(content, content, style), (style, content, style)])[name]
    assert "needs at least two different" in record["error"]


@pytest.mark.parametrize("name", NAMES)
def test_merged_workers_have_the_value_of_the_whole(name: str, network_weights: None) -> None:
    contents, styles = pictures(2, 0), pictures(3, 1)
    trios = [(c // 2 + s // 2, c, s) for c in contents for s in styles]
    used = [Scorer({name: registry.load("metrics", name)()}, CPU) for _ in range(2)]
    for i, trio in enumerate(trios):
        used[i % 2].score_pair(*(Picture(to_tensor(p), "p") for p in trio))
    first, second = (scorer._sets[name] for scorer in used)
    first.merge(second)
    assert first.compute() == pytest.approx(scored(trios)[name]["values"])
