"""Score 100 outputs by every metric, against the metrics from before those that papers report."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from measure import compare
from test_bench_bars import CONTENTS, OUTPUTS, SIDE, STYLES, WITH_BAR, write_pictures
from test_bench_score import NETWORKS

from nstbench.contracts import MetricInfo
from nstbench.core.records import Scope
from nstbench.nn.backbones.load import backbone_weight
from nstbench.nn.weights import cache
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.variants import metric_weights
from nstbench.plugins import registry

pytestmark = pytest.mark.usefixtures("on_cpu")

LIMIT = 1.4
ROUNDS = 5


def always_available() -> tuple[str, ...]:
    """Return the metrics of pictures that need no weights but those of the test's networks."""
    shipped = {backbone_weight(network).name for network in NETWORKS} | {"lpips_alex", "lpips_vgg"}

    def needs_no_more(info: MetricInfo) -> bool:
        weights = {weight.name for weight in metric_weights(info)}
        return info.scope != Scope.TIMING and not info.requires and weights <= shipped

    infos = {name: registry.load("metrics", name).info for name in registry.names("metrics")}
    return tuple(name for name, info in infos.items() if needs_no_more(info))


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="scoring 100 outputs by every metric, 256 px")
def test_every_metric_takes_at_most_1_4_of_the_time_of_the_first_fifteen(
    benchmark, tmp_path, network_weights, monkeypatch
):
    every = always_available()
    assert set(WITH_BAR) < set(every)
    write_pictures(tmp_path / "pictures")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/weights").symlink_to(cache.cache_folder())
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    runs = itertools.count()

    def score(metrics: tuple[str, ...]) -> None:
        # bars of an earlier round would cost nothing
        shutil.rmtree(tmp_path / "cache/pairs", ignore_errors=True)
        board = score_outputs(request(tmp_path, f"run{next(runs)}", metrics))
        scores = board.scores
        assert set(scores["metric"]) == set(metrics)
        assert ((scores["metric"] == "uef") & (scores["part"] == "")).sum() == OUTPUTS

    row = compare(
        benchmark,
        lambda: score(every),
        lambda: score(WITH_BAR),
        case=f"Scoring {OUTPUTS} outputs on {CONTENTS * STYLES} pairs by {len(every)} metrics,"
        f" {SIDE} px",
        compared_with=f"by {len(WITH_BAR)} metrics",
        limit=LIMIT,
        rounds=ROUNDS,
    )
    assert row.ratio <= row.limit


def request(root: Path, name: str, metrics: tuple[str, ...]) -> Request:
    """Return the request to score the pictures in a folder into a new run."""
    return Request(
        patterns=(str(root / "pictures/outputs/{method}/{content}__{style}.png"),),
        names=(),
        contents=str(root / "pictures/contents"),
        styles=str(root / "pictures/styles"),
        out=root / name,
        metrics=",".join(metrics),
        pairs="found",
        device="cpu",
        formats=("csv",),
    )
