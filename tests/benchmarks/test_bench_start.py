"""Start-up time of commands that compute nothing or little."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest
from measure import compare
from reference import independent

from nstbench.nn.weights import cache
from nstbench.pictures.picture import write_png

pytestmark = pytest.mark.usefixtures("on_cpu")

LIMITS = {"--help": 0.4, "list methods": 1.0, "list metrics": 1.0, "list suites": 1.0}
"""Command -> limit in seconds on an idle machine."""


@pytest.mark.bench
@pytest.mark.parametrize("command", LIMITS)
def test_start_up_time_is_limited(benchmark, command):
    def own() -> None:
        run("-m", "nstbench", *command.split())

    row = compare(
        benchmark,
        own,
        lambda: run("-c", "import pydantic, rich.console, rich.table, typer, yaml"),
        case=f"nstbench {command}",
        compared_with="imports of typer, rich, pydantic, yaml",
        rounds=7,
    )
    assert row.ours <= LIMITS[command]


def run(*arguments: str, **environment: str) -> None:
    env = os.environ | environment
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=env)


@pytest.mark.bench
@pytest.mark.parametrize(("metric", "ratio"), [("ssim", 3.0), ("uef", 4.5)])
def test_scoring_one_small_picture_takes_little_more_than_importing_torch(
    benchmark, tmp_path, network_weights, metric, ratio
):
    folders = (("o", "a__m"), ("c", "a"), ("s", "m"))
    for (folder, name), pixels in zip(folders, independent.triple("same_size"), strict=True):
        write_png(tmp_path / folder / f"{name}.png", pixels[:64, :64])
    arguments = (
        "-m", "nstbench", "score", "--outputs", f"{tmp_path}/o/{{content}}__{{style}}.png",
        "--name", "mine", "--contents", f"{tmp_path}/c", "--styles", f"{tmp_path}/s",
        "--device", "cpu", "--metrics", metric, "--out",
    )  # fmt: skip
    rounds = itertools.count()

    def score() -> None:
        cache_folder = tmp_path / f"cache{next(rounds)}"
        cache_folder.mkdir()
        (cache_folder / "weights").symlink_to(cache.cache_folder())
        # an own cache folder, because the bar of an earlier round would cost nothing
        run(*arguments, f"{cache_folder}/run", NSTBENCH_CACHE=str(cache_folder))

    row = compare(
        benchmark,
        score,
        lambda: run("-c", "import torch"),
        case=f"nstbench score of one picture of 64 px by {metric}",
        compared_with="import of torch",
        limit=ratio,
        rounds=5,
    )
    assert row.ours <= 4.0
    assert row.ratio <= row.limit
