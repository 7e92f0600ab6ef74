"""The gain of each optional optimisation, measured with and without it in one process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from measure import CPU, compare
from test_bench_linear import gatys_steps
from test_bench_score import NETWORKS

from nstbench.contracts import Features, Picture
from nstbench.core.glibc_malloc import freed_memory_kept
from nstbench.generate.conformance.method_checks import example
from nstbench.nn.layers import frozen_convolution
from nstbench.plugins import registry
from nstbench.score.feature_bank import FeatureBank

pytestmark = [pytest.mark.usefixtures("on_cpu", "network_weights"), pytest.mark.bench]


@pytest.mark.parametrize("size", [128, 512])
def test_packed_weights_save_time(benchmark, as_in_a_worker, monkeypatch, size):
    steps, count = gatys_steps(size), 8 * (512 // size)

    def unpacked() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(frozen_convolution, "_works", lambda _: False)
            steps(count)

    row = compare(
        benchmark,
        lambda: steps(count),
        unpacked,
        case=f"Gatys, {count} iterations of Adam, {size} px, packed weights and chains",
        compared_with="torch's convolutions and autograd",
        limit=0.9,
    )
    assert row.ratio <= row.limit


def test_kept_memory_saves_time(benchmark):
    steps = gatys_steps(1024)

    def kept() -> None:
        with freed_memory_kept():
            steps(4)

    row = compare(
        benchmark,
        kept,
        lambda: steps(4),
        case="Gatys, 4 iterations of Adam, 1024 px, freed memory kept",
        compared_with="given back at once",
        limit=0.95,
        rounds=5,
    )
    assert row.ratio <= row.limit


def test_reading_features_from_disk_is_faster_than_computing_them(benchmark, tmp_path):
    contents = [
        Picture(example(256, 256, kind).pixels, f"c{kind}", f"checksum {kind}") for kind in range(3)
    ]
    needs = [need for need in _needs() if "content" in need.of]

    def all_of(bank: FeatureBank) -> Callable[[], None]:
        def ask() -> None:
            for content in contents:
                pair = bank.pair(content, content, content, needs)
                for network in {need.network for need in needs}:
                    pair.features(network, "content")

        ask()
        return ask

    with torch.inference_mode():
        on_disk = FeatureBank(CPU, budget=1, overflow=tmp_path)
        row = compare(
            benchmark,
            all_of(on_disk),
            all_of(FeatureBank(CPU, budget=1)),
            case="Features of 3 contents, 256 px, read from disk",
            compared_with="computed again",
            limit=0.5,
        )
        on_disk.clear()
    assert row.ratio <= row.limit


def _needs() -> list[Features]:
    infos = [registry.load("metrics", name).info for name in registry.names("metrics")]
    return [need for info in infos for need in info.features if need.network in NETWORKS]
