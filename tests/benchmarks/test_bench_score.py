"""Every metric over a folder of outputs against four usual calls, in one process."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plain_scores import PlainScores
from reference import independent

from nstbench.board import Board
from nstbench.catalog import metric_card
from nstbench.external import Request, score_outputs
from nstbench.records import Scope

SIDE = 256
CONTENTS, STYLES = 10, 10
ROUNDS = 2
# The yardstick remembers nothing between outputs, so a few tell what all would take.
PLAIN_OUTPUTS = 6


def write_folder(root: Path) -> list[tuple[Path, Path, Path]]:
    """Write contents, styles and an output for each pair; return their files."""
    rng = np.random.default_rng(0)
    scene, texture = independent.scene(SIDE, SIDE), independent.texture(SIDE, SIDE)
    folders = {}
    for role, pixels, count in (("contents", scene, CONTENTS), ("styles", texture, STYLES)):
        pictures = [np.roll(pixels, 17 * i, axis=(0, 1)) * (0.6 + 0.04 * i) for i in range(count)]
        folders[role] = [p + rng.integers(0, 20, p.shape) for p in pictures]
        save(root / role, {str(i): p for i, p in enumerate(folders[role])})
    outputs = {
        f"{c}__{s}": 0.5 * content + 0.5 * style[:, ::-1]
        for c, content in enumerate(folders["contents"])
        for s, style in enumerate(folders["styles"])
    }
    save(root / "outputs", outputs)
    return [
        (
            root / f"outputs/{name}.png",
            root / f"contents/{name[0]}.png",
            root / f"styles/{name[-1]}.png",
        )
        for name in outputs
    ]


def save(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    folder.mkdir()
    for name, pixels in pictures.items():
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="scoring 100 outputs, 256 px")
def test_every_metric_takes_at_most_a_third_of_four_usual_calls(
    benchmark, tmp_path, network_weights
):
    files = write_folder(tmp_path)
    some = files[:: len(files) // PLAIN_OUTPUTS][:PLAIN_OUTPUTS]
    yardstick = PlainScores()
    expected = [yardstick(*some[0])]
    boards: list[Board] = []
    others: list[float] = []
    owns: list[float] = []

    def plain_round() -> None:
        begin = time.perf_counter()
        for trio in some:
            yardstick(*trio)
        others.append((time.perf_counter() - begin) * len(files) / len(some))

    def our_round() -> None:
        begin = time.perf_counter()
        request = Request(
            patterns=(str(tmp_path / "outputs/{content}__{style}.png"),),
            names=("mine",),
            contents=str(tmp_path / "contents"),
            styles=str(tmp_path / "styles"),
            out=tmp_path / f"run{len(boards)}",
            device="cpu",
            # The page is the report's business, and its size that of the pictures in it.
            formats=("csv",),
        )
        boards.append(score_outputs(request))
        owns.append(time.perf_counter() - begin)

    # The yardstick runs before and after each round of ours, so that a drift hits both alike.
    benchmark.pedantic(our_round, setup=plain_round, rounds=ROUNDS)
    plain_round()

    scores = boards[-1].scores
    usable = {name for name, card in boards[-1].metrics.items() if card.availability.ok}
    always = {name for name in usable if metric_card(name).scope != Scope.TIMING}
    assert set(scores["metric"]) == always
    first = scores[(scores["content"] == "0") & (scores["style"] == "0") & (scores["part"] == "")]
    values = first.set_index("metric")["value"]
    for name in ("lpips_alex", "lpips_vgg"):
        assert values[name] == pytest.approx(expected[0][name], abs=1e-5)

    around = [statistics.mean(pair) for pair in itertools.pairwise(others)]
    ratio = statistics.median(own / other for own, other in zip(owns, around, strict=True))
    benchmark.extra_info |= {"plain_s": statistics.median(others), "ratio": ratio}
    print(f"ours {owns}, four calls {others}, ratio {ratio:.3f}")
    assert ratio <= 1 / 3
