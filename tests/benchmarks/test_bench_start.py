"""Start-up time of commands that compute nothing or little."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from measure import compare

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


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


@pytest.mark.bench
def test_scoring_one_small_picture_takes_little_more_than_importing_torch(benchmark, tmp_path):
    for folder, name in (("c", "a"), ("s", "m"), ("o", "a__m")):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_png(tmp_path / folder / f"{name}.png", pixels)
    arguments = (
        "-m", "nstbench", "score", "--outputs", f"{tmp_path}/o/{{content}}__{{style}}.png",
        "--name", "mine", "--contents", f"{tmp_path}/c", "--styles", f"{tmp_path}/s",
        "--device", "cpu", "--metrics", "ssim", "--out",
    )  # fmt: skip
    rounds = itertools.count()
    row = compare(
        benchmark,
        lambda: run(*arguments, f"{tmp_path}/run{next(rounds)}"),
        lambda: run("-c", "import torch"),
        case="nstbench score of one picture of 64 px",
        compared_with="import of torch",
        limit=3.0,
        rounds=5,
    )
    assert row.ours <= 4.0
    assert row.ratio <= 3.0
