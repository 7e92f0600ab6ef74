"""Score a folder by every metric, against four usual programs in the same process."""

from __future__ import annotations

import statistics
from functools import partial

import pytest
import torch
from measure import add_row, ceiling, seconds_of
from picture_folder import PATTERN, write_folder
from plain_scores import PlainScores

from nstbench.contracts import Picture
from nstbench.core.board import Board
from nstbench.core.records import Scope
from nstbench.generate.conformance.method_checks import example
from nstbench.generate.flops import count_flops
from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.layers.layered import LayeredNetwork
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.variants import metric_card
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank

SIDE = 256
CONTENTS, STYLES = 10, 10
IMAGES = CONTENTS * STYLES + CONTENTS + STYLES
ROUNDS = 5
SHARE = 0.6
"""Least share of the peak speed, for one VGG-16 and one AlexNet pass per image."""

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("on_cpu")
NETWORKS = ("vgg16", "alexnet")
# The reference keeps nothing between outputs, so a few of them determine the time of all.
PLAIN_OUTPUTS = 6


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="scoring 100 outputs, 256 px")
def test_every_metric_takes_at_most_a_third_of_four_usual_calls(
    benchmark, tmp_path, network_weights
):
    files = write_folder(tmp_path, SIDE, CONTENTS, STYLES)
    some = files[:: len(files) // PLAIN_OUTPUTS][:PLAIN_OUTPUTS]
    usual = PlainScores()
    expected = [usual(*some[0])]
    boards: list[Board] = []

    def theirs() -> None:
        for trio in some:
            usual(*trio)

    def own() -> None:
        request = Request(
            patterns=(str(tmp_path / PATTERN),),
            names=(),
            contents=str(tmp_path / "contents"),
            styles=str(tmp_path / "styles"),
            out=tmp_path / f"run{len(boards)}",
            device="cpu",
            # The page belongs to the report, and its size depends on its pictures.
            formats=("csv",),
        )
        boards.append(score_outputs(request))

    rounds: list[tuple[float, float]] = []
    scale = len(files) / len(some)
    before = [seconds_of(theirs, CPU) * scale]

    def our_round() -> None:
        seconds = seconds_of(own, CPU)
        # The reference runs before and after each round, so that a drift affects both.
        after = seconds_of(theirs, CPU) * scale
        rounds.append((seconds, (before.pop() + after) / 2))
        before.append(after)

    benchmark.pedantic(our_round, rounds=ROUNDS)

    scores = boards[-1].scores
    usable = {name for name, card in boards[-1].metrics.items() if card.availability.ok}
    always = {name for name in usable if metric_card(name).scope != Scope.TIMING}
    assert set(scores["metric"]) == always
    first = scores[(scores["content"] == "0") & (scores["style"] == "0") & (scores["part"] == "")]
    values = first.set_index("metric")["value"]
    for name in ("lpips_alex", "lpips_vgg"):
        assert values[name] == pytest.approx(expected[0][name], abs=1e-5)

    seconds = statistics.median(own for own, _ in rounds)
    row = add_row(
        benchmark,
        rounds,
        case=f"Scoring 100 outputs by {len(always)} metrics, 256 px, all of it",
        compared_with="lpips (2), SSIM, VGG-16 losses",
        limit=1 / 3,
        share=one_pass_each(IMAGES) / seconds / ceiling(CPU, torch.float32),
    )
    assert row.ratio <= row.limit
    assert row.share is not None
    assert row.share >= SHARE


def one_pass_each(images: int) -> float:
    """Return the operations of one VGG-16 and one AlexNet pass for each image."""
    pixels = torch.rand(1, 3, SIDE, SIDE)
    networks = [load_backbone(name) for name in ("vgg16", "alexnet")]
    with torch.no_grad():
        flops = [count_flops(partial(n, pixels, (_deepest(n),))) for n in networks]
    return images * float(sum(flop or 0 for flop in flops))


def _deepest(network: LayeredNetwork) -> str:
    return next(name for name in reversed(network.layers) if name.startswith("relu"))


@pytest.mark.bench
@pytest.mark.benchmark(group="feature passes of scoring, 256 px")
def test_the_passes_of_scoring_reach_60_percent_of_the_ceiling(
    benchmark, network_weights, as_in_a_worker
):
    """Compute features of outputs as in the scorer: layers of both networks, Gram matrices.

    The scorer keeps freed memory as workers do.
    """
    cards = [registry.load("metrics", name).info for name in registry.names("metrics")]
    needs = [need for info in cards for need in info.features if need.network in NETWORKS]
    bank = FeatureBank(CPU)
    content, style = example(SIDE, SIDE), example(SIDE, SIDE, kind=1)
    outputs = [Picture(torch.rand(1, 3, SIDE, SIDE), "output") for _ in range(5)]

    def own() -> None:
        for output in outputs:
            pair = bank.pair(output, content, style, needs)
            for network in NETWORKS:
                pair.features(network, "output")

    with torch.inference_mode():
        own()
        seconds: list[float] = []
        work = one_pass_each(len(outputs))
        benchmark.pedantic(lambda: seconds.append(seconds_of(own, CPU)), rounds=7)
    ideal = work / ceiling(CPU, torch.float32)
    row = add_row(
        benchmark,
        [(one, ideal) for one in seconds],
        case=f"Features of {len(outputs)} outputs, VGG-16 and AlexNet, float32, {SIDE} px",
        compared_with="the same operations at the ceiling",
        limit=1 / SHARE,
        share=ideal / statistics.median(seconds),
    )
    assert row.ratio <= row.limit
